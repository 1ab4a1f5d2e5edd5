"""Which approach and strategy: a verdict on each, in words, and the best of the feasible ones.

The paper's order: an explicit request, else the service's annotation where it is feasible, else whatever is feasible
with the least predicted downtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from umsui.agent.inside import AHEAD
from umsui.decision import pod_checks
from umsui.decision.cost import Load, forecast, outruns, window
from umsui.decision.inside_checks import inside_obstacle
from umsui.interface.container_level import is_nested
from umsui.interface.facts import NodeFacts, ServiceFacts
from umsui.model import (
    Approach,
    Authority,
    Cluster,
    Migration,
    MigrationRequest,
    Specification,
    Strategy,
    Verdict,
)

ANNOTATION = "umsui.io/approach"

Registry = Mapping[tuple[Approach, Strategy, str, str], Any]
"""What is built: (approach, strategy, source orchestrator, destination orchestrator) to its MoveFactory."""

ON_REQUEST = (Strategy.POST_COPY, Strategy.HYBRID)  # strategies with a window in which the service can be lost

CLEARLY = 0.9  # of a downtime: what is less than this is worth a word
OVERLAY = "overlay2"
STORAGE = f'put {{"storage-driver": "{OVERLAY}"}} into /etc/docker/daemon.json there and restart docker'
EXPERIMENTAL = 'put {"experimental": true} into /etc/docker/daemon.json there and restart docker'

_NEEDS: dict[Approach, tuple[tuple[Authority, ...], str]] = {
    Approach.ORCHESTRATOR: ((Authority.FULL,), "full control of both platforms"),
    Approach.SERVICE: ((Authority.FULL, Authority.LIMITED), "control of the service's image at both ends"),
    Approach.CONTAINER: (tuple(Authority), "no control"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What there is to choose for."""

    request: MigrationRequest
    specification: Specification
    source: Cluster
    destination: Cluster
    source_node: NodeFacts
    destination_node: NodeFacts
    load: Load
    facts: ServiceFacts = field(default_factory=ServiceFacts)
    history: Sequence[Migration] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The verdict that was chosen (None when nothing is feasible), why, and all of them, the best first."""

    verdict: Verdict | None
    reason: str
    verdicts: tuple[Verdict, ...]


def select(question: Question, registry: Registry) -> Choice:
    """The best feasible approach and strategy, and a verdict on each."""
    request = question.request
    judged = [judge(question, registry, a, s) for a in Approach for s in _worth_a_word(question, registry, a)]
    verdicts = tuple(sorted(judged, key=lambda verdict: (not verdict.feasible, _rank(verdict))))
    asked = [v for v in verdicts if request.approach in (None, v.approach) and request.strategy in (None, v.strategy)]
    feasible = sorted((v for v in asked if v.feasible), key=_rank)
    if not feasible:
        return Choice(None, _nothing(request, asked), verdicts)
    shortest = feasible[0]
    if request.strategy is None:
        feasible = [v for v in feasible if v.strategy not in ON_REQUEST] or feasible
    if request.approach or request.strategy:
        words = " ".join(word.value for word in (request.approach, request.strategy) if word)
        return Choice(feasible[0], f"{words} was asked for", verdicts)
    preferred, note = annotated(question.specification)
    if preferred:
        wanted = [v for v in feasible if v.approach is preferred]
        if wanted:
            return Choice(wanted[0], f"the service's annotation {ANNOTATION} prefers it", verdicts)
        note = f"the annotation's {preferred.value}-level is not feasible; "
    best = feasible[0]
    others = len({v.approach for v in feasible}) > 1
    tail = "has the least predicted downtime" if others or len(feasible) > 1 else "is the only feasible one"
    if shortest.strategy in ON_REQUEST and _clearly_shorter(shortest, best):
        tail += f"; {shortest.strategy.value} would stand still for less, but is used on request only"
    return Choice(best, f"{note}{best.approach.value}-level with {best.strategy.value} {tail}", verdicts)


def _clearly_shorter(one: Verdict, other: Verdict) -> bool:
    return bool(one.downtime and other.downtime and one.downtime.mid < CLEARLY * other.downtime.mid)


def _worth_a_word(question: Question, registry: Registry, approach: Approach) -> Sequence[Strategy]:
    """All strategies of an approach that is there; of one that is not, what was asked for: four times no is once no."""
    pair = (question.source.orchestrator, question.destination.orchestrator)
    if any((approach, each, *pair) in registry for each in Strategy) and not _makeup_obstacle(question, approach)[0]:
        return tuple(Strategy)
    return (question.request.strategy or Strategy.STOP_COPY,)


def annotated(spec: Specification) -> tuple[Approach | None, str]:
    """The approach that the service's annotation or label prefers, and a note when it makes no sense."""
    text = spec.annotations.get(ANNOTATION) or spec.labels.get(ANNOTATION) or ""
    if not text:
        return None, ""
    try:
        return Approach(text.strip().lower()), ""
    except ValueError:
        return None, f"the annotation {ANNOTATION}={text} is none of {', '.join(Approach)}; "


def judge(question: Question, registry: Registry, approach: Approach, strategy: Strategy) -> Verdict:
    """Whether this approach with this strategy would do, and why."""
    source, destination = question.source, question.destination
    reason, fix = _obstacle(question, registry, approach, strategy)
    if reason:
        return Verdict(approach, strategy, feasible=False, reason=reason, fix=fix)
    cost = forecast(approach, strategy, question.load, question.history, (source.name, destination.name))
    words = f"{source.orchestrator} to {destination.orchestrator}, {_NEEDS[approach][1]}"
    if strategy is Strategy.POST_COPY:
        words += (
            f"; until the last page has arrived (≈ {window(question.load):.1f} s) losing the source loses the service"
        )
    if strategy is Strategy.PRE_COPY and question.load.dirty and outruns(question.load):
        rate = f"{question.load.dirty / 2**20:.0f} MiB/s"
        words += f"; it writes {rate}, which is more than the link carries: no pass over its memory gains on it"
    return Verdict(approach, strategy, feasible=True, reason=words, downtime=cost.downtime, total=cost.total)


def _obstacle(question: Question, registry: Registry, approach: Approach, strategy: Strategy) -> tuple[str, str]:
    """Reason and fix; ("", "") when nothing is in the way."""
    source, destination = question.source, question.destination
    allowed, needed = _NEEDS[approach]
    for cluster in (source, destination):
        if cluster.authority not in allowed:
            fix = f"if you may change more there, set its `authority` to {allowed[-1].value} in the config"
            return f"it needs {needed}, and {cluster.name} gives {cluster.authority.value}", fix
    reason, fix = _makeup_obstacle(question, approach)
    if reason:
        return reason, fix
    pair = (source.orchestrator, destination.orchestrator)
    built = [each for each in Strategy if (approach, each, *pair) in registry]
    if not built:
        words = f"{approach.value}-level knows no way from {source.orchestrator} to {destination.orchestrator}"
        if "kubernetes" in pair:
            words += ": a pod has its network, IPC and host name from a sandbox, which is no part of a checkpoint"
        return words, "use service- or container-level"
    ends = _pod_obstacle(question, approach) if "kubernetes" in pair else _docker_obstacle(question, approach)
    ends = ends if ends[0] else _crossing_obstacle(question, approach)
    return ends if ends[0] else _strategy_obstacle(question, approach, strategy, built)


def _pod_obstacle(question: Question, approach: Approach) -> tuple[str, str]:
    if approach is not Approach.ORCHESTRATOR:
        return "", ""
    found = pod_checks.obstacle(question.source, question.source_node, question.destination, question.destination_node)
    return found if found[0] else pod_checks.container_obstacle(question.facts)


def _strategy_obstacle(
    question: Question, approach: Approach, strategy: Strategy, built: Sequence[Strategy]
) -> tuple[str, str]:
    if approach is Approach.SERVICE:  # by contents: whatever the kernels can do
        return _inside_strategy_obstacle(question, strategy, built)
    if strategy in (Strategy.PRE_COPY, Strategy.HYBRID) and not question.source_node.tracks_writes:
        return "the source's kernel cannot track written pages", "boot Linux 6.7 or newer there"
    if strategy is not Strategy.STOP_COPY and not question.destination_node.userfaultfd:
        return "the destination's kernel cannot fetch pages on demand", "boot it with CONFIG_USERFAULTFD"
    if strategy not in built:
        return f"not built yet: {strategy.value} for {approach.value}-level", _instead(built)
    if strategy is not Strategy.STOP_COPY and approach is Approach.CONTAINER and not _may_trace(question.specification):
        why = "nobody in the outer container may watch another's memory: it has no SYS_PTRACE"
        return why, f"deploy it with SYS_PTRACE, or use {Strategy.STOP_COPY.value}"
    return "", ""


def _inside_strategy_obstacle(question: Question, strategy: Strategy, built: Sequence[Strategy]) -> tuple[str, str]:
    if strategy not in built:
        why = "CRIU inside the service's container restores from what has arrived: no memory can follow"
        return why, _instead(built)
    if strategy is not Strategy.STOP_COPY and question.facts.inside.get("version", 0) < AHEAD:
        fix = f"build the image again: `umsui image build --approach service {question.specification.image}`"
        return "the umsui in its image is older than memory that goes ahead", fix
    return "", ""


def _instead(built: Sequence[Strategy]) -> str:
    return f"use {' or '.join(each.value for each in built)}"


def _may_trace(spec: Specification) -> bool:
    return spec.privileged or bool({"SYS_PTRACE", "CAP_SYS_PTRACE", "ALL", "all"} & set(spec.cap_add))


def _makeup_obstacle(question: Question, approach: Approach) -> tuple[str, str]:
    spec = question.specification
    if spec.parts and approach is not Approach.ORCHESTRATOR:
        why = "it is made of several containers, which only orchestrator-level moves together"
        return why, "move them one by one, without their common label"
    if approach is Approach.SERVICE:
        return inside_obstacle(spec, question.facts)
    if approach is Approach.CONTAINER and not is_nested(spec):
        fix = "deploy it nested: `umsui deploy FILE --cluster C --approach container`"
        return "the service is not nested in an outer container", fix
    if approach is Approach.ORCHESTRATOR and is_nested(spec):
        return "CRIU cannot dump an outer container from outside: it has mounts of its own", "use container-level"
    return "", ""


def _crossing_obstacle(question: Question, approach: Approach) -> tuple[str, str]:
    across = question.source.orchestrator != question.destination.orchestrator
    if approach is Approach.ORCHESTRATOR and across and question.facts.user_ns:
        why = "it runs in a user namespace, whose network each engine makes in its own way"
        return why, "use service- or container-level, or a destination with the same engine"
    return "", ""


def _docker_obstacle(question: Question, approach: Approach) -> tuple[str, str]:
    ends = ((question.source, question.source_node), (question.destination, question.destination_node))
    for cluster, node in ends:
        if approach is Approach.ORCHESTRATOR and node.orchestrator == "docker" and node.storage_driver != OVERLAY:
            found = node.storage_driver or "an unknown driver"
            return f"docker at {cluster.name} keeps root file systems with {found}, not with {OVERLAY}", STORAGE
    if approach is Approach.ORCHESTRATOR and not question.destination_node.experimental:
        where = question.destination.name
        return f"docker restores only with its experimental features, and {where} has them off", EXPERIMENTAL
    return "", ""


def _rank(verdict: Verdict) -> tuple[float, float]:
    infinity = float("inf")
    return (
        verdict.downtime.mid if verdict.downtime else infinity,
        verdict.total.mid if verdict.total else infinity,
    )


def _nothing(request: MigrationRequest, asked: Sequence[Verdict]) -> str:
    if request.approach or request.strategy:
        words = " ".join(word.value for word in (request.approach, request.strategy) if word)
        reasons = dict.fromkeys(verdict.reason for verdict in asked)
        return f"{words} was asked for, but: {'; '.join(reasons)}"
    reasons = dict.fromkeys(f"{verdict.approach.value}-level: {verdict.reason}" for verdict in asked)
    return "no approach is feasible: " + "; ".join(reasons)
