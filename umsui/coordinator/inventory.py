"""What runs where: a thread a node and a cloud, so that one that does not answer delays no other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from umsui import adapters
from umsui.adapters import ApiOrchestrator, Orchestrator, Transport
from umsui.config import ClusterConfig, Config, NodeConfig
from umsui.coordinator.api_cluster import ApiCluster, ApiNode
from umsui.coordinator.bus import Bus
from umsui.coordinator.codec import encode
from umsui.coordinator.fleet import OFF, Fleet, has_provider, managed_name
from umsui.coordinator.picture import Moves, ageless, marked, slim, together, usual_approach
from umsui.coordinator.quiet import Quiet
from umsui.coordinator.watcher import Watcher
from umsui.errors import BadInput, UmsuiError, Unreachable
from umsui.interface.protocol import End
from umsui.model import (
    Cluster,
    ClusterState,
    ManagedCluster,
    Migration,
    Node,
    Place,
    Power,
    Service,
    ServiceState,
    Step,
)

log = logging.getLogger(__name__)

STALE = 3.0  # polls that may be missed before a node's state is called stale
GAP = 0.2  # seconds at least between two publications: a cluster of 1,000 nodes changes all the time
LOOK = 1.0  # seconds between two looks for a new watcher, and for clusters that have grown stale
SPARE = 10.0  # times as long as a publication took, until the next: a large fleet must not take a whole core
FALTERS = 4  # polls in a row; a node that fails more often is down
AFTER_COMMIT = {Step.COMMIT, Step.FIRST_REPLY, Step.REMOVE_SOURCE, Step.CLEAN_UP}
"""Steps in which, once the decision is made, the destination is the service and arrives no longer."""

Running = Callable[[], Sequence[Migration]]


class Inventory:
    """All clusters of the config, as they are known now. ``running`` are the migrations that go on."""

    def __init__(self, config: Config, bus: Bus, running: Running, quiet: Quiet) -> None:
        self._config = config
        self._clusters = {cluster.name: cluster for cluster in config.clusters}
        self._bus = bus
        self._running = running
        self._quiet = quiet
        self._stop = threading.Event()
        self._told: dict[str, Cluster] = {}
        self._dirty: set[str] = set()
        self._next: dict[str, float] = {}  # when each may be published again, by the monotonic clock
        self._change = threading.Condition()
        self._started = False
        self._sync = threading.Lock()
        self._watchers: dict[Place, Watcher] = {}  # replaced as a whole, never changed, as are the lists of ``_of``
        self._of: dict[str, list[Watcher]] = {name: [] for name in self._clusters}
        self._adapters: dict[str, tuple[Orchestrator, Callable[..., Transport]]] = {}
        self._fleets: dict[str, Fleet] = {}
        self._apis: dict[str, ApiCluster] = {}
        self._missing: dict[str, str] = {}  # cluster -> the adapter that it lacks
        for cluster in config.clusters:
            self._watch(cluster)
            if has_provider(cluster):
                self._fleets[cluster.name] = self._fleet(cluster)

    def _watch(self, cluster: ClusterConfig) -> None:
        try:
            # Once: looking for an adapter among the installed packages takes 20 ms.
            orchestrator = adapters.load("orchestrators", cluster.orchestrator)()
            if cluster.orchestrator == "kubernetes":
                if not has_provider(cluster):
                    self._apis[cluster.name] = self._api(cluster, orchestrator)
                return
            self._adapters[cluster.name] = (orchestrator, adapters.load("transports", "ssh"))
        except KeyError as error:
            self._missing[cluster.name] = str(error.args[0])
            return
        self._replace(cluster.name, [self._watcher(cluster, node) for node in cluster.nodes])

    def _api(self, cluster: ClusterConfig, orchestrator: ApiOrchestrator) -> ApiCluster:
        way, login = adapters.load("transports", "kubernetes"), adapters.load("transports", "ssh")
        return ApiCluster(cluster, orchestrator, way, login, lambda: self.tell(cluster.name))

    def _watcher(self, cluster: ClusterConfig, node: NodeConfig | Node) -> Watcher:
        orchestrator, transport = self._adapters[cluster.name]
        return Watcher(cluster, node, orchestrator, transport, lambda: self.tell(cluster.name))

    def _replace(self, name: str, watchers: list[Watcher]) -> None:
        others = {place: each for place, each in self._watchers.items() if place.cluster != name}
        self._of = {**self._of, name: watchers}
        self._watchers = others | {watcher.place: watcher for watcher in watchers}

    def _fleet(self, cluster: ClusterConfig) -> Fleet:
        def changed() -> None:
            if cluster.name not in self._missing:
                self._follow(cluster, fleet)
            self.tell(cluster.name)

        fleet = Fleet(cluster, changed, self._config.coordinator.poll_cloud, lambda: bool(self._running()))
        return fleet

    def _follow(self, cluster: ClusterConfig, fleet: Fleet) -> None:
        """Watch the machines that run and have an address, as many as the config says; leave those that are gone."""
        running = [node for node in fleet.nodes if node.ssh and node.machine and node.machine.power is Power.RUNNING]
        wanted = {node.name: node for node in running[: cluster.watch]}
        fixed = {node.name for node in cluster.nodes}
        with self._sync:
            if self._stop.is_set():
                return
            kept: list[Watcher] = []
            left: list[Watcher] = []
            for watcher in self._of[cluster.name]:
                name = watcher.place.node
                stays = name in fixed or (name in wanted and wanted[name].ssh == watcher.node.ssh)
                (kept if stays else left).append(watcher)
            known = {watcher.place.node for watcher in kept}
            fresh = [self._watcher(cluster, node) for name, node in wanted.items() if name not in known]
            if fresh or left:
                self._replace(cluster.name, [*kept, *fresh])
            if self._started:
                self._run(fresh)
        for watcher in left:
            watcher.retire()

    def start(self) -> None:
        """Begin to poll."""
        threading.Thread(target=self._publish, name="board", daemon=True).start()
        with self._sync:
            self._started = True
            self._run(self._watchers.values())
        for name, fleet in self._fleets.items():
            threading.Thread(target=fleet.run, name=f"fleet {name}", daemon=True).start()
        for name, api in self._apis.items():
            threading.Thread(target=api.run, args=(self._stop,), name=f"api {name}", daemon=True).start()

    def _run(self, watchers: Iterable[Watcher]) -> None:
        for watcher in watchers:
            name = f"node {watcher.place.cluster}/{watcher.place.node}"
            threading.Thread(
                target=watcher.run, args=(self._pause, self._stop, self._quiet), name=name, daemon=True
            ).start()

    def stop(self) -> None:
        """Poll no more."""
        self._stop.set()
        with self._change:
            self._change.notify_all()
        for watcher in self._watchers.values():
            watcher.look()
        for api in self._apis.values():
            api.look()
        for fleet in self._fleets.values():
            fleet.stop()

    def _pause(self) -> float:
        settings = self._config.coordinator
        return settings.poll_watched if self._bus.watched or self._running() else settings.poll_idle

    # -- looking ----------------------------------------------------------------------------------------------------

    def refresh(self) -> list[Cluster]:
        """Ask every cloud, then every node, and wait for their answers, ``coordinator.timeout`` seconds at most.

        A node that failed for the first time is asked once more: an engine cannot list a container that just goes.
        """
        end = time.monotonic() + self._config.coordinator.timeout
        lists = [(fleet, fleet.look()) for fleet in self._fleets.values()]
        for fleet, number in lists:
            fleet.wait(number, max(end - time.monotonic(), 0.0))
        apis = [(api, api.look()) for api in self._apis.values()]
        watchers = list(self._watchers.values())
        for _ in range(2):
            asked = [(watcher, watcher.look()) for watcher in watchers]
            for watcher, ticket in asked:
                if not watcher.wait(ticket, max(end - time.monotonic(), 0.0)) and not watcher.failures:
                    log.warning("%s/%s has not answered in time", watcher.place.cluster, watcher.place.node)
            watchers = [watcher for watcher in watchers if watcher.failures == 1]
        for api, round_ in apis:
            api.wait(round_, max(end - time.monotonic(), 0.0))
        return self.clusters()

    def falters(self) -> bool:
        """Whether a node has not answered yet, or has just begun to fail: it may be there in a moment."""
        return any(
            watcher.failures <= FALTERS if watcher.failures else not watcher.seen for watcher in self._watchers.values()
        )

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
        if place.cluster in self._apis:
            return self._apis[place.cluster].end(place.node)
        return self.watcher(place).end()

    def watcher(self, place: Place) -> Watcher | ApiNode:
        """Who watches that node. Raises BadInput."""
        if place.cluster in self._apis:
            return self._apis[place.cluster].node(place.node)
        if place not in self._watchers:
            raise self._unknown(place)
        return self._watchers[place]

    def _unknown(self, place: Place) -> UmsuiError:
        fleet = self._fleets.get(place.cluster)
        node = fleet.node(place.node) if fleet else None
        name = f"{place.cluster}/{place.node}"
        if node is None or node.machine is None:
            return BadInput(f"there is no node {name}", "`umsui nodes` lists them", code="unknown-node")
        if node.machine.power in OFF:
            return Unreachable(f"{name} is switched off", f"umsui nodes start {name}", code="node-stopped")
        if not node.ssh:
            return Unreachable(f"{name} has no address", "give it one, or set `address` in the config")
        return Unreachable(f"{name} is not watched", "raise `watch` in the config; see docs/clouds.md")

    def fleet(self, cluster: str) -> Fleet:
        """The machines of a cluster as its provider has them. Raises BadInput where no provider is asked."""
        if cluster not in self._clusters:
            raise BadInput(f"there is no cluster {cluster}", "`umsui clusters` lists them", code="unknown-cluster")
        if cluster not in self._fleets:
            words = f"{cluster} is a list of nodes: no provider is asked about it"
            raise BadInput(words, "docs/clouds.md tells how a cluster is found in a cloud", code="no-provider")
        return self._fleets[cluster]

    def managed(self, name: str) -> tuple[Fleet, ManagedCluster]:
        """A managed Kubernetes cluster, and whose it is. Raises BadInput."""
        for fleet in self._fleets.values():
            for each in fleet.managed:
                if managed_name(fleet.config, each) == name:
                    return fleet, each
        known = ", ".join(managed_name(fleet.config, each) for fleet in self._fleets.values() for each in fleet.managed)
        raise BadInput(f"no provider manages a cluster {name}", f"known: {known or 'none'}", code="unknown-cluster")

    def places(self) -> list[Place]:
        """All nodes."""
        return [*self._watchers, *(Place(name, node.name) for name, api in self._apis.items() for node in api.nodes())]

    def ends(self) -> list[End]:
        """All nodes. Raises BadInput for an address that is none."""
        return [self.end(place) for place in self.places()]

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
                began = time.monotonic()
                self._tell(name)
                now = time.monotonic()
                self._next[name] = now + max(GAP, SPARE * (now - began))
            wait = GAP if self._dirty else LOOK
            if self._bus.watched and not watched:
                self._look_again()
            watched = self._bus.watched

    def _due(self) -> set[str]:
        now = time.monotonic()
        return {name for name in self._dirty if self._next.get(name, 0.0) <= now}

    def _tell(self, name: str) -> None:
        """Publish a cluster, if more than ages differs from what was last published."""
        for cluster in self._found(self._clusters[name], self._moves()):
            news = replace(cluster, age=0.0, nodes=tuple(ageless(node) for node in cluster.nodes))
            if self._told.get(cluster.name) != news:
                self._told[cluster.name] = news
                self._bus.publish("cluster", encode(slim(cluster)))

    def clusters(self, without: str = "") -> list[Cluster]:
        """The board; ``without`` is a migration that does not count (its own plan must not see it)."""
        moves = self._moves(without)
        return [found for cluster in self._config.clusters for found in self._found(cluster, moves)]

    def _found(self, config: ClusterConfig, moves: Moves) -> list[Cluster]:
        """A cluster of the config; where it stands for managed ones, those."""
        if config.name in self._apis:
            return [self._by_api(config, self._apis[config.name], moves)]
        fleet = self._fleets.get(config.name)
        if fleet is None or not (fleet.managed or fleet.gone):
            return [self._cluster(config, moves)]
        return fleet.kubernetes(max(time.time() - fleet.seen, 0.0))

    # -- putting together -------------------------------------------------------------------------------------------

    def _moves(self, without: str = "") -> Moves:
        """Those that go on now, by their services."""
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

    def _cluster(self, config: ClusterConfig, moves: Moves) -> Cluster:
        watchers, now, fleet = self._of[config.name], time.time(), self._fleets.get(config.name)
        watched = {watcher.place.node: self.aged(watcher, now) for watcher in watchers}
        nodes = tuple(watched.values()) if fleet is None else together(watched, fleet.nodes)
        approach = usual_approach(config)
        services = [marked(service, moves, approach) for watcher in watchers for service in watcher.services]
        state, error, fix = self._state(config, watchers, nodes)
        until, age = 0.0, max((node.age for node in watched.values()), default=0.0)
        if fleet is not None:
            told, words, way, until = fleet.condition()
            if told is not None and (fleet.trouble or not watched or told is ClusterState.CONNECTING):
                state, error, fix = told, words, way
            age = max(age, now - fleet.seen) if fleet.seen and (fleet.trouble or not watched) else age
        return replace(shown(config, nodes, services), state=state, error=error, fix=fix, age=age, until=until)

    def _by_api(self, config: ClusterConfig, api: ApiCluster, moves: Moves) -> Cluster:
        state, error, fix, age = api.condition()
        approach = usual_approach(config)
        services = [marked(service, moves, approach) for service in api.services]
        return replace(shown(config, api.nodes(), services), state=state, error=error, fix=fix, age=age)

    def aged(self, watcher: Watcher | ApiNode, now: float) -> Node:
        """A node as it was last seen, with how long ago that was at ``now`` (Unix time)."""
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
        if not nodes:
            return ClusterState.EMPTY, "no nodes are configured", "add nodes to the config"
        order = [ClusterState.LIVE, ClusterState.STALE, ClusterState.CONNECTING, ClusterState.THROTTLED]
        order += [ClusterState.EXPIRED, ClusterState.FORBIDDEN]
        states = {node.state for node in nodes}
        if not watchers:  # what its provider says is all there is to know
            return (ClusterState.STOPPED if states == {ClusterState.STOPPED} else ClusterState.LIVE), "", ""
        state = next((each for each in order if each in states), ClusterState.UNREACHABLE)
        failed = next((watcher for watcher in watchers if watcher.node.error), None)
        return (state, failed.node.error, failed.fix) if failed else (state, "", "")


def shown(config: ClusterConfig, nodes: tuple[Node, ...], services: Iterable[Service]) -> Cluster:
    """A cluster as its config describes it, with what was found there."""
    return Cluster(
        name=config.name,
        provider=config.provider,
        orchestrator=config.orchestrator,
        authority=config.authority,
        protected=config.protected,
        simulated=config.lab,
        nodes=nodes,
        services=tuple(sorted(services, key=lambda service: (service.name, service.node))),
    )
