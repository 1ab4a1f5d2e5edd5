"""From what an operator typed to a service, the node it is on, and the node it goes to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from umsui.errors import BadInput, Unreachable
from umsui.model import Cluster, ClusterState, MigrationRequest, Node, Place, Service

LIKENESS = 0.5  # how much a name must be like what was typed to be suggested
_DOWN = (ClusterState.UNREACHABLE, ClusterState.FORBIDDEN, ClusterState.EXPIRED)

_SILENT = (ClusterState.STOPPED, ClusterState.LISTED)  # nobody asks these nodes themselves


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a request means."""

    service: Service
    source_cluster: Cluster
    destination_cluster: Cluster
    source: Place
    destination: Place
    stopped: bool = False  # the destination's machine is off


def resolve(clusters: Sequence[Cluster], request: MigrationRequest) -> Resolution:
    """The service and both places that ``request`` speaks of.

    Raises BadInput for an unknown or ambiguous service, an unknown cluster or node, or when it is there already;
    Unreachable for a cluster or node that is down or lets us not in.
    """
    service = find_service(clusters, request.service)
    source_cluster = find_cluster(clusters, service.cluster)
    destination_cluster = find_cluster(clusters, request.to)
    source = Place(service.cluster, service.node)
    for node in source_cluster.nodes:
        if node.name == service.node:
            _must_answer(f"{source_cluster.name}/{node.name}", node.state, node.error, "")
    node = choose_node(destination_cluster, request.node, source)
    destination = Place(destination_cluster.name, node.name)
    off = node.state is ClusterState.STOPPED
    return Resolution(service, source_cluster, destination_cluster, source, destination, off)


def find_service(clusters: Sequence[Cluster], text: str) -> Service:
    """The one service called ``cluster/name``, or ``name`` where it is unique. Raises BadInput, Unreachable."""
    cluster, wanted = _split(clusters, text)
    if not wanted:
        raise BadInput(f"{text!r} names no service", "give `cluster/name`; `umsui services` lists them")
    among = [find_cluster(clusters, cluster)] if cluster else list(clusters)
    found = [service for each in among for service in each.services if service.name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        named = sorted({s.key for s in found})
        fix = f"say which: `{named[0]}`"
        if len(named) == 1:  # two nodes of a cluster may each have a container of that name
            named = sorted(f"{s.key} (on {s.node})" for s in found)
            fix = "give one of them another name: rename its container at its node"
        raise BadInput(f"{text} is ambiguous: {', '.join(named)}", fix, code="ambiguous")
    if cluster:
        _must_answer(among[0].name, among[0].state, among[0].error, among[0].fix)
    known = [service.key for each in clusters for service in each.services]
    mute = (*_DOWN, ClusterState.CONNECTING)
    silent = [each.name for each in among if each.state in mute]
    silent += [
        f"{n.cluster}/{n.name}: {n.error or 'it has not answered yet'}"
        for each in among
        if each.state not in mute
        for n in each.nodes
        if n.state in mute
    ]
    # Of a fleet with many that are down, the first few.
    some = ", ".join(silent[:3]) + (f" and {len(silent) - 3} more" if len(silent) > 3 else "")
    note = f" ({some} could not be asked)" if silent else ""
    raise BadInput(
        f"there is no service {text}{note}",
        _suggest(text, known, "`umsui services` lists them"),
        code="unknown-service",
    )


def refuse_taken(cluster: Cluster, name: str) -> None:
    """A service that is to be made there needs a name that none has. Raises BadInput."""
    taken = next((service for service in cluster.services if service.name == name), None)
    if taken is not None:
        what = f"there is a service {taken.key} already, on {taken.node}"
        raise BadInput(what, "give this one another name, or remove that one at its node", code="name-taken")


def _split(clusters: Sequence[Cluster], text: str) -> tuple[str, str]:
    """Cluster and service; a pod's name may have its namespace before it (``cluster/namespace/name``)."""
    first, _, rest = text.partition("/")
    if any(each.name == first for each in clusters) or "/" not in text:
        return (first, rest) if rest or text.endswith("/") else ("", text)
    if any(service.name == text for each in clusters for service in each.services):
        return "", text
    cluster, _, name = text.rpartition("/")
    return cluster, name


def find_cluster(clusters: Iterable[Cluster], wanted: str) -> Cluster:
    """The cluster of that name. Raises BadInput."""
    known = {cluster.name: cluster for cluster in clusters}
    if wanted in known:
        return known[wanted]
    fix = _suggest(wanted, known, "`umsui clusters` lists them")
    raise BadInput(f"there is no cluster {wanted}", fix, code="unknown-cluster")


def find_node(cluster: Cluster, wanted: str) -> Node:
    """The node of that name. Raises BadInput."""
    for node in cluster.nodes:
        if node.name == wanted:
            return node
    fix = _suggest(wanted, [node.name for node in cluster.nodes], f"`umsui nodes --cluster {cluster.name}` lists them")
    raise BadInput(f"{cluster.name} has no node {wanted}", fix, code="unknown-node")


def choose_node(cluster: Cluster, wanted: str | None, source: Place) -> Node:
    """The node to go to: the one asked for, else the one with the most free memory, else one that is off.

    Raises BadInput when the service is there already, Unreachable when no node answers.
    """
    if wanted is not None:
        node = find_node(cluster, wanted)
        if Place(cluster.name, node.name) == source:
            raise _already(source)
        _must_answer(f"{cluster.name}/{node.name}", node.state, node.error, cluster.fix)
        return node
    others = [node for node in cluster.nodes if Place(cluster.name, node.name) != source]
    answering = [node for node in others if node.state not in (*_DOWN, *_SILENT)]
    stopped = [node for node in others if node.state is ClusterState.STOPPED]
    # A cloud that lets us not in, or throttles us, is no obstacle while the nodes themselves answer.
    if not answering and not stopped:
        _must_answer(cluster.name, cluster.state, cluster.error, cluster.fix)
        if not others and cluster.nodes:
            raise _already(source)
        error = next((node.error for node in others if node.error), "")
        raise Unreachable(
            f"no node of {cluster.name} answers" + (f": {error}" if error else ""),
            cluster.fix or f"see `umsui nodes --cluster {cluster.name}`",
        )
    # The name breaks ties, so that the same board gives the same plan.
    if answering:
        return min(answering, key=lambda node: (-node.memory_free, node.name))
    return min(stopped, key=lambda node: (-node.memory, node.name))


def _already(source: Place) -> BadInput:
    fix = "choose another cluster with --to, or another node with --node"
    return BadInput(f"it is already at {source.cluster}/{source.node}", fix, code="already-there")


def _must_answer(where: str, state: ClusterState, error: str, fix: str) -> None:
    if state not in _DOWN:
        return
    how = "cannot be reached" if state is ClusterState.UNREACHABLE else "lets us not in"
    fix = fix or f"`umsui doctor {where}` tells more" if "/" in where else fix or "see `umsui clusters`"
    raise Unreachable(f"{where} {how}" + (f": {error}" if error else ""), fix)


def _suggest(text: str, known: Iterable[str], otherwise: str) -> str:
    names = sorted(set(known))
    alike = sorted(((_likeness(text, name), name) for name in names), key=lambda pair: (-pair[0], pair[1]))
    # Only those that are nearly as close as the closest: three lab clusters all look alike otherwise.
    close = [name for likeness, name in alike[:3] if likeness >= LIKENESS and likeness >= alike[0][0] - 0.1]
    return f"did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else otherwise


def _likeness(text: str, name: str) -> float:
    """0 to 1; what was typed without its cluster is compared with the bare name, too."""
    whole = difflib.SequenceMatcher(None, text, name).ratio()
    bare = difflib.SequenceMatcher(None, text.rpartition("/")[2], name.rpartition("/")[2]).ratio()
    return max(whole, 0.95 * bare)
