"""What an agent finds out at both ends before anything is decided; nothing is changed by asking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from types import TracebackType
from typing import Any, Self

from umsui.core.agents import Agents
from umsui.core.session import AgentError, Session
from umsui.errors import Unreachable
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
        self._why: dict[Place, str] = {}  # nodes beside an API: why there is no agent
        self._began = time.time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._lent:
            self._agents.close()

    def _session(self, end: End) -> Session:
        return self._agents.at(end.place, end.shell, end.user)

    def _unreached(self, end: End) -> str:
        """Why there is no agent on its node; "" when there is one."""
        if end.through_api and end.node is None:
            return "the config says no way to log in to it"
        if not end.through_api:
            self._session(end)
        elif end.place not in self._why:
            try:
                self._session(end)
                self._why[end.place] = ""
            except Unreachable as error:
                self._why[end.place] = error.message
        return self._why.get(end.place, "")

    def warm(self, *ends: End) -> None:
        """Start the agents of several ends at once."""
        with ThreadPoolExecutor(max(len(ends), 1)) as pool:
            list(pool.map(self._unreached, ends))

    def node(self, end: End, *, taken: bool = False) -> NodeFacts:
        """What the node has and lacks; ``taken``: also which names and ports are, and its images."""
        if not end.through_api:
            return self._node(end, taken)
        told, unreached = api_probe.node(end), self._unreached(end)
        return replace(told, unreached=unreached) if unreached else api_probe.both(told, self._node(end, taken))

    def _node(self, end: End, taken: bool) -> NodeFacts:
        session = self._session(end)
        asked = time.time()
        told = float(session.call("clock")["clock"])
        ahead = told - (asked + time.time()) / 2  # of our own clock: nodes are asked at different times
        found = session.call("node", engine=end.orchestrator.name, taken=taken)
        return node_facts({**found, "clock": self._began + ahead})

    def service(self, end: End, name: str) -> ServiceFacts:
        """What the service is made of at this moment."""
        if not end.through_api:
            return self._service(end, name)
        told = api_probe.service(end, name, self._agents)
        if self._unreached(end) or api_probe.nested(end, name):
            return told
        try:
            seen = self._service(end, api_probe.container(end, name))
        except AgentError:
            return told  # its node knows nothing of it that orchestrator-level could work with
        return replace(seen, elsewhere=told.elsewhere, inside=told.inside)

    def _service(self, end: End, container: str) -> ServiceFacts:
        return service_facts(
            self._session(end).call("service", engine=end.orchestrator.name, container=container, planned=True)
        )

    def paths(self, end: End, paths: Sequence[str]) -> Mapping[str, str]:
        """What each of these paths is there: ``missing``, ``empty`` or ``folder``, ``file``, ``socket``, ``device``."""
        if end.through_api:
            return dict.fromkeys(paths, "missing")
        found: Mapping[str, str] = self._session(end).call("kinds", paths=list(paths))["kinds"]
        return found

    def cpu(self, source: End, destination: End) -> str:
        """CRIU's own comparison of the two CPUs: its complaint, "" when it has none or cannot tell."""
        if self._unreached(source) or self._unreached(destination):
            return ""  # there is nobody to ask before the destination's container runs
        image = self._session(source).call("cpuinfo")["image"]
        return str(self._session(destination).call("cpu_fits", image=image)["error"]) if image else ""

    def link(self, source: End, destination: End) -> LinkFacts:
        """Whether the source reaches the destination's SSH port, how far and how wide."""
        if self._unreached(source) or self._unreached(destination):
            return LinkFacts()  # everything goes through the coordinator
        bulk = self._session(destination).call("listen")["port"]
        there = destination.shell
        found = self._session(source).call("measure", address=there.address, port=there.port, bulk=bulk)
        facts = LinkFacts(found["reachable"], found["error"], found["rtt"] or 0.0, found["bandwidth"])
        if self._learn is not None:
            self._learn(source.place, destination.place, facts)
        return facts


def node_facts(found: Mapping[str, Any]) -> NodeFacts:
    """What an agent tells of its node, in its shape."""
    shaped = dict(found)
    for name in ("criu", "criu_needs"):
        shaped[name] = tuple(found[name]) if found[name] is not None else None
    for name in {"cpu_flags", "images", "container_names", "pids", "layers", "volumes", "networks"} & found.keys():
        shaped[name] = frozenset(found[name])
    if "listening_ports" in found:
        shaped["listening_ports"] = frozenset((protocol, port) for protocol, port in found["listening_ports"])
    return NodeFacts(**known(NodeFacts, shaped))


def service_facts(found: Mapping[str, Any]) -> ServiceFacts:
    """What an agent tells of a service, in its shape."""
    lists = ("pids", "uids", "gids", "writable_shared_maps", "established", "unix_external", "devices", "caps")
    return ServiceFacts(**known(ServiceFacts, {**found, **{key: tuple(found[key]) for key in lists}}))


def known(shape: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Of what an agent tells, that which the shape has."""
    names = {field.name for field in fields(shape)}
    return {name: value for name, value in found.items() if name in names}
