"""Two ways to move the service from one host to another, measured alike: ours, and podman's own in three commands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from umsui.bench import service
from umsui.bench.service import NAME, Load
from umsui.bench.watcher import Watcher
from umsui.coordinator.client import Client
from umsui.lab import LabError
from umsui.lab import host as hosts
from umsui.lab.topology import Host
from umsui.model import Approach, Migration, MigrationRequest, Outcome, Step, Strategy

REPLY = 30.0  # seconds for the first reply
LAST_PAGE = (Step.TRANSFER.value, Step.DRAIN.value)  # when the later of these has ended, all memory is over
ARCHIVE = "/dev/shm/umsui-bench.tar"  # noqa: S108 -- of a lab host
KEY, KNOWN = "/root/.ssh/umsui-bench", "/root/.ssh/umsui-bench-known"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one move cost, in seconds and bytes; ``note`` says why it failed, or where the time went."""

    outcome: str
    downtime: float | None = None
    total: float | None = None
    last_page: float | None = None
    creation: float | None = None
    checkpoint: float | None = None
    transfer: float | None = None
    restoration: float | None = None
    wire_bytes: int | None = None
    note: str = ""
    foreseen: bool | None = None


def watcher(source: Host, destination: Host) -> Watcher:
    """A client of the service that is about to move."""
    return Watcher(service.address(source), service.address(destination))


def admit(source: Host) -> None:
    """Let the source's root into the lab's other hosts."""
    for path, text in ((KEY, source.lab.identity.read_text()), (KNOWN, source.lab.known_hosts.read_text())):
        hosts.run_in(source, ["sh", "-c", f"umask 077; cat >{path}"], stdin=text)


class Mover(Protocol):
    """One way to move."""

    tool: str
    approach: str
    strategy: str
    ends: tuple[Host, Host]

    def start(self, load: Load) -> dict[str, Any]:
        """Run the service at the source, as this way of moving needs it; its first answer."""

    def move(self) -> Measured:
        """Move the service that runs at the source."""


class Ours:
    """Through the coordinator, as ``umsui migrate`` does."""

    tool = "umsui"

    def __init__(self, client: Client, source: Host, destination: Host, approach: Approach, strategy: Strategy) -> None:
        self.approach, self.strategy = approach.value, strategy.value
        self.ends = (source, destination)
        self._client, self._as = client, approach
        self._request = MigrationRequest(
            f"{source.cluster}/{NAME}", destination.cluster, destination.name, approach=approach, strategy=strategy
        )

    def start(self, load: Load) -> dict[str, Any]:
        """Plainly, nested, or with umsui inside."""
        if self._as is Approach.ORCHESTRATOR:
            return service.start(self.ends[0], load)
        return service.deploy(self._client, self.ends, load, self._as)

    def move(self) -> Measured:
        """Raises UmsuiError for what the coordinator does not even start."""
        self._client.refresh()
        with watcher(*self.ends) as seen:
            began = self._client.migrate(self._request)
            took, last_page = self._follow(began)
        ended = self._client.migration(began.id)
        outcome = ended.outcome or Outcome.UNKNOWN
        if outcome is not Outcome.COMMITTED:
            why = f"{ended.error.step}: {ended.error.message}" if ended.error else ""
            return Measured(outcome.value, note=why)
        cost = ended.overhead
        own = "-" if ended.downtime is None else f"{ended.downtime:.3f} s by its {ended.downtime_source}"
        return Measured(
            outcome.value,
            seen.downtime,
            cost.total,
            last_page,
            cost.creation,
            cost.checkpoint,
            cost.transfer,
            cost.restoration,
            ended.bytes.wire,
            f"the coordinator says {own}; ms: {' '.join(f'{step} {spent * 1000:.0f}' for step, spent in took.items())}",
            _foreseen(ended),
        )

    def _follow(self, began: Migration) -> tuple[dict[str, float], float | None]:
        """Seconds by step, and from the start until all memory was over."""
        took: dict[str, float] = {}
        last_page: float | None = None
        for event in self._client.events(began.id):
            if event.kind != "step" or event.data.get("state") != "done":
                continue
            step = str(event.data["step"])
            took[step] = float(event.data.get("seconds") or 0.0)
            if step in LAST_PAGE:
                last_page = event.t - began.started
        return took, last_page


def _foreseen(ended: Migration) -> bool | None:
    """Whether its downtime was inside the interval that had been predicted; None when one of them is unknown."""
    interval = ended.predicted.get("downtime")
    return interval[0] <= ended.downtime <= interval[2] if interval and ended.downtime is not None else None


class PodmansOwn:
    """``podman container checkpoint --export``, a copy over ssh, ``podman container restore --import``.

    Set up as well as its user can: uncompressed, archives in memory at both ends, the cipher that we use, no waiting
    between the commands.
    """

    tool = "podman"
    approach = Approach.ORCHESTRATOR.value
    strategy = Strategy.STOP_COPY.value

    def __init__(self, source: Host, destination: Host) -> None:
        self.ends = self._source, self._destination = source, destination
        admit(source)

    def start(self, load: Load) -> dict[str, Any]:
        """Plainly."""
        return service.start(self._source, load)

    def move(self) -> Measured:
        """Each command as soon as the one before has ended."""
        try:
            with watcher(self._source, self._destination) as seen:
                return self._three_commands(seen)
        except LabError as error:
            return Measured(Outcome.UNKNOWN.value, note=error.message)

    def _three_commands(self, seen: Watcher) -> Measured:
        marks = [time.monotonic()]

        def run(host: Host, *argv: str) -> str:
            said = hosts.run_in(host, argv, timeout=300)
            marks.append(time.monotonic())
            return said

        run(self._source, "podman", "container", "checkpoint", "--compress", "none", "--export", ARCHIVE, NAME)
        run(self._source, "sh", "-c", self._copy())
        run(self._destination, "podman", "container", "restore", "--import", ARCHIVE)
        if not seen.wait(REPLY):
            return Measured(Outcome.UNKNOWN.value, note=f"no reply at the destination within {REPLY:g} s")
        sent = int(run(self._source, "sh", "-c", f"stat -c %s {ARCHIVE}; podman rm {NAME} >/dev/null; rm {ARCHIVE}"))
        checkpoint, transfer, restoration = (later - sooner for sooner, later in pairwise(marks[:4]))
        return Measured(
            Outcome.COMMITTED.value,
            seen.downtime,
            marks[4] - marks[0],
            marks[2] - marks[0],
            0.0,
            checkpoint,
            transfer,
            restoration,
            sent,
        )

    def _copy(self) -> str:
        options = f"-i {KEY} -o UserKnownHostsFile={KNOWN} -o BatchMode=yes -c aes128-gcm@openssh.com"
        return f"ssh {options} root@{self._destination.address} 'cat >{ARCHIVE}' <{ARCHIVE}"
