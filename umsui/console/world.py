"""What the console knows: clusters, migrations, and how fresh that is. The screens read it; only the app writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from umsui.console.feed import Item
from umsui.console.record import Record
from umsui.console.words import PROVIDERS
from umsui.model import Cluster, ClusterState, Event, Migration, Service, ServiceState


class LinkState(StrEnum):
    """The connection to the coordinator."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"


@dataclass(slots=True)
class Link:
    """How the coordinator is reached."""

    state: LinkState = LinkState.CONNECTING
    reason: str = ""
    retry_at: float = 0.0  # steady clock
    latency: float | None = None


@dataclass(slots=True)
class World:
    """Everything that has been heard, by key."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)  # cluster -> steady time of its last word
    migrations: dict[str, Migration] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)  # of running migrations only
    link: Link = field(default_factory=Link)
    _index: dict[str, tuple[Sequence[Service], Mapping[str, Service]]] = field(default_factory=dict)

    def apply(self, item: Item, now: float) -> bool:
        """Take in one item; False when it says nothing new."""
        if isinstance(item, Cluster):
            return self._cluster(item, now)
        if isinstance(item, Migration):
            return self._migration(item)
        return self._event(item)

    def _cluster(self, cluster: Cluster, now: float) -> bool:
        known = self.clusters.get(cluster.name)
        self.heard[cluster.name] = now
        if known is not None and known.services == cluster.services:
            cluster = replace(cluster, services=known.services)  # the same object: nothing to lay out again
        self.clusters[cluster.name] = cluster
        # Age alone is no news: the board counts it on by itself.
        return known is None or replace(known, age=0.0) != replace(cluster, age=0.0)

    def _migration(self, migration: Migration) -> bool:
        if self.migrations.get(migration.id) == migration:
            return False
        self.migrations[migration.id] = migration
        if migration.outcome is not None:
            self.records.pop(migration.id, None)
        return True

    def _event(self, event: Event) -> bool:
        known = self.migrations.get(event.migration)
        if known is not None and known.outcome is not None:
            return False
        self.records.setdefault(event.migration, self.fresh_record(event.migration)).apply(event)
        if event.kind == "outcome":
            self.records.pop(event.migration, None)
        return True

    def fresh_record(self, migration: str) -> Record:
        """An empty one that knows how much memory is to come."""
        known = self.migrations.get(migration)
        service = self.service(known.service) if known is not None and known.outcome is None else None
        return Record(expected={"memory": service.memory} if service is not None and service.memory else {})

    def age(self, cluster: Cluster, now: float) -> float:
        """Seconds since the cluster was last seen."""
        return cluster.age + max(now - self.heard.get(cluster.name, now), 0.0)

    def by_provider(self) -> dict[str, list[Cluster]]:
        """Clusters by name, grouped in the board's order of providers."""
        groups: dict[str, list[Cluster]] = {name: [] for name in PROVIDERS}
        for cluster in sorted(self.clusters.values(), key=lambda c: c.name):
            groups.setdefault(cluster.provider, []).append(cluster)
        return {name: clusters for name, clusters in groups.items() if clusters}

    def service(self, key: str) -> Service | None:
        """The service ``cluster/name``."""
        cluster = self.clusters.get(key.partition("/")[0])
        return self._indexed(cluster).get(key) if cluster else None

    def _indexed(self, cluster: Cluster) -> Mapping[str, Service]:
        """A cluster's services by key, made once for as long as they are the same."""
        known = self._index.get(cluster.name)
        if known is None or known[0] is not cluster.services:
            known = cluster.services, {service.key: service for service in reversed(cluster.services)}
            self._index[cluster.name] = known
        return known[1]

    def count(self) -> int:
        """How many services there are, an arriving one not counted."""
        arriving = sum(1 for m in self.running() if self._arrives(m))
        return sum(len(cluster.services) for cluster in self.clusters.values()) - arriving

    def _arrives(self, migration: Migration) -> bool:
        name = migration.service.partition("/")[2]
        there = self.service(f"{migration.destination.cluster}/{name}")
        return there is not None and there.state is ServiceState.ARRIVING

    def running(self) -> list[Migration]:
        """Migrations under way, oldest first."""
        return sorted((m for m in self.migrations.values() if m.outcome is None), key=lambda m: (m.started, m.id))

    def latest(self) -> Migration | None:
        """The migration that ended last."""
        over = [m for m in self.migrations.values() if m.outcome is not None]
        return max(over, key=lambda m: (m.finished or 0.0, m.started), default=None)

    def services(self) -> Iterable[Service]:
        """All of them, an arriving one not counted: it is still the other end's."""
        for cluster in self.clusters.values():
            yield from (s for s in cluster.services if s.state is not ServiceState.ARRIVING)

    def troubled(self) -> list[Cluster]:
        """Clusters whose picture cannot be trusted."""
        cloud = {ClusterState.EXPIRED, ClusterState.THROTTLED}
        bad = {ClusterState.STALE, ClusterState.UNREACHABLE, ClusterState.FORBIDDEN, *cloud}
        return [c for c in self.clusters.values() if c.state in bad]
