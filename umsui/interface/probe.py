"""What an agent finds out at both ends before anything is decided; nothing is changed by asking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

from umsui.core.agents import Agents
from umsui.core.session import Session
from umsui.interface import api_probe
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.interface.protocol import End
from umsui.model import Place

Learn = Callable[[Place, Place, LinkFacts], None]


class Probes:
    """Probes of one plan: an agent on each end that is asked, gone when the plan is made, unless somebody lent them.

    Used as a context manager. All methods raise Unreachable, TimedOut and ``umsui.core.session.AgentError``.
    """

    def __init__(self, learn: Learn | None = None, agents: Agents | None = None) -> None:
        """``learn`` is told of each link that is measured; ``agents`` go on when the plan is made."""
        self._learn = learn
        self._agents = agents or Agents()
        self._lent = agents is not None
        self._began = time.time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._lent:
            self._agents.close()

    def _session(self, end: End) -> Session:
        return self._agents.at(end.place, end.transport, end.user)

    def warm(self, *ends: End) -> None:
        """Start the agents of several ends at once."""
        asked = [end for end in ends if not end.through_api]
        with ThreadPoolExecutor(max(len(asked), 1)) as pool:
            list(pool.map(self._session, asked))

    def node(self, end: End) -> NodeFacts:
        """What the node has and lacks."""
        if end.through_api:
            return api_probe.node(end)
        session = self._session(end)
        asked = time.time()
        told = float(session.call("clock")["clock"])
        ahead = told - (asked + time.time()) / 2  # of our own clock: nodes are asked at different times
        found = session.call("node", engine=end.orchestrator.name)
        return node_facts({**found, "clock": self._began + ahead})

    def service(self, end: End, name: str) -> ServiceFacts:
        """What the service is made of at this moment."""
        if end.through_api:
            return api_probe.service(end, name)
        return service_facts(self._session(end).call("service", engine=end.orchestrator.name, container=name))

    def paths(self, end: End, paths: Sequence[str]) -> Mapping[str, str]:
        """What each of these paths is there: ``missing``, ``empty`` or ``folder``, ``file``, ``socket``, ``device``."""
        if end.through_api:
            return dict.fromkeys(paths, "missing")
        found: Mapping[str, str] = self._session(end).call("kinds", paths=list(paths))["kinds"]
        return found

    def cpu(self, source: End, destination: End) -> str:
        """CRIU's own comparison of the two CPUs: its complaint, "" when it has none or cannot tell."""
        if source.through_api or destination.through_api:
            return ""  # there is nobody to ask before the destination's container runs
        image = self._session(source).call("cpuinfo")["image"]
        return str(self._session(destination).call("cpu_fits", image=image)["error"]) if image else ""

    def link(self, source: End, destination: End) -> LinkFacts:
        """Whether the source reaches the destination's SSH port, how far and how wide."""
        if source.through_api or destination.through_api:
            return LinkFacts()  # everything goes through the coordinator
        bulk = self._session(destination).call("listen")["port"]
        there = destination.transport
        found = self._session(source).call("measure", address=there.address, port=there.port, bulk=bulk)
        facts = LinkFacts(found["reachable"], found["error"], found["rtt"] or 0.0, found["bandwidth"])
        if self._learn is not None:
            self._learn(source.place, destination.place, facts)
        return facts


def node_facts(found: Mapping[str, Any]) -> NodeFacts:
    """What an agent tells of its node, in its shape."""
    shaped = dict(found)
    shaped["listening_ports"] = frozenset((protocol, port) for protocol, port in found["listening_ports"])
    for name in ("criu", "criu_needs"):
        shaped[name] = tuple(found[name]) if found[name] is not None else None
    for name in ("cpu_flags", "images", "container_names", "pids", "layers", "volumes", "networks"):
        shaped[name] = frozenset(found[name])
    return NodeFacts(**known(NodeFacts, shaped))


def service_facts(found: Mapping[str, Any]) -> ServiceFacts:
    """What an agent tells of a service, in its shape."""
    lists = ("pids", "uids", "gids", "writable_shared_maps", "established", "unix_external", "devices", "caps")
    return ServiceFacts(**known(ServiceFacts, {**found, **{key: tuple(found[key]) for key in lists}}))


def known(shape: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Of what an agent tells, that which the shape has."""
    names = {field.name for field in fields(shape)}
    return {name: value for name, value in found.items() if name in names}
