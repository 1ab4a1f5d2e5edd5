"""Machines started and stopped through the SDKs, with the operations that take their time."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from google.api_core.exceptions import BadRequest
from google.cloud import compute_v1

from tests.clouds import bare
from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT, Machine

ZONE = "us-central1-b"


@pytest.fixture
def pair(cloud: LocalCloud) -> LocalCloud:
    """One machine in each cloud, both off."""
    cloud.fill("azure", [Machine("one", "westeurope", "Standard_D2s_v5", group="Lab", state="deallocated")])
    cloud.fill("google", [Machine("one", ZONE, "e2-medium", state="deallocated")])
    return cloud


def state(cloud: LocalCloud, name: str) -> str:
    (machines,) = cloud.machines(name).values()
    return str(machines[0]["state"])


def power(client: Any) -> list[str]:
    view = client.virtual_machines.instance_view("lab", "ONE")
    return [status.code for status in view.statuses]


def test_azure_start_and_deallocate(pair: LocalCloud) -> None:
    client = bare.compute(pair, polling_interval=0.05)
    poller = client.virtual_machines.begin_start("lab", "ONE")  # its names have no case
    assert poller.status() == "InProgress"
    assert power(client)[1] == "PowerState/starting"
    poller.result()
    assert state(pair, "azure") == "running"
    client.virtual_machines.begin_deallocate("lab", "one").result()
    assert power(client)[1] == "PowerState/deallocated"
    assert pair.counts()["arm.operation"] > 2


def test_azure_says_how_often_to_ask(pair: LocalCloud) -> None:
    pair.set("azure", retry_after=1, seconds=1.5)
    client = bare.compute(pair)  # which would ask every 30 s
    client.virtual_machines.begin_power_off("lab", "one").result()
    assert state(pair, "azure") == "stopped"
    assert pair.counts()["arm.operation"] <= 4


def test_azure_a_change_takes_over_from_another(pair: LocalCloud) -> None:
    pair.set("azure", seconds=30)
    client = bare.compute(pair, polling_interval=0.05)
    first = client.virtual_machines.begin_start("lab", "one")
    second = client.virtual_machines.begin_deallocate("lab", "one")
    with pytest.raises(HttpResponseError, match="OperationPreempted"):
        first.result()
    pair.set("azure", finish=True)
    second.result()
    assert state(pair, "azure") == "deallocated"


def test_azure_a_start_that_fails(pair: LocalCloud) -> None:
    pair.set("azure", fail_next=["AllocationFailed", "There is no capacity left."])
    with pytest.raises(HttpResponseError, match="AllocationFailed"):
        bare.compute(pair, polling_interval=0.05).virtual_machines.begin_start("lab", "one").result()
    assert state(pair, "azure") == "deallocated"


def operations(cloud: LocalCloud) -> Any:
    return bare.google(cloud, compute_v1.ZoneOperationsClient)


def wait(cloud: LocalCloud, operation: Any) -> compute_v1.Operation:
    found: compute_v1.Operation = operations(cloud).wait(project=PROJECT, zone=ZONE, operation=operation.name)
    return found


def test_google_start_and_stop(pair: LocalCloud) -> None:
    client = bare.instances(pair)
    started = client.start(project=PROJECT, zone=ZONE, instance="one")
    assert client.get(project=PROJECT, zone=ZONE, instance="one").status == "STAGING"
    assert wait(pair, started).status == compute_v1.Operation.Status.DONE
    assert state(pair, "google") == "running"
    wait(pair, client.stop(project=PROJECT, zone=ZONE, instance="one"))
    assert client.get(project=PROJECT, zone=ZONE, instance="one").status == "TERMINATED"


def test_google_is_not_ready_meanwhile(pair: LocalCloud) -> None:
    pair.set("google", seconds=30)
    client = bare.instances(pair)
    client.start(project=PROJECT, zone=ZONE, instance="one")
    with pytest.raises(BadRequest, match="is not ready"):
        client.stop(project=PROJECT, zone=ZONE, instance="one")


def test_google_a_start_that_fails(pair: LocalCloud) -> None:
    pair.set("google", fail_next=["ZONE_RESOURCE_POOL_EXHAUSTED", "The zone has no capacity left."])
    started = bare.instances(pair).start(project=PROJECT, zone=ZONE, instance="one")
    ended = wait(pair, started)
    assert ended.error.errors[0].code == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert state(pair, "google") == "deallocated"
