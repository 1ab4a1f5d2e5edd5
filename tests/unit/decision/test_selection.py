from __future__ import annotations

from dataclasses import replace
from typing import Any

from umsui.decision.cost import Load
from umsui.decision.selection import ANNOTATION, Choice, Question, select
from umsui.model import Approach, Authority, Cluster, Strategy

from .world import MIB, NODE, REGISTRY, SPEC, board, request

ALL: dict[Any, Any] = {(a, Strategy.STOP_COPY, "podman", "podman"): object for a in Approach}


def ask(registry: dict[Any, Any] = REGISTRY, **changes: Any) -> Choice:
    source, destination = board()[:2]
    base = Question(request(), SPEC, source, destination, NODE, NODE, Load(64 * MIB))
    return select(replace(base, **changes), registry)


def test_the_only_feasible_one() -> None:
    choice = ask()
    assert choice.verdict
    assert (choice.verdict.approach, choice.verdict.strategy) == (Approach.ORCHESTRATOR, Strategy.STOP_COPY)
    assert "only feasible" in choice.reason
    assert len(choice.verdicts) == len(Strategy) + 2  # approaches that are not there get one word, not four
    assert all(v.reason for v in choice.verdicts)
    assert sum(v.feasible for v in choice.verdicts) == 1
    assert all(v.downtime and v.total for v in choice.verdicts if v.feasible)


def test_others_say_that_they_are_not_built() -> None:
    verdicts = {(v.approach, v.strategy): v for v in ask().verdicts}
    assert "not built yet" in verdicts[Approach.SERVICE, Strategy.STOP_COPY].reason
    assert "not built yet" in verdicts[Approach.CONTAINER, Strategy.STOP_COPY].reason
    assert "not built yet" in verdicts[Approach.ORCHESTRATOR, Strategy.POST_COPY].reason
    assert "track written pages" in verdicts[Approach.ORCHESTRATOR, Strategy.PRE_COPY].reason
    blind = ask(destination_node=replace(NODE, userfaultfd=False))
    assert any("on demand" in v.reason for v in blind.verdicts)


def test_least_downtime_wins() -> None:
    choice = ask(ALL)
    assert choice.verdict
    assert choice.verdict.approach is Approach.ORCHESTRATOR
    assert "least predicted downtime" in choice.reason


def test_authority() -> None:
    limited = replace(board()[1], authority=Authority.LIMITED)
    choice = ask(ALL, destination=limited)
    assert choice.verdict
    assert choice.verdict.approach is Approach.SERVICE
    none = ask(ALL, destination=replace(limited, authority=Authority.NONE))
    assert none.verdict
    assert none.verdict.approach is Approach.CONTAINER
    refused = next(v for v in none.verdicts if v.approach is Approach.ORCHESTRATOR)
    assert "gcp-lab gives none" in refused.reason
    assert "authority" in refused.fix


def test_request_beats_annotation_beats_cost() -> None:
    annotated = replace(SPEC, annotations={ANNOTATION: "container"})
    assert _approach(ask(ALL, specification=annotated)) is Approach.CONTAINER
    assert _approach(ask(ALL, specification=replace(SPEC, labels={ANNOTATION: "service"}))) is Approach.SERVICE
    asked = ask(ALL, specification=annotated, request=request(approach=Approach.SERVICE))
    assert _approach(asked) is Approach.SERVICE
    assert "asked for" in asked.reason


def test_infeasible_annotation_falls_back_and_says_so() -> None:
    choice = ask(specification=replace(SPEC, annotations={ANNOTATION: "service"}))
    assert _approach(choice) is Approach.ORCHESTRATOR
    assert "service-level is not feasible" in choice.reason
    odd = ask(specification=replace(SPEC, annotations={ANNOTATION: "magic"}))
    assert "magic is none of" in odd.reason


def test_nothing_feasible() -> None:
    asked = ask(request=request(strategy=Strategy.POST_COPY))
    assert asked.verdict is None
    assert "post-copy was asked for" in asked.reason
    docker: Cluster = replace(board()[1], orchestrator="docker")
    none = ask(destination=docker)
    assert none.verdict is None
    assert "between podman and docker" in none.reason


def _approach(choice: Choice) -> Approach | None:
    return choice.verdict.approach if choice.verdict else None
