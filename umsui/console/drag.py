"""Cards in the hand: by mouse or by keys. Textual has no drag and drop; this is what works.

The *screen* captures the mouse (a card that captured and was then repainted away would keep it for ever), and
``MouseRelease`` means that something else took it: put the card back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.geometry import Offset

from umsui.console import words
from umsui.console.messages import Planned
from umsui.model import Cluster, ClusterState, Plan, Service, ServiceState

THRESHOLD = 2
"""Cells the mouse moves before a press is a drag."""

CLOSED = (ClusterState.UNREACHABLE, ClusterState.FORBIDDEN, ClusterState.EXPIRED)
"""States of a cluster in which nothing can go there."""

Hint = tuple[str, str]
"""What a drop would do, and its ink."""


@dataclass(slots=True)
class Drag:
    """What is in the hand."""

    services: tuple[Service, ...]  # one, or all that are selected, or a whole cluster's
    start: Offset
    by_keys: bool = False
    drains: str = ""  # the cluster that is to be emptied
    lifted: bool = False
    target: str | None = None

    @property
    def service(self) -> Service | None:
        """The one that is carried, where it is only one."""
        return self.services[0] if len(self.services) == 1 and not self.drains else None

    @property
    def name(self) -> str:
        """What is carried, in words."""
        return self.service.name if self.service else words.plural(len(self.services), "service")

    def far(self, pointer: Offset) -> bool:
        """Whether the mouse has moved enough."""
        return abs(pointer.x - self.start.x) + abs(pointer.y - self.start.y) >= THRESHOLD


class Estimates:
    """Quick estimates for what is being dragged: asked once a target, when one hovers over it."""

    def __init__(self, ask: Callable[[str, str], None]) -> None:
        self._ask = ask
        self._known: dict[tuple[str, str], Planned] = {}
        self._asked: set[tuple[str, str]] = set()

    def clear(self) -> None:
        """Another drag: what was known may have changed."""
        self._known.clear()
        self._asked.clear()

    def learn(self, answer: Planned) -> None:
        """An answer came."""
        self._known[answer.service, answer.to] = answer

    def plan(self, service: str, to: str) -> Plan | None:
        """The plan, if it is there."""
        answer = self._known.get((service, to))
        return answer.plan if answer else None

    def ask(self, service: str, to: str) -> None:
        """Have it asked, once."""
        if (service, to) not in self._asked:
            self._asked.add((service, to))
            self._ask(service, to)

    def hint(self, drag: Drag, cluster: Cluster) -> Hint:
        """What the target's header says."""
        service = drag.service
        if service is None:
            return together(drag, cluster)
        refusal = refused(service, cluster, by_keys=drag.by_keys)
        if refusal is not None:
            return refusal
        answer = self._known.get((service.key, cluster.name))
        if answer is None:
            return "drop: asking both ends …", "drop"
        if answer.plan is None:
            return f"cannot: {answer.error}", "deny"
        return said(answer.plan)


def together(drag: Drag, cluster: Cluster) -> Hint:
    """What a drop of several would do: plan those that can go, and say why others stay."""
    refusals = [(service, refused(service, cluster)) for service in drag.services]
    staying = [(service, said) for service, said in refusals if said is not None]
    going = len(drag.services) - len(staying)
    if cluster.name == drag.drains:
        return "drain: choose where to, by arrows or mouse", "selected"
    if not going:
        why = staying[0][1][0].removeprefix("cannot: ") if staying else "nothing to move"
        return f"cannot: {why}", "deny"
    text = f"drop: plans {words.plural(going, 'move')}"
    if staying:
        service, said = staying[0]
        text += f", {len(staying)} cannot: {service.name}: {said[0].removeprefix('cannot: ')}"
    return text, "drop"


def refused(service: Service, cluster: Cluster, *, by_keys: bool = False) -> Hint | None:
    """What needs no asking. Where it came from, the mouse only puts it back; keys may mean another node there."""
    if cluster.name == service.cluster and not (by_keys and _has_room(cluster, service)):
        return "it runs here", "selected"
    if service.obstacle:
        return f"cannot: {service.obstacle}", "deny"
    if service.state in (ServiceState.MOVING, ServiceState.ARRIVING):
        return "cannot: it is moving already", "deny"
    # A cloud that lets us not in is no obstacle while the machines themselves answer.
    if cluster.state in CLOSED and not any(node.state is ClusterState.LIVE for node in cluster.nodes):
        return f"cannot: {cluster.error or words.cluster_state(cluster)[1]}", "deny"
    return None


def _has_room(cluster: Cluster, service: Service) -> bool:
    """Whether its cluster has another node that answers."""
    return any(node.state is ClusterState.LIVE and node.name != service.node for node in cluster.nodes)


def said(plan: Plan) -> Hint:
    """A plan in one line."""
    if plan.feasible:
        down = words.duration(plan.downtime.mid) if plan.downtime else words.NOTHING
        total = words.duration(plan.total.mid) if plan.total else words.NOTHING
        node = f"to {plan.destination.node}, " if plan.destination.cluster == plan.source.cluster else ""
        return f"drop: {node}{words.strategy(plan.strategy)}, {down} down, {total} in all", "drop"
    return f"cannot: {reason(plan)}", "deny"


def reason(plan: Plan) -> str:
    """Why a plan is not feasible: the first finding that blocks it."""
    blocking = next((finding for finding in plan.findings if finding.blocking and not finding.ok), None)
    return blocking.what if blocking else plan.reason or "no approach fits"
