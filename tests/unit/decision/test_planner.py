from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui.decision.preflight import blockers
from umsui.decision.resolve import refuse_taken, resolve
from umsui.errors import BadInput, UmsuiError, Unreachable
from umsui.interface.facts import LinkFacts
from umsui.model import Approach, Cluster, ClusterState, Estimate, Exit, Place, StartFirst, Strategy

from .world import FACTS, MIB, NODE, REGISTRY, World, board, plan, request, service


def test_plan() -> None:
    world = World()
    made = plan(request(), world, REGISTRY)
    assert made.feasible
    assert (made.approach, made.strategy) == (Approach.ORCHESTRATOR, Strategy.STOP_COPY)
    assert made.service == "azure-lab/memhog"
    assert made.destination == Place("gcp-lab", "g2")  # the most free memory
    assert made.bytes == {"memory": 64 * MIB, "rootfs": 0, "volumes": 0, "image": 0}
    assert made.endpoint == "10.77.0.12:8000"
    assert made.downtime
    assert made.downtime.mid == pytest.approx(0.12 + 64 * MIB / 117e6, rel=0.05)
    assert sorted(world.asked) == ["azure-lab/n1", "gcp-lab/g2", "warm 2"]


def test_bandwidth_limit_slows_it() -> None:
    world = World()
    free = plan(request(), world, REGISTRY)
    held = plan(request(bandwidth=10e6), world, REGISTRY)
    assert free.downtime
    assert held.downtime
    assert held.downtime.mid > 5 * free.downtime.mid


def test_budget_refuses() -> None:
    world = World()
    made = plan(request(max_downtime=0.2), world, REGISTRY)
    assert not made.feasible
    assert [f.check for f in blockers(made.findings)] == ["downtime-budget"]


def test_nothing_feasible_is_a_finding_too() -> None:
    world = World()
    made = plan(request(approach=Approach.SERVICE), world, REGISTRY)
    assert made.approach is None
    assert not made.feasible
    assert made.downtime is None
    assert [f.check for f in blockers(made.findings)] == ["approach"]


def test_errors_of_probes_are_raised() -> None:
    world = World()

    def broken(*_: Any) -> LinkFacts:
        raise Unreachable("gone")

    world.link = broken  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="gone"):
        plan(request(), world, REGISTRY)


@given(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([None, *Approach]))
def test_law_a_blocker_makes_it_infeasible(tty: bool, criu: bool, link: bool, approach: Approach | None) -> None:
    world = World(
        service=replace(FACTS, tty=tty),
        **{"gcp-lab": NODE if criu else replace(NODE, criu=None)},
        link=LinkFacts(reachable=link, bandwidth=1e8),
    )
    made = plan(request(approach=approach), world, REGISTRY)
    assert made.feasible is not bool(blockers(made.findings))
    assert made == plan(request(approach=approach), world, REGISTRY)


BAD = [
    ("azure-lab/memhoq", "gcp-lab", {}, BadInput, "no service", "azure-lab/memhog"),
    ("memhogg", "gcp-lab", {}, BadInput, "no service", "azure-lab/memhog"),
    ("nginx", "gcp-lab", {}, BadInput, "ambiguous", "azure-lab/nginx"),
    ("azure-lab/memhog", "azure-lab", {"node": "n1"}, BadInput, "already at azure-lab/n1", "--node"),
    ("azure-lab/memhog", "gpc-lab", {}, BadInput, "no cluster gpc-lab", "gcp-lab"),
    ("azur-lab/memhog", "gcp-lab", {}, BadInput, "no cluster azur-lab", "azure-lab"),
    ("azure-lab/memhog", "gcp-lab", {"node": "g9"}, BadInput, "no node g9", "g1"),
    ("azure-lab/memhog", "onprem-lab", {}, Unreachable, "no route to host", "umsui"),
    ("azure-lab/memhog", "onprem-lab", {"node": "o1"}, Unreachable, "no route", "umsui doctor onprem-lab/o1"),
    ("onprem-lab/db", "gcp-lab", {}, Unreachable, "onprem-lab cannot be reached", "umsui clusters"),
    ("", "gcp-lab", {}, BadInput, "names no service", "umsui services"),
    ("zzzzz", "gcp-lab", {}, BadInput, "onprem-lab could not be asked", "umsui services"),
]


@pytest.mark.parametrize(("text", "to", "more", "kind", "says", "fix"), BAD, ids=[f"{b[0]}>{b[1]}" for b in BAD])
def test_bad_requests(text: str, to: str, more: Any, kind: type[UmsuiError], says: str, fix: str) -> None:
    with pytest.raises(kind) as caught:
        resolve(board(), request(text, to, **more))
    assert says in caught.value.message
    assert fix in caught.value.fix
    assert caught.value.exit is (Exit.USAGE if kind is BadInput else Exit.UNREACHABLE)


def test_two_of_one_name_in_a_cluster_are_told_apart_by_their_nodes() -> None:
    clusters = board()
    (one, *_) = clusters[0].services
    clusters[0] = replace(clusters[0], services=(one, replace(one, node="n2")))
    with pytest.raises(BadInput, match=r"\(on n1\), .* \(on n2\)") as caught:
        resolve(clusters, request(one.key, "gcp-lab"))
    assert "another name" in caught.value.fix


def test_a_name_that_is_taken_is_refused() -> None:
    cluster = board()[0]
    refuse_taken(cluster, "new")
    with pytest.raises(BadInput, match="already, on"):
        refuse_taken(cluster, cluster.services[0].name)


def test_unique_name() -> None:
    found = resolve(board(), request("redis", "gcp-lab", node="g1"))
    assert found.service.key == "azure-lab/redis"
    assert found.destination == Place("gcp-lab", "g1")


def test_to_another_node_of_the_same_cluster() -> None:
    assert resolve(board(), request(to="azure-lab")).destination == Place("azure-lab", "n2")


def test_a_cluster_of_one_node_is_there_already() -> None:
    clusters = board()
    clusters[0] = replace(clusters[0], nodes=clusters[0].nodes[:1])
    with pytest.raises(BadInput, match="already") as caught:
        resolve(clusters, request(to="azure-lab"))
    assert caught.value.code == "already-there"


def test_a_dead_node_is_passed_over() -> None:
    clusters = board()
    dead = replace(clusters[1].nodes[1], state=ClusterState.UNREACHABLE, error="timed out")
    clusters[1] = replace(clusters[1], nodes=(clusters[1].nodes[0], dead))
    assert resolve(clusters, request()).destination.node == "g1"
    clusters[1] = replace(clusters[1], nodes=(dead,))
    with pytest.raises(Unreachable, match="timed out"):
        resolve(clusters, request())


def test_a_dead_source_is_said() -> None:
    clusters = board()
    dead = replace(clusters[0].nodes[0], state=ClusterState.FORBIDDEN, error="permission denied")
    clusters[0] = replace(clusters[0], nodes=(dead, clusters[0].nodes[1]))
    with pytest.raises(Unreachable, match="lets us not in: permission denied"):
        resolve(clusters, request())


def test_same_name_on_two_nodes_of_one_cluster() -> None:
    clusters = board()
    clusters[0] = replace(clusters[0], services=(service(), service(node="n2")))
    with pytest.raises(BadInput, match=r"on n1.*on n2"):
        resolve(clusters, request())


def all_off(cluster: Cluster) -> Cluster:
    nodes = tuple(replace(node, state=ClusterState.STOPPED, memory=n << 30) for n, node in enumerate(cluster.nodes, 1))
    return replace(cluster, nodes=nodes, state=ClusterState.STOPPED)


def test_a_destination_that_is_off_is_offered_to_be_started() -> None:
    world = World([all_off(each) if each.name == "gcp-lab" else each for each in board()])
    made = plan(request(), world, REGISTRY)
    assert not made.feasible
    assert made.start_first == StartFirst(Place("gcp-lab", "g2"), Estimate(8, 25, 90), 0.44)  # the largest
    (finding,) = blockers(made.findings)
    assert finding.check == "node-stopped"
    assert "about 25 s (8 to 90)" in finding.why
    assert "0.440 an hour" in finding.why
    assert "umsui nodes start gcp-lab/g2" in finding.fix
    assert world.asked == []  # nobody is there to be asked


def test_a_node_that_answers_is_taken_before_one_that_is_off() -> None:
    first, *others = next(each for each in board() if each.name == "gcp-lab").nodes
    nodes = (first, *(replace(node, state=ClusterState.STOPPED, memory=1 << 40) for node in others))
    clusters = [replace(each, nodes=nodes) if each.name == "gcp-lab" else each for each in board()]
    assert resolve(clusters, request()).destination == Place("gcp-lab", first.name)
    assert resolve(clusters, request(node=others[0].name)).stopped


@pytest.mark.parametrize("state", [ClusterState.EXPIRED, ClusterState.FORBIDDEN, ClusterState.THROTTLED])
def test_a_cloud_s_trouble_is_none_of_its_nodes(state: ClusterState) -> None:
    clusters = [replace(each, state=state) if each.name == "gcp-lab" else each for each in board()]
    assert resolve(clusters, request()).destination == Place("gcp-lab", "g2")


def test_a_service_of_several_containers() -> None:
    shop = replace(service(name="shop"), containers=("memhog", "other"))
    clusters = board()
    clusters[0] = replace(clusters[0], services=(shop,))
    world = World(clusters)
    made = plan(request("azure-lab/shop"), world, REGISTRY)
    assert made.feasible
    assert made.containers == ("memhog", "other")
    assert made.processes == 2
    assert made.bytes["memory"] == 2 * FACTS.memory
    where = {finding.where for finding in made.findings}
    assert {"azure-lab/shop/memhog", "azure-lab/shop/other"} <= where
    assert len(made.findings) == len(set(made.findings))
    service_level = next(verdict for verdict in made.verdicts if verdict.approach is Approach.SERVICE)
    assert "several containers" in service_level.reason
