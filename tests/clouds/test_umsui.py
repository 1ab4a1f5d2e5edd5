"""The command line over the local clouds: each trouble is a state and a named error, and no cloud delays another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT, SUBSCRIPTION, Managed
from tests.clouds.umsui import Umsui, azure_table, google_table
from tests.waiting import waiting_for
from umsui.model import Exit

LISTS = {"azure": "arm.vms.list", "google": "gce.instances.aggregated"}


@pytest.fixture
def umsui(cloud: LocalCloud, tmp_path: Path) -> Iterator[Umsui]:
    """Both clouds with 30 machines each."""
    for name in LISTS:
        cloud.fill(name, "plain", 30)
    found = Umsui(tmp_path, cloud.environment({}))
    yield found
    found.end()


def test_the_fleet_as_it_is(cloud: LocalCloud, umsui: Umsui) -> None:
    umsui.configure(azure_table(cloud), google_table(cloud))
    found = umsui.clusters()
    assert {name: (each["state"], len(each["nodes"])) for name, each in found.items()} == {
        "azure-prod": ("live", 30),
        "gcp-prod": ("live", 30),
    }
    cloud.forget()
    node = next(each for each in umsui.json("nodes", "--cluster", "azure-prod") if each["name"] == "web-00000")
    assert (node["cores"], node["memory"]) == (2, 1 << 30)
    assert node["machine"]["addresses"] == ["198.18.0.1", "10.128.0.10"]
    assert cloud.counts() == {}  # what is known is not asked for again


def test_good_and_bad_side_by_side(cloud: LocalCloud, umsui: Umsui) -> None:
    """Each says what is wrong; then it is over, and only the one that wants rest is left alone."""
    other, second = f"00000001{SUBSCRIPTION[8:]}", f"{PROJECT}-two"
    for name, account in (("azure", other), ("google", second)):
        cloud.fill(name, "plain", 3, account=account)
    cloud.trouble("arm.vms.list", status=403, account=other, count=None)
    cloud.trouble("gce.*", status=403, reason="rateLimitExceeded", retry_after="600", account=second, count=None)
    umsui.configure(
        azure_table(cloud, "azure-well"),
        google_table(cloud, "google-well"),
        azure_table(cloud, "azure-bad", subscription=other),
        google_table(cloud, "google-bad", project=second),
        google_table(cloud, "google-nowhere", project="no-such-project"),
    )
    found = umsui.clusters()
    assert (found["azure-well"]["state"], found["google-well"]["state"]) == ("live", "live")
    assert found["azure-bad"]["state"] == "forbidden"
    assert "Microsoft.Compute/virtualMachines/read" in found["azure-bad"]["error"]
    assert found["google-bad"]["state"] == "throttled"
    assert 500 < found["google-bad"]["until"] - time.time() <= 600
    assert "no-such-project" in found["google-nowhere"]["error"]
    cloud.mend()
    after = umsui.clusters("--refresh")
    assert (after["azure-bad"]["state"], after["google-bad"]["state"]) == ("live", "throttled")
    assert sum(f"/projects/{second}/" in each["path"] for each in cloud.requests()) == 1


def test_a_silent_cloud_delays_no_other(cloud: LocalCloud, umsui: Umsui) -> None:
    cloud.trouble("arm.*", "silent", count=None)
    umsui.configure(azure_table(cloud), google_table(cloud), coordinator={"timeout": 1})
    waiting_for(lambda: umsui.clusters()["gcp-prod"]["state"] == "live", 60)
    waiting_for(lambda: "does not answer" in umsui.clusters()["azure-prod"]["error"], 90)
    assert umsui.clusters()["gcp-prod"]["state"] == "live"


def test_a_login_that_expires_and_is_renewed(cloud: LocalCloud, umsui: Umsui) -> None:
    umsui.configure(azure_table(cloud), google_table(cloud))
    assert {each["state"] for each in umsui.clusters().values()} == {"live"}
    for kind in LISTS.values():
        cloud.trouble(kind, "revoke", credentials=True)
    found = umsui.clusters("--refresh")
    for each in found.values():
        assert (each["state"], len(each["nodes"]), bool(each["fix"])) == ("expired", 30, True)
    shown = umsui.run("clusters")
    assert "not logged in to Azure" in shown.stderr
    assert "not logged in to Google Cloud" in shown.stderr
    cloud.mend()  # by itself from here on
    waiting_for(lambda: {each["state"] for each in umsui.clusters().values()} == {"live"}, 60)


@pytest.mark.parametrize("name", ["azure", "google"])
def test_start_stop_and_calling_it_off(cloud: LocalCloud, umsui: Umsui, name: str) -> None:
    table = azure_table(cloud, "prod") if name == "azure" else google_table(cloud, "prod")
    umsui.configure(table)
    assert umsui.json("nodes", "start", "prod/web-00008")["state"] == "done"
    assert state(cloud, name, "web-00008") == "running"
    assert umsui.json("nodes", "stop", "prod/web-00008")["state"] == "done"
    assert state(cloud, name, "web-00008") == "deallocated"
    cloud.set(name, seconds=5)
    begun = umsui.json("nodes", "start", "prod/web-00008", "--detach")
    assert umsui.run("nodes", "cancel", begun["id"]).returncode == Exit.DONE
    waiting_for(lambda: operation(umsui, begun["id"])["state"] == "cancelled", 60)
    waiting_for(lambda: state(cloud, name, "web-00008") == "deallocated", 30)


def operation(umsui: Umsui, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in umsui.json("nodes", "operations") if each["id"] == identity)
    return found


def state(cloud: LocalCloud, name: str, machine: str) -> str:
    (machines,) = cloud.machines(name).values()
    return next(str(each["state"]) for each in machines if each["name"] == machine)


@pytest.mark.parametrize("name", ["azure", "google"])
def test_a_start_that_fails(cloud: LocalCloud, umsui: Umsui, name: str) -> None:
    table = azure_table(cloud, "prod") if name == "azure" else google_table(cloud, "prod")
    umsui.configure(table)
    cloud.set(name, fail_next=["AllocationFailed", "There is no capacity left."])
    done = umsui.run("nodes", "start", "prod/web-00008", "--json")
    assert done.returncode == Exit.ROLLED_BACK
    assert "no capacity left" in json.loads(done.stdout)["error"]["message"]
    cloud.trouble({"azure": "arm.vms.start", "google": "gce.instances.start"}[name], status=403)
    done = umsui.run("nodes", "start", "prod/web-00008")
    assert done.returncode != 0
    assert "/start/action" in done.stderr or "compute.instances.start" in done.stderr


def test_managed_kubernetes(cloud: LocalCloud, umsui: Umsui) -> None:
    tags = {"umsui": "node"}
    cloud.fill("azure", [], clusters=[Managed("one", "westeurope", certificate="PEM", tags=tags)])
    cloud.fill("google", [], clusters=[Managed("two", "europe-west1", certificate="PEM", tags=tags)])
    umsui.configure(
        azure_table(cloud, "aks", orchestrator="kubernetes"), google_table(cloud, "gke", orchestrator="kubernetes")
    )
    assert set(umsui.clusters()) == {"aks-one", "gke-two"}
    counts = cloud.counts()
    assert counts["arm.aks.user"] == counts["gke.clusters.get"] == 0  # no credentials before somebody asks
    for name in ("aks-one", "gke-two"):
        assert "server: https://10.0.0.1" in umsui.run("kubeconfig", name).stdout
