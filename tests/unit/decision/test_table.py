"""Services that differ in authority and make-up: which approach is right for each, and what is said of the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from umsui.agent import nested
from umsui.interface import APPROACHES
from umsui.interface.facts import NodeFacts, ServiceFacts
from umsui.model import Approach, Authority, Cluster, Plan, Service, Specification

from .test_recorded import HERE, IMAGE, THERE
from .test_recorded import service as recorded
from .world import SPEC, World, board, plan, request, service

INSIDE = {
    "capabilities": "0000010000080100", "seccomp": 0, "no_new_privileges": 0, "read_only": False, "criu": True,
    "orphans": 0, "uid": 0,
}  # fmt: skip
PLAIN = replace(SPEC, image_id=IMAGE)
NESTED = replace(PLAIN, environment={nested.VARIABLE: "{}"})
MEMHOG = recorded("memhog")
WITH_AGENT = replace(MEMHOG, inside=INSIDE)
ORCHESTRATOR, SERVICE, CONTAINER = Approach


@dataclass(frozen=True)
class Row:
    """A service, what may be changed at both ends, and what must come of it; ``others`` are words of their reasons."""

    name: str
    authority: tuple[Authority, Authority]
    spec: Specification
    facts: ServiceFacts
    wanted: Approach | None
    others: dict[Approach, str]
    because: str
    engines: tuple[str, str] = ("podman", "podman")
    containers: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


FULL, LIMITED, NONE = Authority.FULL, Authority.LIMITED, Authority.NONE
LABELLED = replace(PLAIN, labels={"umsui.io/approach": "service"})
TABLE = [
    Row("a plain container, all rights", (FULL, FULL), PLAIN, MEMHOG, ORCHESTRATOR,
        {SERVICE: "no umsui agent", CONTAINER: "not nested"}, "orchestrator-level with"),
    Row("umsui inside, the image is ours", (FULL, LIMITED), PLAIN, WITH_AGENT, SERVICE,
        {ORCHESTRATOR: "gcp-lab gives limited", CONTAINER: "not nested"}, "service-level with"),
    Row("nested, no rights anywhere", (NONE, NONE), NESTED, MEMHOG, CONTAINER,
        {ORCHESTRATOR: "azure-lab gives none", SERVICE: "azure-lab gives none"}, "container-level"),
    Row("two containers, all rights", (FULL, FULL), PLAIN, WITH_AGENT, ORCHESTRATOR,
        {SERVICE: "several containers", CONTAINER: "several containers"}, "orchestrator-level with",
        containers=("memhog", "other")),
    Row("umsui inside, from podman to docker", (FULL, FULL), PLAIN, WITH_AGENT, ORCHESTRATOR,
        {SERVICE: "", CONTAINER: "not nested"}, "least predicted downtime",
        engines=("podman", "docker")),
    Row("umsui inside, all rights", (FULL, FULL), PLAIN, WITH_AGENT, ORCHESTRATOR,
        {SERVICE: "", CONTAINER: "not nested"}, "least predicted downtime"),
    Row("umsui inside, the label asks for it", (FULL, FULL), LABELLED, WITH_AGENT, SERVICE,
        {ORCHESTRATOR: "", CONTAINER: "not nested"}, "umsui.io/approach prefers it"),
    Row("a plain container, no rights", (NONE, NONE), PLAIN, MEMHOG, None,
        {ORCHESTRATOR: "gives none", SERVICE: "gives none", CONTAINER: "not nested"}, "no approach is feasible"),
]  # fmt: skip


def clusters(row: Row) -> list[Cluster]:
    here, there = board()[:2]
    moved: Service = replace(service(), containers=row.containers)
    return [
        replace(here, authority=row.authority[0], orchestrator=row.engines[0], services=(moved,)),
        replace(there, authority=row.authority[1], orchestrator=row.engines[1]),
    ]


def planned(row: Row) -> Plan:
    def on(facts: NodeFacts, engine: str) -> NodeFacts:
        return replace(facts, orchestrator=engine, storage_driver="overlay2", experimental=True)

    world = World(
        clusters(row),
        spec=row.spec,
        service=row.facts,
        **{"azure-lab": on(HERE, row.engines[0]), "gcp-lab": on(THERE, row.engines[1])},
    )
    return plan(request(), world, APPROACHES)


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_table(row: Row) -> None:
    made = planned(row)
    assert made.approach is row.wanted, made.reason
    assert row.because in made.reason
    for approach, words in row.others.items():
        verdicts = [verdict for verdict in made.verdicts if verdict.approach is approach]
        assert verdicts
        assert all(words in verdict.reason for verdict in verdicts if not verdict.feasible or not words), verdicts
        assert all(verdict.fix for verdict in verdicts if not verdict.feasible)
    assert made.feasible is (row.wanted is not None), [f for f in made.findings if f.blocking and not f.ok]


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_the_best_verdict_comes_first(row: Row) -> None:
    made = planned(row)
    feasible = [verdict.feasible for verdict in made.verdicts]
    assert feasible == sorted(feasible, reverse=True)
    downtimes = [verdict.downtime.mid for verdict in made.verdicts if verdict.downtime]
    assert downtimes == sorted(downtimes)
