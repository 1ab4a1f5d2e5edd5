"""Ours beside the bare SDKs: the time, requests and memory of listing a large fleet, in turn, in one run.

The local clouds of ``tests/clouds`` serve both; each measurement has a process of its own, imports done before the
clock starts. The SDK's share is its plain list: Azure's machines and their states, Google's aggregated list. Ours is
the whole inventory on the board: Azure's network interfaces, public addresses and sizes come on top.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from umsui.errors import BadInput, CommandFailed

ROOT = Path(__file__).resolve().parents[2]
PROVIDERS = ("azure", "gcp")
TOOLS = ("sdk", "umsui")
LISTS = {
    "azure": ("arm.vms.list", "arm.vms.status", "arm.nics.list", "arm.ips.list", "arm.sizes.list"),
    "gcp": ("gce.instances.aggregated", "gce.types.get"),
}
PATIENCE = 300.0  # seconds that one measurement may take
MOST_TIME, MOST_MEMORY, FIRST = 1.3, 2048, 1.0
"""What must hold: of the SDK's time, bytes a machine, seconds from the first page to the board."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. ``seconds`` for all, ``first_seconds`` until the first page was there (ours: on the board).

    ``requests`` to the cloud's API, by kind in ``kinds``; ``rss_bytes`` of the process at its end, ``machine_bytes``
    what is held for each machine. ``refresh_events``: publications after a list in which nothing had changed.
    """

    provider: str
    machines: int
    tool: str
    run: int
    seconds: float
    first_seconds: float
    requests: int
    rss_bytes: int
    kinds: dict[str, int]
    page_seconds: float | None = None
    machine_bytes: float | None = None
    refresh_seconds: float | None = None
    refresh_events: int | None = None


def local_clouds() -> Any:
    """The module that starts them. Raises BadInput outside of umsui's repository."""
    if not (ROOT / "tests" / "clouds").is_dir():
        fix = "run it in a clone of the repository, after `make setup`"
        raise BadInput("the clouds that the benchmark lists are among umsui's tests", fix, code="no-clouds")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module("tests.clouds.local")


def inventory(machines: int, runs: int, say: Callable[[str], None]) -> Iterator[Row]:
    """Measure; the two tools take turns. Raises BadInput, CommandFailed."""
    with local_clouds().running() as cloud:
        for provider in PROVIDERS:
            cloud.fill("azure" if provider == "azure" else "google", "plain", machines)
            say(f"{provider}: {machines} machines; once to warm up")
            measure(cloud, provider, "sdk", machines, 0)
            for run in range(1, runs + 1):
                for tool in TOOLS:
                    row = measure(cloud, provider, tool, machines, run)
                    say(f"{provider} {tool:5} {row.seconds:.2f} s, {row.requests} requests")
                    yield row


def measure(cloud: Any, provider: str, tool: str, machines: int, run: int) -> Row:
    """One measurement: a list in a process of its own; ours in a second one, what is held and what a refresh tells."""
    cloud.forget()
    found = listed(cloud, provider, tool)
    if found.pop("machines") != machines:
        raise CommandFailed(f"{tool} did not find all machines of {provider}", "report it")
    counts = cloud.counts()
    kinds = {kind: counts[kind] for kind in LISTS[provider] if counts[kind]}
    more = listed(cloud, provider, "again") if tool == "umsui" else {}
    return Row(provider, machines, tool, run, requests=sum(kinds.values()), kinds=kinds, **found, **more)


def listed(cloud: Any, provider: str, what: str) -> dict[str, Any]:
    """What a new process of ``lister.py`` says. Raises CommandFailed."""
    order = {"provider": provider, "what": what, "url": cloud.url, "ca": str(cloud.folder.authority)}
    done = subprocess.run(
        [sys.executable, "-m", "umsui.bench.lister", json.dumps(order)],
        cwd=ROOT,
        env=cloud.environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        text=True,
    )
    if done.returncode:
        words = f"listing {provider} with {what} failed: {done.stderr.strip()[-500:]}"
        raise CommandFailed(words, "`make test-clouds` tells whether the local clouds work")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """One provider's medians, and whether the promises held."""

    provider: str
    ours: float
    theirs: float
    first: float
    memory: float
    events: int

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs

    @property
    def broken(self) -> list[str]:
        """Promises that did not hold, in words."""
        found = []
        if self.ratio > MOST_TIME:
            found.append(f"{self.provider}: {self.ratio:.2f} times the SDK's time, more than {MOST_TIME:g}")
        if self.memory > MOST_MEMORY:
            found.append(f"{self.provider}: {self.memory:.0f} bytes a machine, more than {MOST_MEMORY}")
        if self.first > FIRST:
            found.append(f"{self.provider}: on the board {self.first:.2f} s after the first page, more than {FIRST:g}")
        if self.events:
            found.append(f"{self.provider}: {self.events} publications though nothing had changed")
        return found


def verdicts(rows: list[Row]) -> list[Verdict]:
    """What the rows say, a provider each."""
    found = []
    for provider in PROVIDERS:
        ours = [row for row in rows if (row.provider, row.tool) == (provider, "umsui")]
        theirs = [row for row in rows if (row.provider, row.tool) == (provider, "sdk")]
        if ours and theirs:
            found.append(
                Verdict(
                    provider,
                    median(row.seconds for row in ours),
                    median(row.seconds for row in theirs),
                    median(row.first_seconds - (row.page_seconds or 0.0) for row in ours),
                    median(row.machine_bytes or 0.0 for row in ours),
                    max(row.refresh_events or 0 for row in ours),
                )
            )
    return found


def plain(rows: list[Row]) -> list[dict[str, Any]]:
    """The contract's rows."""
    return [{"figure": "inventory", **asdict(row)} for row in rows]
