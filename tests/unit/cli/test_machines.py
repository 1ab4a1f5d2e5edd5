"""``umsui nodes start`` and ``stop``, and what else is done with machines."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from umsui.cli import machines
from umsui.errors import BadInput
from umsui.model import ClusterState, Estimate, Failure, Machine, Operation, Place, Power, StartFirst

from .conftest import Umsui
from .fake import Fake, plan

RUNNING = Operation("op1", Place("gcp-lab", "gcp-1"), "start", expected=Estimate(8, 25, 90), started=1.8e9)
DONE = replace(RUNNING, state="done", note="DONE", progress=1.0, finished=1.8e9 + 21)


class Cloud:
    """The machines' part of the Api: an operation goes through these states."""

    def __init__(self, fake: Fake, *states: Operation) -> None:
        self.fake, self.states = fake, list(states)
        for name in ("switch", "operation", "operations", "cancel_operation", "kubeconfig"):
            setattr(fake, name, getattr(self, name))

    def switch(self, node: str, action: str, *, force: bool = False) -> Operation:
        self.fake.asked.append(("switch", node, action, force))
        if self.fake.raises:
            raise self.fake.raises
        return replace(RUNNING, action=action)

    def operation(self, number: str) -> Operation:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def operations(self) -> list[Operation]:
        return [DONE]

    def cancel_operation(self, number: str) -> Operation:
        self.fake.asked.append(("cancel", number))
        self.states = [replace(RUNNING, state="cancelled", finished=1.8e9 + 5)]
        return RUNNING

    def kubeconfig(self, cluster: str) -> str:
        return f"kind: Config # {cluster}\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "LOOK", 0.01)


def test_start(umsui: Umsui, fake: Fake) -> None:
    Cloud(fake, replace(RUNNING, note="STAGING", progress=0.4), DONE)
    answer = umsui("nodes", "start", "gcp-lab/gcp-1")
    assert answer.code == 0
    assert answer.out == "gcp-lab/gcp-1: start done (21.00 s)\n"
    assert "about 25.00 s (8.00 - 90.00 s)" in answer.err
    assert "STAGING 40 %" in answer.err
    assert fake.asked == [("switch", "gcp-lab/gcp-1", "start", False)]


def test_stop_json_and_detached(umsui: Umsui, fake: Fake) -> None:
    Cloud(fake, DONE)
    assert umsui("nodes", "stop", "gcp-lab/gcp-1", "--force", "--json").json["state"] == "done"
    assert fake.asked == [("switch", "gcp-lab/gcp-1", "stop", True)]
    assert umsui("nodes", "stop", "gcp-lab/gcp-1", "--detach").out == "op1\n"
    assert umsui("nodes", "operations", "--json").json[0]["id"] == "op1"
    assert "gcp-lab/gcp-1" in umsui("nodes", "operations").out
    assert "switched back" in umsui("nodes", "cancel", "op1").out


def test_what_fails(umsui: Umsui, fake: Fake) -> None:
    Cloud(fake, replace(DONE, state="failed", error=Failure("start", "x", "no room in the zone", "try another")))
    answer = umsui("nodes", "start", "gcp-lab/gcp-1")
    assert answer.code == 1
    assert "no room in the zone" in answer.err
    assert "fix: try another" in answer.err
    fake.raises = BadInput("memhog would stop with gcp-lab/gcp-1", "move it away", code="in-use")
    assert umsui("nodes", "stop", "gcp-lab/gcp-1").code == 2


def test_ctrl_c_calls_it_off(umsui: Umsui, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(fake, RUNNING)

    def look(number: str) -> Operation:
        if not any(asked == ("cancel", "op1") for asked in fake.asked):
            os.kill(os.getpid(), signal.SIGINT)
        return cloud.operation(number)

    fake.operation = look  # type: ignore[attr-defined]
    answer = umsui("nodes", "start", "gcp-lab/gcp-1")
    assert answer.code == 130
    assert "called off, it is being switched back" in answer.err


def test_nodes_show_their_machines(umsui: Umsui, fake: Fake) -> None:
    machine = Machine("/m", "europe-west4", "europe-west4-b", "e2-medium", Power.DEALLOCATED, "spot")
    cluster = fake.clusters[1]
    node = replace(cluster.nodes[0], state=ClusterState.STOPPED, machine=machine)
    fake.clusters[1] = replace(cluster, nodes=(node,))
    out = umsui("nodes").out
    assert "deallocated e2-medium europe-west4-b spot" in out
    assert umsui("nodes", "--cluster", "gcp-lab", "--json").json[0]["machine"]["power"] == "deallocated"


def test_kubeconfig(umsui: Umsui, fake: Fake) -> None:
    Cloud(fake, DONE)
    assert umsui("kubeconfig", "gke-prod").out == "kind: Config # gke-prod\n"


def test_throttled_says_until_when(umsui: Umsui, fake: Fake) -> None:
    fake.clusters[1] = replace(fake.clusters[1], state=ClusterState.THROTTLED, until=1.8e9, error="too often")
    assert "throttled until " in umsui("clusters").out


def test_migrate_starts_the_destination_first(umsui: Umsui, fake: Fake) -> None:
    Cloud(fake, DONE)
    fake.planned = plan(start_first=StartFirst(Place("gcp-lab", "gcp-1"), Estimate(8, 25, 90), 0.44))
    answer = umsui("migrate", "memhog", "--to", "gcp-lab", "--start", "--json")
    assert answer.code == 0
    words = [asked[0] for asked in fake.asked]
    assert words == ["plan", "switch", "migrate"]
    assert fake.asked[2][1].node == "gcp-1"  # the one that was started, whatever else has come up meanwhile
    assert umsui("plan", "memhog", "--to", "gcp-lab", "--json").json["start_first"] == {
        "node": {"cluster": "gcp-lab", "node": "gcp-1"},
        "predicted": [8.0, 25.0, 90.0],
        "hourly": 0.44,
    }
