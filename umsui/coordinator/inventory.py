"""What runs where: a thread a node, so that one that does not answer delays no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from umsui import adapters
from umsui.config import ClusterConfig, Config
from umsui.coordinator.bus import Bus
from umsui.coordinator.codec import encode
from umsui.coordinator.watcher import Watcher
from umsui.errors import BadInput
from umsui.interface import APPROACHES
from umsui.interface.protocol import End
from umsui.model import Approach, Authority, Cluster, ClusterState, Migration, Node, Place, Service, ServiceState, Step

STALE = 3.0  # polls that may be missed before a node's state is called stale
GAP = 0.2  # seconds at least between two publications: a cluster of 1,000 nodes changes all the time
LOOK = 1.0  # seconds between two looks for a new watcher, and for clusters that have grown stale
LABEL = "umsui.io/migration"
AFTER_COMMIT = {Step.COMMIT, Step.FIRST_REPLY, Step.REMOVE_SOURCE, Step.CLEAN_UP}
"""Steps in which, once the decision is made, the destination is the service and arrives no longer."""

Running = Callable[[], Sequence[Migration]]


class Inventory:
    """All clusters of the config, as they are known now. ``running`` are the migrations that go on."""

    def __init__(self, config: Config, bus: Bus, running: Running) -> None:
        self._config = config
        self._clusters = {cluster.name: cluster for cluster in config.clusters}
        self._bus = bus
        self._running = running
        self._stop = threading.Event()
        self._told: dict[str, Cluster] = {}
        self._dirty: set[str] = set()
        self._next: dict[str, float] = {}  # when each may be published again, by the monotonic clock
        self._change = threading.Condition()
        self._watchers: dict[Place, Watcher] = {}
        self._missing: dict[str, str] = {}  # cluster -> the adapter that it lacks
        for cluster in config.clusters:
            self._watch(cluster)
        self._of = {
            name: [watcher for watcher in self._watchers.values() if watcher.place.cluster == name]
            for name in self._clusters
        }

    def _watch(self, cluster: ClusterConfig) -> None:
        try:
            orchestrator = adapters.load("orchestrators", cluster.orchestrator)()
            transport = adapters.load("transports", "ssh")
        except KeyError as error:
            self._missing[cluster.name] = str(error.args[0])
            return
        for node in cluster.nodes:
            watcher = Watcher(cluster, node, orchestrator, transport, lambda: self.tell(cluster.name))
            self._watchers[watcher.place] = watcher

    def start(self) -> None:
        """Begin to poll."""
        threading.Thread(target=self._publish, name="board", daemon=True).start()
        for watcher in self._watchers.values():
            name = f"node {watcher.place.cluster}/{watcher.place.node}"
            threading.Thread(target=watcher.run, args=(self._pause, self._stop), name=name, daemon=True).start()

    def stop(self) -> None:
        """Poll no more."""
        self._stop.set()
        with self._change:
            self._change.notify_all()
        for watcher in self._watchers.values():
            watcher.look()

    def _pause(self) -> float:
        settings = self._config.coordinator
        return settings.poll_watched if self._bus.watched or self._running() else settings.poll_idle

    # -- looking ----------------------------------------------------------------------------------------------------

    def refresh(self) -> list[Cluster]:
        """Ask every node now and wait until each has answered or failed, ``coordinator.timeout`` seconds at most."""
        end = time.monotonic() + self._config.coordinator.timeout
        asked = [(watcher, watcher.look()) for watcher in self._watchers.values()]
        for watcher, ticket in asked:
            watcher.wait(ticket, max(end - time.monotonic(), 0.0))
        return self.clusters()

    def look(self, *places: Place) -> None:
        """Look at these nodes now: something has just changed there."""
        for place in places:
            if place in self._watchers:
                self._watchers[place].look()

    def _look_again(self) -> None:
        """Somebody begins to watch: what was seen a while ago is looked at anew."""
        fresh = time.time() - self._config.coordinator.poll_watched
        for watcher in self._watchers.values():
            if watcher.seen < fresh:
                watcher.look()

    def end(self, place: Place) -> End:
        """A connection to that node. Raises BadInput."""
        if place not in self._watchers:
            message = f"there is no node {place.cluster}/{place.node}"
            raise BadInput(message, "`umsui nodes` lists them", code="unknown-node")
        return self._watchers[place].end()

    def places(self) -> list[Place]:
        """All nodes."""
        return list(self._watchers)

    def ends(self) -> list[End]:
        """All nodes. Raises BadInput for an address that is none."""
        return [watcher.end() for watcher in self._watchers.values()]

    # -- telling ----------------------------------------------------------------------------------------------------

    def tell(self, name: str) -> None:
        """Something about this cluster may have changed: it is published soon, if it has."""
        if name in self._clusters:
            with self._change:
                self._dirty.add(name)
                self._change.notify_all()

    def _publish(self) -> None:
        """Tell what has changed: at once, but of each cluster at most once a ``GAP``."""
        watched, wait = False, LOOK
        while not self._stop.is_set():
            with self._change:
                quiet = not self._change.wait_for(lambda: self._stop.is_set() or self._due(), wait)
                due = set(self._clusters) if quiet and not self._dirty else self._due()
                self._dirty -= due
            for name in sorted(due):
                self._tell(name)
                self._next[name] = time.monotonic() + GAP
            wait = GAP if self._dirty else LOOK
            if self._bus.watched and not watched:
                self._look_again()
            watched = self._bus.watched

    def _due(self) -> set[str]:
        now = time.monotonic()
        return {name for name in self._dirty if self._next.get(name, 0.0) <= now}

    def _tell(self, name: str) -> None:
        """Publish a cluster, if more than ages differs from what was last published."""
        cluster = self._cluster(self._clusters[name], self._moves())
        ageless = replace(cluster, age=0.0, nodes=tuple(replace(node, age=0.0) for node in cluster.nodes))
        if self._told.get(name) != ageless:
            self._told[name] = ageless
            self._bus.publish("cluster", encode(cluster))

    def clusters(self, without: str = "") -> list[Cluster]:
        """The board; ``without`` is a migration that does not count (its own plan must not see it)."""
        moves = self._moves(without)
        return [self._cluster(cluster, moves) for cluster in self._config.clusters]

    # -- putting together -------------------------------------------------------------------------------------------

    def _moves(self, without: str = "") -> Mapping[tuple[str, str, str], tuple[Migration, ServiceState]]:
        """(cluster, node, service) -> the migration that it takes part in, and how."""
        found: dict[tuple[str, str, str], tuple[Migration, ServiceState]] = {}
        for each in self._running():
            if each.id == without:
                continue
            name = each.service.partition("/")[2]
            found[each.source.cluster, each.source.node, name] = (each, ServiceState.MOVING)
            if each.cancellable or each.step not in AFTER_COMMIT:
                found[each.destination.cluster, each.destination.node, name] = (each, ServiceState.ARRIVING)
                found["", "", each.id] = (each, ServiceState.ARRIVING)
        return found

    def _cluster(
        self, config: ClusterConfig, moves: Mapping[tuple[str, str, str], tuple[Migration, ServiceState]]
    ) -> Cluster:
        watchers, now = self._of[config.name], time.time()
        nodes = tuple(self._aged(watcher, now) for watcher in watchers)
        approach = usual_approach(config)
        services = [_marked(service, moves, approach) for watcher in watchers for service in watcher.services]
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
            simulated=config.lab,
            nodes=nodes,
            services=tuple(sorted(services, key=lambda service: (service.name, service.node))),
        )

    def _aged(self, watcher: Watcher, now: float) -> Node:
        node, seen = watcher.node, watcher.seen
        age = max(now - seen, 0.0) if seen else 0.0
        stale = node.state is ClusterState.LIVE and age > STALE * self._config.coordinator.poll_idle
        return replace(node, age=age, state=ClusterState.STALE if stale else node.state)

    def _state(
        self, config: ClusterConfig, watchers: Sequence[Watcher], nodes: Sequence[Node]
    ) -> tuple[ClusterState, str, str]:
        """The best state among its nodes, with the first error."""
        if config.name in self._missing:
            adapter = self._missing[config.name]
            fix = f"pip install 'umsui[{adapter}]'" if adapter in ("docker", "kubernetes") else ""
            return ClusterState.UNREACHABLE, f"no adapter for {adapter} is installed", fix
        if not watchers:
            return ClusterState.EMPTY, "no nodes are configured", "add nodes to the config"
        order = [ClusterState.LIVE, ClusterState.STALE, ClusterState.CONNECTING, ClusterState.FORBIDDEN]
        states = {node.state for node in nodes}
        state = next((each for each in order if each in states), ClusterState.UNREACHABLE)
        failed = next((watcher for watcher in watchers if watcher.node.error), None)
        return (state, failed.node.error, failed.fix) if failed else (state, "", "")


def _marked(
    service: Service,
    moves: Mapping[tuple[str, str, str], tuple[Migration, ServiceState]],
    approach: Approach | None,
) -> Service:
    """With the migration that it takes part in; the reserved container is also known by its label."""
    found = moves.get((service.cluster, service.node, service.name)) or moves.get(
        ("", "", service.labels.get(LABEL, ""))
    )
    if found is None:
        return replace(service, approach=None if service.obstacle else approach)
    migration, state = found
    obstacle = "" if state is ServiceState.ARRIVING else service.obstacle
    return replace(
        service, state=state, migration=migration.id, obstacle=obstacle, approach=None if obstacle else approach
    )


def usual_approach(cluster: ClusterConfig) -> Approach | None:
    """The approach for a service of this cluster, as far as authority alone tells; a plan tells more."""
    built = {approach for approach, _, source, _ in APPROACHES if source == cluster.orchestrator}
    allowed = [Approach.ORCHESTRATOR] if cluster.authority is Authority.FULL else []
    allowed += [Approach.SERVICE] if cluster.authority is not Authority.NONE else []
    return next((each for each in (*allowed, Approach.CONTAINER) if each in built), None)
