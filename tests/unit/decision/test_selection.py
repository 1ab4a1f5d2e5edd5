from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from umsui.agent import nested
from umsui.decision.cost import Load
from umsui.decision.selection import ANNOTATION, Choice, Question, select
from umsui.interface import FROM_INSIDE
from umsui.interface.facts import ServiceFacts
from umsui.model import Approach, Authority, Cluster, Strategy

from .world import MIB, NODE, REGISTRY, SPEC, board, request

NESTED = replace(SPEC, environment={nested.VARIABLE: "{}"})
ALL: dict[Any, Any] = {(a, Strategy.STOP_COPY, "podman", "podman"): object for a in Approach}


WHOLE = {
    "capabilities": "0000010000080100", "seccomp": 0, "no_new_privileges": 0, "read_only": False, "criu": True,
    "orphans": 0, "uid": 0,
}  # fmt: skip
INSIDE = ServiceFacts(inside=WHOLE)


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
    assert "no umsui agent" in verdicts[Approach.SERVICE, Strategy.STOP_COPY].reason
    assert "umsui image build --approach service" in verdicts[Approach.SERVICE, Strategy.STOP_COPY].fix
    assert "not nested" in verdicts[Approach.CONTAINER, Strategy.STOP_COPY].reason
    assert "umsui deploy" in verdicts[Approach.CONTAINER, Strategy.STOP_COPY].fix
    assert "not built yet" in verdicts[Approach.ORCHESTRATOR, Strategy.POST_COPY].reason
    assert "track written pages" in verdicts[Approach.ORCHESTRATOR, Strategy.PRE_COPY].reason
    blind = ask(destination_node=replace(NODE, userfaultfd=False))
    assert any("on demand" in v.reason for v in blind.verdicts)


def test_least_downtime_wins() -> None:
    choice = ask(ALL, facts=INSIDE)
    assert choice.verdict
    assert choice.verdict.approach is Approach.ORCHESTRATOR
    assert "least predicted downtime" in choice.reason


def test_authority() -> None:
    limited = replace(board()[1], authority=Authority.LIMITED)
    choice = ask(ALL, destination=limited, facts=INSIDE)
    assert choice.verdict
    assert choice.verdict.approach is Approach.SERVICE
    none = ask(ALL, destination=replace(limited, authority=Authority.NONE), specification=NESTED)
    assert none.verdict
    assert none.verdict.approach is Approach.CONTAINER
    refused = next(v for v in none.verdicts if v.approach is Approach.ORCHESTRATOR)
    assert "gcp-lab gives none" in refused.reason
    assert "authority" in refused.fix


def test_request_beats_annotation_beats_cost() -> None:
    annotated = replace(NESTED, annotations={ANNOTATION: "container"})
    assert _approach(ask(ALL, specification=annotated)) is Approach.CONTAINER
    assert (
        _approach(ask(ALL, specification=replace(SPEC, labels={ANNOTATION: "service"}), facts=INSIDE))
        is Approach.SERVICE
    )
    asked = ask(ALL, specification=annotated, request=request(approach=Approach.SERVICE), facts=INSIDE)
    assert _approach(asked) is Approach.SERVICE
    assert "asked for" in asked.reason


@pytest.mark.parametrize(
    ("inside", "reason", "fix"),
    [
        ({"error": "it hung up"}, "it hung up", "start the service anew"),
        ({**WHOLE, "capabilities": "0000000000080100"}, "CHECKPOINT_RESTORE", "--cap-add"),
        ({**WHOLE, "capabilities": "0", "uid": 1000, "no_new_privileges": 1}, "SYS_PTRACE", "no-new-privileges"),
        ({**WHOLE, "seccomp": 2}, "seccomp filter", "seccomp=unconfined"),
        ({**WHOLE, "read_only": True}, "read-only", "--read-only"),
        ({**WHOLE, "criu": False}, "no CRIU", "image build"),
        ({**WHOLE, "orphans": 1}, "do not descend", "from its command"),
    ],
)
def test_what_keeps_it_from_being_moved_from_inside(inside: dict[str, Any], reason: str, fix: str) -> None:
    choice = ask(ALL, request=request(approach=Approach.SERVICE), facts=ServiceFacts(inside=inside))
    assert choice.verdict is None
    refused = next(v for v in choice.verdicts if v.approach is Approach.SERVICE)
    assert reason in refused.reason
    assert fix in refused.fix


def test_what_is_nested_moves_only_as_such() -> None:
    choice = ask(ALL, specification=NESTED, request=request(approach=Approach.ORCHESTRATOR))
    assert choice.verdict is None
    assert "outer container" in choice.reason


def test_a_risky_strategy_is_chosen_only_when_it_was_asked_for() -> None:
    both = {(Approach.CONTAINER, s, "podman", "podman"): object for s in (Strategy.STOP_COPY, Strategy.POST_COPY)}
    annotated = replace(NESTED, annotations={ANNOTATION: "container"})
    for choice in (
        ask(both, specification=annotated),
        ask(both, specification=NESTED, request=request(approach=Approach.CONTAINER)),
    ):
        assert choice.verdict
        assert choice.verdict.strategy is Strategy.STOP_COPY


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
    assert "knows no way from podman to docker" in none.reason


def _approach(choice: Choice) -> Approach | None:
    return choice.verdict.approach if choice.verdict else None


def test_memory_goes_ahead_from_inside_whatever_the_kernels_can_do() -> None:
    both: dict[Any, Any] = {(Approach.SERVICE, s, "podman", "podman"): object for s in FROM_INSIDE}
    old = replace(NODE, tracks_writes=False, userfaultfd=False)
    ends = {"source_node": old, "destination_node": old, "load": Load(64 * MIB)}
    chosen = ask(both, facts=ServiceFacts(inside={**WHOLE, "version": 2}), **ends).verdict
    assert chosen is not None
    assert (chosen.approach, chosen.strategy) == (Approach.SERVICE, Strategy.PRE_COPY)
    verdicts = {v.strategy: v for v in ask(both, facts=INSIDE, **ends).verdicts if v.approach is Approach.SERVICE}
    assert verdicts[Strategy.STOP_COPY].feasible
    assert "older than" in verdicts[Strategy.PRE_COPY].reason
    assert "image build" in verdicts[Strategy.PRE_COPY].fix
    assert "no memory can follow" in verdicts[Strategy.HYBRID].reason


def test_a_limit_that_leaves_no_room_for_a_restore_inside() -> None:
    facts = ServiceFacts(inside=WHOLE, memory=64 * MIB)
    for limit, feasible in ((0, True), (100 * MIB, False), (160 * MIB, True)):
        choice = ask(
            ALL,
            request=request(approach=Approach.SERVICE),
            facts=facts,
            specification=replace(SPEC, memory_limit=limit),
        )
        assert (choice.verdict is not None) == feasible
        assert feasible or "raise its limit to 160 MiB" in str([v.fix for v in choice.verdicts])


def test_memory_that_is_written_faster_than_the_link_carries_is_named() -> None:
    ahead = {(Approach.ORCHESTRATOR, each, "podman", "podman"): object for each in Strategy}
    able = replace(NODE, tracks_writes=True, userfaultfd=True)

    def judged(dirty: float | None) -> dict[Strategy, Any]:
        load = Load(1024 * MIB, bandwidth=100e6, dirty=dirty)
        choice = ask(ahead, source_node=able, destination_node=able, load=load)
        return {v.strategy: v for v in choice.verdicts if v.approach is Approach.ORCHESTRATOR}

    calm, fast = judged(20e6), judged(150e6)
    assert "carries" not in calm[Strategy.PRE_COPY].reason
    assert "it writes 143 MiB/s, which is more than the link carries" in fast[Strategy.PRE_COPY].reason
    assert fast[Strategy.PRE_COPY].downtime.mid > 9 > 1 > calm[Strategy.PRE_COPY].downtime.mid
    assert fast[Strategy.HYBRID].downtime.mid < 1
    assert judged(None)[Strategy.PRE_COPY].downtime.mid < calm[Strategy.PRE_COPY].downtime.mid


def test_a_user_namespace_stays_with_its_engine() -> None:
    docker: Cluster = replace(board()[1], orchestrator="docker")
    registry: dict[Any, Any] = {(Approach.ORCHESTRATOR, Strategy.STOP_COPY, "podman", "docker"): object}
    nodes = {"destination_node": replace(NODE, orchestrator="docker", storage_driver="overlay2", experimental=True)}
    assert ask(registry, destination=docker, **nodes).verdict
    refused = ask(registry, destination=docker, facts=ServiceFacts(user_ns=True), **nodes)
    assert refused.verdict is None
    assert any("in a user namespace" in verdict.reason for verdict in refused.verdicts)
