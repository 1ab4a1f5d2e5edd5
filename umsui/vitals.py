"""What a screen shows of one service or one node for as long as it is open; asked for then and only then.

Times are seconds (instants are Unix time), sizes bytes, rates bytes per second.
"""

from __future__ import annotations

from dataclasses import dataclass

from umsui.model import Node, Place

Points = tuple[tuple[float, float], ...]
"""A value over time: (when, how much), oldest first."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a service."""

    pid: int  # as the node counts
    inner: int  # as the service itself counts
    user: int  # numeric: names differ between a node and its containers
    state: str  # R, S, D, T, Z …, as ps has them
    memory: int  # resident
    cpu: float  # seconds of processor since it started
    threads: int
    command: str


@dataclass(frozen=True, slots=True)
class Socket:
    """One open TCP or UDP socket of a service."""

    protocol: str  # tcp | udp
    state: str  # LISTEN, ESTABLISHED, …; "" for UDP
    local: str  # address:port
    remote: str  # "" where there is none
    pid: int


@dataclass(frozen=True, slots=True)
class Volume:
    """How much one mount holds; None when it could not be counted in time."""

    path: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Vitals:
    """A service at one moment, and its memory until then."""

    at: float
    processes: tuple[Process, ...] = ()
    sockets: tuple[Socket, ...] = ()
    volumes: tuple[Volume, ...] = ()
    memory: Points = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The way between two nodes, as last measured."""

    source: Place
    destination: Place
    at: float
    reachable: bool = True
    error: str = ""
    rtt: float = 0.0
    bandwidth: float | None = None  # None when only SSH passes


@dataclass(frozen=True, slots=True)
class NodeDetail:
    """A node, how busy it was, and the ways from and to it that were measured."""

    node: Node
    load: Points = ()
    memory_free: Points = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Shell:
    """The local command that opens a shell in a service."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogLines:
    """Some lines of a service's log; ``dropped`` counts those lost since it is followed: nobody took them in time."""

    lines: tuple[str, ...]
    dropped: int = 0
