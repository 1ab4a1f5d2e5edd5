"""What orchestrator-level between Kubernetes clusters asks for, and what is said where it is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from umsui.agent import nested
from umsui.decision.api_checks import IN_A_REGISTRY
from umsui.decision.cost import Load
from umsui.decision.preflight import preflight
from umsui.decision.selection import Question, select
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.model import Approach, Authority, Cluster, Strategy, Verdict

from .world import FACTS, GIB, MIB, NODE, SPEC, case, request

REGISTRY: dict[Any, Any] = {(Approach.ORCHESTRATOR, Strategy.STOP_COPY, "kubernetes", "kubernetes"): object}
KUBERNETES = replace(
    NODE, orchestrator="kubernetes", orchestrator_version="1.30", containerd="2.1.9", runtimes={"runc": "1.1"}
)
PODS = replace(FACTS, runtime="runc")


def verdict(
    here: NodeFacts = KUBERNETES, there: NodeFacts = KUBERNETES, facts: ServiceFacts = PODS, **cluster: Any
) -> Verdict:
    source, destination = (Cluster(name, "onprem", "kubernetes", **cluster) for name in ("aks", "gke"))
    asked = Question(request(), SPEC, source, destination, here, there, Load(64 * MIB), facts)
    return next(each for each in select(asked, REGISTRY).verdicts if each.approach is Approach.ORCHESTRATOR)


def test_it_is_feasible_where_nothing_is_missing() -> None:
    assert verdict().feasible
    assert verdict(here=replace(KUBERNETES, containerd="1.7.24")).feasible  # only the destination restores


@pytest.mark.parametrize(
    ("where", "changes", "words"),
    [
        ("here", {"unreached": "the config says no way to log in to it"}, "no agent can be on the node at aks"),
        ("there", {"unreached": "no route to host"}, "at gke: no route to host"),
        ("here", {"checkpoints": False}, "`create nodes/proxy` at aks"),
        ("there", {"containerd": "1.7.24"}, "containerd at gke (1.7.24) does not restore"),
        ("there", {"runtimes": {"crun": "1.21"}}, "there is no runc at gke"),
    ],
)
def test_what_is_missing_is_named_with_its_fix(where: str, changes: dict[str, Any], words: str) -> None:
    found = verdict(**{where: replace(KUBERNETES, **changes)})  # type: ignore[arg-type]
    assert not found.feasible
    assert words in found.reason
    assert found.fix


def test_only_what_runc_runs_is_moved() -> None:
    found = verdict(facts=replace(PODS, runtime="crun"))
    assert "run by crun" in found.reason


def test_it_needs_full_control_of_both() -> None:
    assert "full control" in verdict(authority=Authority.LIMITED).reason


def test_preflight_asks_the_nodes_too() -> None:
    pods = case(source_node=KUBERNETES, destination_node=replace(KUBERNETES, criu=None), facts=PODS)
    blocked = {each.check for each in preflight(pods, Approach.ORCHESTRATOR) if each.blocking and not each.ok}
    assert blocked == {"criu"}
    assert "criu" not in {each.check for each in preflight(pods, Approach.SERVICE)}


def test_files_that_a_kubelet_would_not_wait_for_are_refused() -> None:
    slow = case(
        source_node=KUBERNETES,
        destination_node=KUBERNETES,
        facts=replace(PODS, volume_bytes={"/data": 10 * GIB}),
        link=LinkFacts(bandwidth=10e6),
    )
    (found,) = [each for each in preflight(slow, Approach.ORCHESTRATOR) if each.check == "kubelet"]
    assert found.blocking
    assert "two minutes" in found.why


def test_an_image_that_a_kubelet_can_hardly_pull_is_named_with_the_way_to_one() -> None:
    def found(image: str, **more: Any) -> str:
        spec = replace(SPEC, image=image, **more)
        asked = case(specification=spec, destination_node=replace(KUBERNETES, images=frozenset({"localhost/known:1"})))
        (told,) = [each for each in preflight(asked, Approach.CONTAINER) if each.check == "image"]
        assert not told.blocking or told.ok
        return "" if told.ok else told.fix

    assert found("registry.example:5000/web:1") == "nothing, if it is"
    assert found("localhost/known:1") == ""
    assert found("localhost/web:1") == IN_A_REGISTRY[False]
    assert found("localhost/umsui/nested/web:1", environment={nested.VARIABLE: "{}"}) == IN_A_REGISTRY[True]
