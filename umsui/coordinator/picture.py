"""How what nodes, providers and migrations say becomes the board's clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from umsui.config import ClusterConfig
from umsui.interface import APPROACHES
from umsui.model import Approach, Authority, Cluster, ClusterState, Migration, Node, Service, ServiceState

MANY = 500  # nodes of a cluster, above which a stream tells only of those that are asked
LABEL = "umsui.io/migration"

Moves = Mapping[tuple[str, str, str], tuple[Migration, ServiceState]]
"""(cluster, node, service) -> the migration that it takes part in, and how."""


def together(watched: Mapping[str, Node], listed: Sequence[Node]) -> tuple[Node, ...]:
    """Each node once: as it was seen itself, where it is watched, with what its provider knows of it."""
    names = {node.name for node in listed}
    found = [node for name, node in watched.items() if name not in names]
    for node in listed:
        seen = watched.get(node.name)
        found.append(node if seen is None else replace(seen, machine=node.machine))
    return tuple(found)


def ageless(node: Node) -> Node:
    """To be compared: that time goes by is no news."""
    return replace(node, age=0.0) if node.age else node


def slim(cluster: Cluster) -> Cluster:
    """As a stream tells of it: a large fleet without the machines that are only listed."""
    if len(cluster.nodes) <= MANY:
        return cluster
    asked = tuple(node for node in cluster.nodes if node.state not in (ClusterState.LISTED, ClusterState.STOPPED))
    return replace(cluster, nodes=asked, more=len(cluster.nodes) - len(asked))


def marked(service: Service, moves: Moves, approach: Approach | None) -> Service:
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
