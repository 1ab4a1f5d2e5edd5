"""The protocols that the outside is reached through; ``backends/`` implements them, found by entry points."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from umsui.model import ManagedCluster, Node, Service, Specification


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished remote command."""

    status: int
    stdout: bytes
    stderr: bytes


class Stream(Protocol):
    """A duplex byte stream to a program on a node; ``read`` gives b"" at its end."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; blocks until there is one."""

    def write(self, data: bytes) -> None:
        """All of ``data``. Raises Unreachable when the link is gone."""

    def close(self) -> None:
        """End it; the program sees the end of its input. May be called twice."""


class Transport(Protocol):
    """One persistent connection to one node. Thread-safe."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        """Run a command as the login user; a non-zero status is returned.

        Raises Unreachable, HostKeyChanged, TimedOut.
        """

    def open(self, argv: Sequence[str]) -> Stream:
        """Start a program and stay connected with its standard input and output."""

    def program(self, argv: Sequence[str]) -> list[str]:
        """A local program whose ends are those of one there, for bytes in bulk. Raises BadInput where there is none."""

    @property
    def address(self) -> str:
        """The host's address as others reach it."""

    @property
    def port(self) -> int:
        """The SSH port."""

    @property
    def host_key(self) -> str:
        """The verified host key, as in a known_hosts line: ``ssh-ed25519 AAAA…``."""

    def close(self) -> None:
        """Drop the connection. May be called twice."""


class Orchestrator(Protocol):
    """What manages the containers of a node."""

    name: str

    def survey(self, transport: Transport, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        """The node with its facts filled in, and its services: one remote command."""

    def specification(self, transport: Transport, service: str) -> Specification:
        """What the service is made of. Raises BadInput when there is none of that name."""

    def raw(self, transport: Transport, service: str) -> Mapping[str, Any]:
        """The orchestrator's own description of the service (``podman inspect``)."""

    def particulars(self, transport: Transport, service: str) -> Sequence[str]:
        """What the specification has no field for, in this orchestrator's own words (for ``create`` at its like)."""

    def unsupported(self, raw: Mapping[str, Any]) -> Sequence[str]:
        """What a service has that cannot be created elsewhere, in words."""

    def create(self, transport: Transport, spec: Specification, particulars: Sequence[str] = ()) -> str:
        """Create the service, not started; returns its id. Raises CommandFailed."""

    def start(self, transport: Transport, service: str) -> None:
        """Start it."""

    def has_image(self, transport: Transport, image: str) -> bool:
        """Whether an image of this id (or name) is there."""

    def differences(self, source: Mapping[str, Any], destination: Mapping[str, Any]) -> Sequence[object]:
        """How two of ``raw``'s descriptions differ in what they should share; each prints as words."""

    def logs(self, transport: Transport, service: str, lines: int) -> list[str]:
        """The last lines that the service wrote."""

    def logs_command(self, service: str, lines: int) -> Sequence[str]:
        """What prints, on the node, the last lines that the service wrote and then each new one."""

    def shell_command(self, service: str) -> Sequence[str]:
        """What opens, on the node and on a terminal, a shell in the service."""

    def remove(self, transport: Transport, service: str, *, volumes: Sequence[str] = ()) -> None:
        """Kill and remove it, and these of its named volumes. Removing what is not there is no error."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a cluster's own API tells of it: as far as the credentials may see."""

    nodes: tuple[Node, ...]
    services: tuple[Service, ...]
    lacking: tuple[str, ...] = ()  # what they may not see, in the API's words
    fix: str = ""


class ApiOrchestrator(Orchestrator, Protocol):
    """One with an API of its own: it tells of the whole cluster, and no node is asked itself."""

    def follow(self, transport: Transport, cluster: str, tell: Callable[[Seen], None], stop: threading.Event) -> None:
        """Tell what there is, now and whenever it changes, until ``stop``.

        Raises Unreachable and its kinds as soon as that cannot be told any more, BadInput for a wrong config.
        """

    def deploy(
        self,
        transport: Transport,
        node: str,
        spec: Specification,
        requests: Mapping[str, float],
        ready: Callable[[], None],
    ) -> str:
        """Start a service, on ``node`` unless that is "", and wait until it runs and ``ready`` returns; its id.

        ``requests`` is what is kept free for it: ``memory`` in bytes, ``cpu`` in cores; its limits may be higher.
        Raises CommandFailed, Refused, or what ``ready`` raises; then nothing is left of it.
        """

    def program(
        self, transport: Transport, service: str, argv: Sequence[str], *, framed: bool = False
    ) -> subprocess.Popen[bytes]:
        """A local program joined with a command in the service's container; its three ends are pipes.

        ``framed``: the command takes its input in frames (four bytes of length, then that much; none is the end), and
        so is told of its end. Elsewhere the end of the input ends the program and the connection.
        """

    def node_facts(self, transport: Transport, node: str) -> Mapping[str, Any]:
        """What the API tells of a node, with the names of ``umsui.interface.facts.NodeFacts``."""

    def follow_logs(self, transport: Transport, service: str, lines: int) -> Stream:
        """The last lines that the service wrote, and then each new one. Raises BadInput."""

    def elsewhere(self, transport: Transport, service: str) -> Sequence[tuple[bool, str]]:
        """What other orchestrators have no counterpart for: whether that forbids a move to them, and in words."""

    def address(self, transport: Transport, service: str) -> str:
        """The service's own address. Raises BadInput."""

    def identity(self, transport: Transport, service: str) -> Mapping[str, str]:
        """What must stay as it is while the service is moved; ``created``, Unix time. Raises BadInput: it is gone."""

    def reserve(
        self,
        transport: Transport,
        node: str,
        spec: Specification,
        particulars: Sequence[str],
        migration: str,
        *,
        checkpoint: str = "",
    ) -> None:
        """Create and start the service so that it waits for a restore, marked as this migration's; nobody is led to it.

        With the image of a ``checkpoint``, its node's runtime restores it; it is not waited for here.
        Raises Refused for what is in the way there, CommandFailed when it does not start.
        """

    def starts(self, transport: Transport, service: str) -> bool:
        """Whether what was reserved runs. Raises CommandFailed when it cannot be started."""

    def note_address(self, transport: Transport, service: str, address: str) -> None:
        """The address of what was reserved, as long as its API does not know it."""

    def container(self, transport: Transport, service: str) -> str:
        """The service's container, as its node's runtime knows it. Raises BadInput."""

    def checkpoint(self, transport: Transport, service: str, within: float) -> None:
        """Have the service's node checkpoint it, which takes ``within`` seconds at most; returns when that is done."""

    def reserved(self, transport: Transport, service: str) -> str:
        """The migration that it was reserved for; "" when there is none."""

    def discard(self, transport: Transport, service: str, migration: str) -> None:
        """Remove all that is marked as this migration's."""

    def lead(self, transport: Transport, service: str) -> None:
        """It runs: lead clients to it; its next start is a usual one."""

    def settle(self, transport: Transport, service: str, particulars: Sequence[str]) -> None:
        """Make its owner, which takes it over without making a second one; take the marks away."""

    def take_away(self, transport: Transport, service: str) -> None:
        """Remove it for good, its owner first, and its volumes."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The machines of a cluster, as far as the provider has told: ``complete`` when it has told all."""

    nodes: tuple[Node, ...]
    complete: bool


class Change(Protocol):
    """A machine that is being started or stopped; polled until it is done."""

    def poll(self) -> tuple[bool, str, float | None]:
        """Whether it is done, the provider's word for what goes on, and how far it is (0 to 1, None: not told).

        Raises UmsuiError when it failed.
        """


class Provider(Protocol):
    """Who runs the machines of one cluster. Its libraries are imported at the first call, which is bounded in time.

    Every call raises Unreachable, or its kinds NotLoggedIn, Forbidden and Throttled.
    """

    def listings(self) -> Iterator[Listing]:
        """All so far, after each page; the last listing is complete, with states and addresses."""

    def managed(self) -> Sequence[ManagedCluster]:
        """The Kubernetes clusters that the provider runs there."""

    def kubeconfig(self, managed: str) -> str:
        """Credentials for one of them, fetched now and kept nowhere."""

    def start(self, node: Node) -> Change:
        """Begin to start its machine."""

    def stop(self, node: Node) -> Change:
        """Begin to stop it, so that it is paid for no longer."""


def load(group: str, name: str) -> Any:
    """The adapter called ``name`` of ``group`` ("orchestrators", "transports", "providers").

    Raises KeyError when no installed package provides it.
    """
    for point in entry_points(group=f"umsui.{group}", name=name):
        return point.load()
    raise KeyError(name)
