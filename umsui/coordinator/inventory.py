"""What runs where: a thread a node, so that one that does not answer delays no other."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from umsui import adapters
from umsui.adapters import Orchestrator, Transport
from umsui.config import ClusterConfig, Config, NodeConfig
from umsui.coordinator.bus import Bus
from umsui.coordinator.codec import encode
from umsui.errors import BadInput, HostKeyChanged, UmsuiError
from umsui.interface import APPROACHES
from umsui.interface.protocol import End
from umsui.model import Approach, Authority, Cluster, ClusterState, Migration, Node, Place, Service, ServiceState

log = logging.getLogger(__name__)

STALE = 3.0  # polls that may be missed before a node's state is called stale
BACKOFF = 60.0  # seconds at most between two attempts at a node that does not answer

Running = Callable[[], Sequence[Migration]]


class Watcher:
    """One node: its connection, and what was last seen there."""

    def __init__(
        self, cluster: ClusterConfig, node: NodeConfig, orchestrator: Orchestrator, changed: Callable[[], None]
    ) -> None:
        self.place = Place(cluster.name, node.name)
        self.orchestrator = orchestrator
        self.transport: Transport = adapters.load("transports", "ssh")(
            node.ssh, identity=cluster.identity, known_hosts=cluster.known_hosts
        )
        self.user = node.ssh.rpartition("@")[0] or "root"
        self.node = Node(cluster.name, node.name, node.ssh)
        self.services: tuple[Service, ...] = ()
        self.fix = ""
        self.seen = 0.0
        self.asked = threading.Event()
        self.answered = threading.Condition()
        self.rounds = 0
        self._changed = changed
        self._failures = 0

    def run(self, pause: Callable[[], float], stop: threading.Event) -> None:
        """Poll until ``stop``."""
        while not stop.is_set():
            self.poll()
            wait = pause() if not self._failures else min(BACKOFF, pause() * 2**self._failures)
            self.asked.wait(wait * random.uniform(0.9, 1.1))  # noqa: S311 - jitter: nodes must not be polled in step
            self.asked.clear()
        self.transport.close()

    def poll(self) -> None:
        """Look once; what went wrong becomes the node's state."""
        before = (self.node, self.services)
        try:
            node, services = self.orchestrator.survey(self.transport, self.place.cluster, self.node)
        except Exception as failure:  # whatever it is, the watching must go on
            error = failure if isinstance(failure, UmsuiError) else a_fault(failure, self.place)
            refused = isinstance(error, HostKeyChanged) or error.code == "auth"
            state = ClusterState.FORBIDDEN if refused else ClusterState.UNREACHABLE
            self.node = replace(self.node, state=state, error=error.message, software={})
            self.fix = error.fix
            self._failures = min(self._failures + 1, 6)
        else:
            self.node = replace(node, state=ClusterState.LIVE, error="", age=0.0)
            self.services, self.fix, self.seen, self._failures = services, "", time.time(), 0
        with self.answered:
            self.rounds += 1
            self.answered.notify_all()
        if (self.node, self.services) != before:
            self._changed()

    def end(self) -> End:
        """This node as one end of a migration."""
        return End(self.place, self.transport, self.orchestrator, self.user)


def a_fault(error: Exception, place: Place) -> UmsuiError:
    """What is none of our errors, as one."""
    log.error("%s/%s", place.cluster, place.node, exc_info=error)
    words = f"a fault of umsui: {type(error).__name__}: {error}"
    return UmsuiError(words, "the coordinator's log has the details; please report it", code="fault")


class Inventory:
    """All clusters of the config, as they are known now."""

    def __init__(self, config: Config, bus: Bus, running: Running) -> None:
        self._config = config
        self._bus = bus
        self._running = running
        self._stop = threading.Event()
        self._told: dict[str, Cluster] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        for cluster in config.clusters:
            self._watchers[cluster.name] = self._watch(cluster)

    def _watch(self, cluster: ClusterConfig) -> list[Watcher]:
        try:
            orchestrator = adapters.load("orchestrators", cluster.orchestrator)()
        except KeyError:
            return []  # the cluster says so itself
        changed = lambda: self.tell(cluster.name)  # noqa: E731
        return [Watcher(cluster, node, orchestrator, changed) for node in cluster.nodes]

    def start(self) -> None:
        """Begin to poll."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                name = f"node {watcher.place.cluster}/{watcher.place.node}"
                threading.Thread(target=watcher.run, args=(self._pause, self._stop), name=name, daemon=True).start()

    def stop(self) -> None:
        """Poll no more."""
        self._stop.set()
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.asked.set()

    def _pause(self) -> float:
        settings = self._config.coordinator
        return settings.poll_watched if self._bus.watched or self._running() else settings.poll_idle

    def refresh(self) -> list[Cluster]:
        """Ask every node now and wait until each has answered or failed, ``coordinator.timeout`` seconds at most."""
        end = time.monotonic() + self._config.coordinator.timeout
        before = {id(watcher): watcher.rounds for watchers in self._watchers.values() for watcher in watchers}
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.asked.set()
        for watchers in self._watchers.values():
            for watcher in watchers:
                with watcher.answered:
                    left = end - time.monotonic()
                    watcher.answered.wait_for(lambda w=watcher: w.rounds > before[id(w)], max(left, 0.0))  # type: ignore[misc]
        return self.clusters()

    def tell(self, name: str) -> None:
        """Publish a cluster, if it differs from what was last published."""
        cluster = next((self._cluster(each) for each in self._config.clusters if each.name == name), None)
        if cluster is not None:
            ageless = replace(cluster, age=0.0, nodes=tuple(replace(node, age=0.0) for node in cluster.nodes))
            if self._told.get(name) != ageless:
                self._told[name] = ageless
                self._bus.publish("cluster", encode(cluster))

    def clusters(self, without: str = "") -> list[Cluster]:
        """The board; ``without`` is a migration that does not count (its own plan must not see it)."""
        return [self._cluster(cluster, without) for cluster in self._config.clusters]

    def _cluster(self, config: ClusterConfig, without: str = "") -> Cluster:
        watchers = self._watchers[config.name]
        now = time.time()
        nodes = tuple(self._aged(watcher, now) for watcher in watchers)
        moving = {m.service: m for m in self._running() if m.id != without}
        approach = usual_approach(config)
        services = [
            replace(self._marked(service, moving), approach=None if service.obstacle else approach)
            for watcher in watchers
            for service in watcher.services
        ]
        state, error, fix = self._state(config, watchers, nodes)
        return Cluster(
            name=config.name,
            provider=config.provider,
            orchestrator=config.orchestrator,
            authority=config.authority,
            protected=config.protected,
            state=state,
            error=error,
            fix=fix,
            age=max((node.age for node in nodes), default=0.0),
            nodes=nodes,
            services=tuple(sorted(services, key=lambda service: (service.name, service.node))),
        )

    def _aged(self, watcher: Watcher, now: float) -> Node:
        age = now - watcher.seen if watcher.seen else 0.0
        stale = watcher.node.state is ClusterState.LIVE and age > STALE * self._config.coordinator.poll_idle
        return replace(watcher.node, age=age, state=ClusterState.STALE if stale else watcher.node.state)

    def _marked(self, service: Service, moving: dict[str, Migration]) -> Service:
        migration = moving.get(service.key)
        if migration is not None and service.node == migration.source.node:
            return replace(service, state=ServiceState.MOVING, migration=migration.id)
        for each in moving.values():
            there = (each.destination.cluster, each.destination.node, each.service.partition("/")[2])
            if there == (service.cluster, service.node, service.name):
                return replace(service, state=ServiceState.ARRIVING, migration=each.id, obstacle="")
        return service

    def _state(
        self, config: ClusterConfig, watchers: list[Watcher], nodes: tuple[Node, ...]
    ) -> tuple[ClusterState, str, str]:
        """The best state among its nodes, with the first error."""
        if not watchers:
            if config.nodes:
                return ClusterState.UNREACHABLE, f"no adapter for {config.orchestrator} is installed", ""
            return ClusterState.EMPTY, "no nodes are configured", "add nodes to the config"
        order = [ClusterState.LIVE, ClusterState.STALE, ClusterState.CONNECTING, ClusterState.FORBIDDEN]
        states = {node.state for node in nodes}
        state = next((each for each in order if each in states), ClusterState.UNREACHABLE)
        failed = next((watcher for watcher in watchers if watcher.node.error), None)
        return (state, failed.node.error, failed.fix) if failed else (state, "", "")

    def end(self, place: Place) -> End:
        """A connection to that node. Raises BadInput."""
        for watcher in self._watchers.get(place.cluster, ()):
            if watcher.place == place:
                return watcher.end()
        raise BadInput(
            f"there is no node {place.cluster}/{place.node}", "`umsui nodes` lists them", code="unknown-node"
        )

    def ends(self) -> list[End]:
        """All nodes."""
        return [watcher.end() for watchers in self._watchers.values() for watcher in watchers]

    def look(self, *places: Place) -> None:
        """Look at these nodes now: something has just changed there."""
        for place in places:
            for watcher in self._watchers.get(place.cluster, ()):
                if watcher.place == place:
                    watcher.asked.set()


def usual_approach(cluster: ClusterConfig) -> Approach | None:
    """The approach for a service of this cluster, as far as authority alone tells; a plan tells more."""
    built = {approach for approach, _, source, _ in APPROACHES if source == cluster.orchestrator}
    allowed = [Approach.ORCHESTRATOR] if cluster.authority is Authority.FULL else []
    allowed += [Approach.SERVICE] if cluster.authority is not Authority.NONE else []
    return next((each for each in (*allowed, Approach.CONTAINER) if each in built), None)
