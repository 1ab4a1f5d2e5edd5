"""Which approach and strategy: a verdict on each, in words, and the best of the feasible ones.

The paper's order: an explicit request, else the service's annotation where it is feasible, else whatever is feasible
with the least predicted downtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umsui.decision.cost import Load, forecast, window
from umsui.interface.facts import NodeFacts
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

_NEEDS: dict[Approach, tuple[tuple[Authority, ...], str]] = {
    Approach.ORCHESTRATOR: ((Authority.FULL,), "full control of both platforms"),
    Approach.SERVICE: ((Authority.FULL, Authority.LIMITED), "control of the service's image at both ends"),
    Approach.CONTAINER: (tuple(Authority), "no control"),
}
_LATER: dict[Approach, str] = {
    Approach.ORCHESTRATOR: "not built yet between {source} and {destination}",
    Approach.SERVICE: "not built yet: it needs umsui's agent inside the service's image",
    Approach.CONTAINER: "not built yet: it needs the service nested in an outer container",
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
    history: Sequence[Migration] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The verdict that was chosen (None when nothing is feasible), why, and all the others."""

    verdict: Verdict | None
    reason: str
    verdicts: tuple[Verdict, ...]


def select(question: Question, registry: Registry) -> Choice:
    """The best feasible approach and strategy, and a verdict on each."""
    request = question.request
    verdicts = tuple(judge(question, registry, a, s) for a in Approach for s in _worth_a_word(question, registry, a))
    asked = [v for v in verdicts if request.approach in (None, v.approach) and request.strategy in (None, v.strategy)]
    feasible = sorted((v for v in asked if v.feasible), key=_rank)
    if not feasible:
        return Choice(None, _nothing(request, asked), verdicts)
    if request.approach or request.strategy:
        words = " ".join(word.value for word in (request.approach, request.strategy) if word)
        return Choice(feasible[0], f"{words} was asked for", verdicts)
    preferred, note = annotated(question.specification)
    if preferred:
        wanted = [v for v in feasible if v.approach is preferred]
        if wanted:
            return Choice(wanted[0], f"the service's annotation {ANNOTATION} prefers it", verdicts)
        note = f"the annotation's {preferred.value}-level is not feasible; "
    feasible = [v for v in feasible if v.strategy not in ON_REQUEST] or feasible
    best = feasible[0]
    others = len({v.approach for v in feasible}) > 1
    tail = "has the least predicted downtime" if others or len(feasible) > 1 else "is the only feasible one"
    return Choice(best, f"{note}{best.approach.value}-level with {best.strategy.value} {tail}", verdicts)


def _worth_a_word(question: Question, registry: Registry, approach: Approach) -> Sequence[Strategy]:
    """All strategies of an approach that is there; of one that is not, what was asked for: four times no is once no."""
    pair = (question.source.orchestrator, question.destination.orchestrator)
    if any((approach, each, *pair) in registry for each in Strategy):
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
    cost = forecast(approach, strategy, question.load, question.history)
    words = f"{source.orchestrator} to {destination.orchestrator}, {_NEEDS[approach][1]}"
    if strategy is Strategy.POST_COPY:
        words += (
            f"; until the last page has arrived (≈ {window(question.load):.1f} s) losing the source loses the service"
        )
    return Verdict(approach, strategy, feasible=True, reason=words, downtime=cost.downtime, total=cost.total)


def _obstacle(question: Question, registry: Registry, approach: Approach, strategy: Strategy) -> tuple[str, str]:
    """Reason and fix; ("", "") when nothing is in the way."""
    source, destination = question.source, question.destination
    allowed, needed = _NEEDS[approach]
    for cluster in (source, destination):
        if cluster.authority not in allowed:
            fix = f"if you may change more there, set its `authority` to {allowed[-1].value} in the config"
            return f"it needs {needed}, and {cluster.name} gives {cluster.authority.value}", fix
    pair = (source.orchestrator, destination.orchestrator)
    built = [each for each in Strategy if (approach, each, *pair) in registry]
    if not built:
        words = _LATER[approach].format(source=source.orchestrator, destination=destination.orchestrator)
        return words, "choose an approach that is feasible"
    kernel = _kernel_obstacle(question, strategy)
    if kernel[0]:
        return kernel
    if strategy not in built:
        fix = f"use {' or '.join(each.value for each in built)}"
        return f"not built yet: {strategy.value} for {approach.value}-level", fix
    return "", ""


def _kernel_obstacle(question: Question, strategy: Strategy) -> tuple[str, str]:
    if strategy in (Strategy.PRE_COPY, Strategy.HYBRID) and not question.source_node.soft_dirty:
        return "the source's kernel cannot track written pages", "boot it with CONFIG_MEM_SOFT_DIRTY"
    if strategy in (Strategy.POST_COPY, Strategy.HYBRID) and not question.destination_node.userfaultfd:
        return "the destination's kernel cannot fetch pages on demand", "boot it with CONFIG_USERFAULTFD"
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
