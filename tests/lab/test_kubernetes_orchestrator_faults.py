"""What goes wrong while a pod is moved by its kubelet's checkpoint: one service is left, with all that it had."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.clusters import PODS
from tests.lab.job import umsui, wait_for_outcome, wait_for_step
from tests.lab.plain import BUNDLES, MEMHOG, Plain, begin, cleared, goes_on
from tests.waiting import waiting_for
from umsui import adapters, config, locations
from umsui.core.agents import Agents
from umsui.interface.pod_level import PodLevel
from umsui.interface.protocol import End, Order
from umsui.lab.kubernetes import cluster
from umsui.model import Approach, MigrationRequest, Place, Plan, Strategy

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def both(cluster_module: RunningLab) -> Plain:
    return Plain(cluster_module, MEMHOG)


@pytest.fixture
def clusters(both: Plain) -> Iterator[Plain]:
    yield from cleared(both)


def test_a_destination_that_cannot_restore_undoes_it_and_the_service_goes_on(clusters: Plain) -> None:
    before = clusters.pod("hog")
    clusters.lab.run("gke-1", cluster.NODE, "stop", "containerd")
    try:
        done = umsui("migrate", "aks-lab/hog", "--to", "gke-lab", "--approach", "orchestrator", "--json", "--yes")
    finally:
        clusters.lab.run("gke-1", cluster.NODE, "start", "containerd")
    assert done.code != 0
    assert done.document["outcome"] in ("rolled-back", "refused"), done.out
    goes_on(clusters, before)


def test_a_cancelled_move_leaves_the_source_as_it_was(clusters: Plain) -> None:
    before = clusters.pod("hog", mib=256)
    identity = begin("aks-lab/hog", "--strategy", "stop-copy", "--bandwidth", "8MB/s")
    wait_for_step(identity, "checkpoint")
    umsui("cancel", identity)
    assert wait_for_outcome(identity, 120)["outcome"] == "cancelled"
    goes_on(clusters, before)


@pytest.mark.parametrize("step", ["copy-ahead", "checkpoint", "commit", "remove-source"])
def test_a_coordinator_that_is_killed_leaves_one_service(clusters: Plain, step: str) -> None:
    before = clusters.pod("hog", mib=256)
    identity = begin("hog", "--strategy", "stop-copy")
    wait_for_step(identity, step)
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    document = wait_for_outcome(identity, 120)  # asking starts it again
    outcome = document["outcome"]
    assert outcome == ("committed" if step in ("commit", "remove-source") else "rolled-back"), document["error"]
    if outcome == "rolled-back":
        clusters.answers("aks-lab", "hog", 20)
        goes_on(clusters, before)
        return
    assert clusters.answers("gke-lab", "hog")["nonce"] == before["nonce"]
    assert clusters.get("gke-lab", "hog", "/checksum")["ok"]
    assert clusters.read("aks-lab", "hog") is None
    assert clusters.left() == []


def test_a_source_whose_coordinator_stays_away_goes_on_by_itself(clusters: Plain) -> None:
    before = clusters.pod("hog", mib=512)
    identity = begin("hog", "--strategy", "stop-copy", "--bandwidth", "200mbit")
    wait_for_step(identity, "checkpoint")  # the service stands still, its memory takes 20 s
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    clusters.answers("aks-lab", "hog", 90)
    assert clusters.get("aks-lab", "hog")["nonce"] == before["nonce"]
    assert wait_for_outcome(identity, 120)["outcome"] == "rolled-back"
    goes_on(clusters, before)


@pytest.mark.parametrize("where", ["aks-1", "gke-1"])
def test_an_agent_that_is_killed_leaves_one_service(clusters: Plain, where: str) -> None:
    before = clusters.pod("hog", mib=256)
    identity = begin("hog", "--strategy", "stop-copy")
    wait_for_step(identity, "checkpoint")
    clusters.lab.sh(where, "pkill -KILL -f 'agent-[0-9]*.pyz serve'; :")
    document = wait_for_outcome(identity, 120)
    if document["outcome"] == "rolled-back":
        clusters.answers("aks-lab", "hog", 20)
        goes_on(clusters, before)
        return
    assert document["outcome"] == "committed", document["error"]
    assert clusters.answers("gke-lab", "hog")["nonce"] == before["nonce"]
    assert clusters.get("gke-lab", "hog", "/checksum")["ok"]
    waiting_for(lambda: clusters.read("aks-lab", "hog") is None, 60)
    assert clusters.left() == []


def test_a_service_that_is_removed_meanwhile_ends_the_move(clusters: Plain) -> None:
    clusters.pod("hog")
    identity = begin("hog")
    wait_for_step(identity, "copy-ahead")
    clusters.api("aks-lab").delete(f"{PODS}/hog", {"gracePeriodSeconds": 1})
    document = wait_for_outcome(identity, 120)
    assert document["outcome"] == "rolled-back", document
    waiting_for(lambda: clusters.read("gke-lab", "hog") is None and clusters.read("aks-lab", "hog") is None, 60)
    waiting_for(lambda: clusters.left() == [], 30)


def order(clusters: Plain, name: str, strategy: Strategy) -> Order:
    """An order for a move by hand: step by step, with no coordinator."""
    ends = []
    for found in config.load().clusters:
        shell = adapters.load("transports", "ssh")(
            found.nodes[0].ssh, identity=found.identity, known_hosts=found.known_hosts
        )
        way = adapters.load("transports", "kubernetes")(found.kubeconfig, found.context)
        orchestrator = adapters.load("orchestrators", "kubernetes")()
        ends.append(End(Place(found.name, found.nodes[0].name), way, orchestrator, "root", shell))
    here, there = sorted(ends, key=lambda end: end.place.cluster)
    plan = Plan(
        request=MigrationRequest(f"aks-lab/{name}", "gke-lab"),
        service=f"aks-lab/{name}",
        source=here.place,
        destination=there.place,
        approach=Approach.ORCHESTRATOR,
        strategy=strategy,
        reason="",
        verdicts=(),
        findings=(),
        downtime=None,
        total=None,
        bytes={},
    )
    spec = here.orchestrator.specification(here.transport, name)
    return Order("abcdef012345", plan, spec, here, there, lambda *_, **__: None, lambda: False, Agents())


@pytest.mark.parametrize("strategy", [Strategy.STOP_COPY, Strategy.PRE_COPY])
def test_a_restore_that_is_lost_after_the_decision_is_done_again(clusters: Plain, strategy: Strategy) -> None:
    """As by a kubelet that waits no longer: it makes a new container, which gets all that the first one had."""
    before = clusters.pod("hog")
    root = f"{BUNDLES}/{clusters.container('aks-lab', 'hog')}/rootfs"
    clusters.sh("aks-lab", f"echo of the root >{root}/note")
    move = PodLevel(order(clusters, "hog", strategy))
    for step in (move.connect, move.reserve, move.copy_ahead, move.arm, move.switch):
        step()
    relay = clusters.sh("gke-lab", "cat /run/umsui/abcdef012345.destination/state.json")
    clusters.sh("gke-lab", f"kill -KILL {json.loads(relay)['relay']}")
    move.close()  # another coordinator finishes it, with agents of its own
    again = PodLevel(order(clusters, "hog", strategy))
    again.commit()
    again.drain()
    again.finish()
    again.close()
    after = clusters.answers("gke-lab", "hog")
    assert after["nonce"] == before["nonce"]
    assert after["count"] > before["count"]
    assert clusters.get("gke-lab", "hog", "/checksum")["ok"]
    root = f"{BUNDLES}/{clusters.container('gke-lab', 'hog')}/rootfs"
    assert clusters.sh("gke-lab", f"cat {root}/note").strip() == "of the root"
    assert clusters.read("aks-lab", "hog") is None
    assert clusters.left() == []
