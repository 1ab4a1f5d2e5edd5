"""What an agent finds out at both ends before anything is decided; nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

from umsui.core.session import Session
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.interface.protocol import End


class Probes:
    """Probes of one plan: an agent on each end that is asked, gone when the plan is made.

    Used as a context manager. All methods raise Unreachable, TimedOut and ``umsui.core.session.AgentError``.
    """

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            session.close()

    def _session(self, end: End) -> Session:
        key = id(end.transport)
        if key not in self._sessions:
            where = f"{end.place.cluster}/{end.place.node}"
            self._sessions[key] = Session(end.transport, where, end.user)
        return self._sessions[key]

    def warm(self, *ends: End) -> None:
        """Start the agents of several ends at once."""
        with ThreadPoolExecutor(len(ends)) as pool:
            list(pool.map(self._session, ends))

    def node(self, end: End) -> NodeFacts:
        """What the node has and lacks."""
        found = self._session(end).call("node")
        found["listening_ports"] = frozenset((protocol, port) for protocol, port in found["listening_ports"])
        for name in ("criu", "criu_needs"):
            found[name] = tuple(found[name]) if found[name] is not None else None
        for name in ("cpu_flags", "images", "container_names"):
            found[name] = frozenset(found[name])
        return NodeFacts(**known(NodeFacts, found))

    def service(self, end: End, name: str) -> ServiceFacts:
        """What the service is made of at this moment."""
        found = self._session(end).call("service", container=name)
        lists = ("pids", "writable_shared_maps", "established", "unix_external", "devices", "caps")
        return ServiceFacts(**known(ServiceFacts, {**found, **{key: tuple(found[key]) for key in lists}}))

    def link(self, source: End, destination: End) -> LinkFacts:
        """Whether the source reaches the destination's SSH port, how far and how wide."""
        bulk = self._session(destination).call("listen")["port"]
        there = destination.transport
        found = self._session(source).call("measure", address=there.address, port=there.port, bulk=bulk)
        return LinkFacts(found["reachable"], found["error"], found["rtt"] or 0.0, found["bandwidth"])


def known(shape: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Of what an agent tells, that which the shape has."""
    names = {field.name for field in fields(shape)}
    return {name: value for name, value in found.items() if name in names}
