"""A cluster that its orchestrator's own API tells of as a whole: one thread follows it, no node is asked itself."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from umsui.adapters import ApiOrchestrator, Seen, Transport
from umsui.config import ClusterConfig
from umsui.coordinator.history import History
from umsui.coordinator.watcher import STATES, a_fault
from umsui.errors import BadInput, UmsuiError
from umsui.interface.protocol import End
from umsui.model import Authority, ClusterState, Node, Place, Service

log = logging.getLogger(__name__)

BACKOFF = 10.0  # seconds at most between two attempts: whoever logs in anew does not wait long


@dataclass(frozen=True, slots=True)
class ApiNode:
    """One node of such a cluster, with what ``umsui.coordinator.watcher.Watcher`` has for everyone."""

    place: Place
    node: Node
    seen: float  # Unix time
    _cluster: ApiCluster

    @property
    def busy(self) -> History:
        """Nothing: an API tells what is reserved, not what is used."""
        return History()

    memory = busy

    def end(self) -> End:
        """This node as one end of a migration."""
        return self._cluster.end(self.place.node)

    def interactive(self, argv: Sequence[str]) -> list[str]:
        """A local command that gives kubectl these words, for this cluster, on this terminal."""
        config = self._cluster.config
        files = ["--kubeconfig", str(config.kubeconfig.expanduser())] if config.kubeconfig else []
        return ["kubectl", *files, *(["--context", config.context] if config.context else []), *argv]


class ApiCluster:
    """Follows one cluster from a thread of its own. The other methods are for any thread."""

    def __init__(
        self,
        config: ClusterConfig,
        orchestrator: ApiOrchestrator,
        transport: Callable[..., Transport],
        login: Callable[..., Transport],
        changed: Callable[[], None],
    ) -> None:
        """``transport`` leads to its API, ``login`` to those of its nodes that the config names."""
        self.config = config
        self.orchestrator = orchestrator
        self.transport = transport(config.kubeconfig, config.context, config.namespaces)
        self._login = login
        self._shells: dict[str, Transport] = {}
        self.seen = Seen((), ())
        self.heard = 0.0  # Unix time: it was in touch then
        self._changed = changed
        self._trouble: UmsuiError | None = None
        self._live = False
        self._asked = threading.Event()
        self._state = threading.Condition()
        self._rounds = 0  # attempts that have told something, or failed

    # -- its thread -------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop``; when it breaks, begin again after a while, more and more rarely."""
        failures = 0
        while not stop.is_set():
            self._asked.clear()
            began = time.monotonic()
            try:
                self.orchestrator.follow(self.transport, self.config.name, self._tell, stop)
            except Exception as error:  # whatever it is, the watching must go on
                place = Place(self.config.name, "")
                self._fail(error if isinstance(error, UmsuiError) else a_fault(error, place))
            failures = 1 if time.monotonic() - began > BACKOFF else failures + 1
            wait = min(BACKOFF, 0.5 * 2.0 ** min(failures, 6)) * random.uniform(0.9, 1.1)  # noqa: S311
            self._asked.wait(0.0 if stop.is_set() else wait)
        for shell in list(self._shells.values()):
            shell.close()

    def _tell(self, seen: Seen) -> None:
        self.seen, self.heard, self._trouble = seen, time.time(), None
        self._ended(live=True)

    def _fail(self, error: UmsuiError) -> None:
        if self._trouble is None or self._trouble.message != error.message:
            log.info("%s: %s", self.config.name, error.message)
        if self._live:
            self.heard = time.time()
        self._trouble = error
        self._ended(live=False)

    def _ended(self, *, live: bool) -> None:
        with self._state:
            self._live = live
            self._rounds += 1
            self._state.notify_all()
        self._changed()

    # -- for everyone -----------------------------------------------------------------------------------------------

    def shell(self, name: str) -> Transport | None:
        """The one connection to a node itself, where the config says how and that it is ours. Raises BadInput."""
        node = next((each for each in self.config.nodes if each.name == name), None)
        if node is None or self.config.authority is not Authority.FULL:
            return None
        with self._state:
            if name not in self._shells:
                config = self.config
                self._shells[name] = self._login(node.ssh, identity=config.identity, known_hosts=config.known_hosts)
            return self._shells[name]

    def look(self) -> int:
        """Try again now, where it does not answer; returns a ticket for ``wait``."""
        with self._state:
            ticket = self._rounds + (0 if self._live else 1)
        self._asked.set()
        return ticket

    def wait(self, ticket: int, timeout: float) -> bool:
        """Until it has told something, or failed, since ``look``; what is followed is always as it is now."""
        with self._state:
            return self._state.wait_for(lambda: self._rounds >= ticket, timeout)

    def condition(self) -> tuple[ClusterState, str, str, float]:
        """State, error, fix, and seconds since it was in touch."""
        trouble, seen = self._trouble, self.seen
        if trouble is not None:
            age = time.time() - self.heard if self.heard else 0.0
            return STATES.get(trouble.code, ClusterState.UNREACHABLE), trouble.message, trouble.fix, age
        if not self.heard:
            return ClusterState.CONNECTING, "", "", 0.0
        if not seen.nodes and not seen.services:
            return ClusterState.EMPTY, "; ".join(seen.lacking) or "it has no nodes", seen.fix, 0.0
        return ClusterState.LIVE, "; ".join(seen.lacking), seen.fix, 0.0

    def nodes(self) -> tuple[Node, ...]:
        """As they were last told of; while it cannot be asked, in its own state."""
        state, error, _, age = self.condition()
        if self._trouble is None:
            return self.seen.nodes
        return tuple(replace(node, state=state, error=error, age=age) for node in self.seen.nodes)

    @property
    def services(self) -> tuple[Service, ...]:
        """As they were last told of."""
        return self.seen.services

    def end(self, node: str) -> End:
        """A node as one end of a migration, known or not: what a restarted coordinator has to finish cannot wait."""
        shell = self.shell(node)
        user = getattr(shell, "user", "") or "root"
        return End(Place(self.config.name, node), self.transport, self.orchestrator, user, shell)

    def node(self, name: str) -> ApiNode:
        """One of its nodes. Raises BadInput."""
        place = Place(self.config.name, name)
        for each in self.nodes():
            if each.name == name:
                return ApiNode(place, each, self.heard if self._trouble else time.time(), self)
        raise BadInput(f"there is no node {self.config.name}/{name}", "`umsui nodes` lists them", code="unknown-node")
