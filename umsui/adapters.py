"""The protocols that the outside is reached through; ``backends/`` implements them, found by entry points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from umsui.model import Node, Service, Specification


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

    def remove(self, transport: Transport, service: str, *, volumes: Sequence[str] = ()) -> None:
        """Kill and remove it, and these of its named volumes. Removing what is not there is no error."""


def load(group: str, name: str) -> Any:
    """The adapter called ``name`` of ``group`` ("orchestrators", "transports", "providers").

    Raises KeyError when no installed package provides it.
    """
    for point in entry_points(group=f"umsui.{group}", name=name):
        return point.load()
    raise KeyError(name)
