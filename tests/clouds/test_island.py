"""The SDKs as they are, without a word about endpoints or CAs: the clouds' own names, in namespaces of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clouds.conftest import SERVED
from tests.clouds.island import Island, inhabited
from tests.clouds.local import LocalCloud
from tests.clouds.machines import TENANT
from tests.clouds.secrets import CLIENT, CLIENT_SECRET
from tests.clouds.umsui import Umsui, azure_table, google_table

pytestmark = pytest.mark.lab  # needs root
World = tuple[Island, LocalCloud]
SECRET = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": CLIENT_SECRET}

BARE = """
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from google.cloud import compute_v1
from tests.clouds.machines import PROJECT, SUBSCRIPTION
azure = ComputeManagementClient(DefaultAzureCredential(), SUBSCRIPTION).virtual_machines.list_all()
google = compute_v1.InstancesClient().aggregated_list(project=PROJECT)
print(len(list(azure)), sum(len(scope.instances) for _, scope in google))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with inhabited(tmp_path_factory.mktemp("island")) as found:
        yield found
        SERVED.update(found[1].served())


@pytest.fixture
def umsui(world: World, tmp_path: Path) -> Iterator[Umsui]:
    place, cloud = world
    cloud.reset()
    cloud.fill("azure", "plain", 1200, page=500)
    cloud.fill("google", "plain", 1200)
    found = Umsui(tmp_path, prefix=place.prefix)
    yield found
    found.end()


def log_in_to_google(umsui: Umsui, cloud: LocalCloud) -> None:
    """As ``gcloud auth application-default login`` leaves it."""
    place = umsui.folder / ".config" / "gcloud"
    place.mkdir(parents=True)
    shutil.copy(cloud.folder.user, place)


def test_nothing_leads_out(world: World) -> None:
    place, _ = world
    assert place.run(["ip", "route", "show", "table", "main"]) == ""
    with pytest.raises(subprocess.CalledProcessError):
        place.run(["getent", "hosts", "example.org"])


def test_the_bare_sdks(world: World, umsui: Umsui) -> None:
    place, cloud = world
    log_in_to_google(umsui, cloud)
    umsui.environment = SECRET
    command = [*place.prefix, sys.executable, "-c", BARE]
    done = subprocess.run(command, capture_output=True, text=True, env=umsui.variables(), check=False)
    assert done.stdout == "1200 1200\n", done.stderr
    counts = cloud.counts()
    assert counts["entra.openid"] == counts["entra.token"] == 1
    assert counts["google.token"] == 1
    assert (counts["arm.vms.list"], counts["gce.instances.aggregated"]) == (3, 3)


def test_umsui_with_its_default_endpoints(world: World, umsui: Umsui) -> None:
    _, cloud = world
    log_in_to_google(umsui, cloud)
    umsui.environment = SECRET
    umsui.configure(azure_table(None), google_table(None))
    found = umsui.clusters()
    assert {name: each["state"] for name, each in found.items()} == {"azure-prod": "live", "gcp-prod": "live"}
    assert {name: len(each["nodes"]) for name, each in found.items()} == {"azure-prod": 1200, "gcp-prod": 1200}
    counts = cloud.counts()
    assert {kind: count for kind, count in counts.items() if kind.startswith(("arm.", "gce.inst"))} == {
        "arm.vms.list": 3,
        "arm.vms.status": 3,
        "arm.nics.list": 3,
        "arm.ips.list": 1,
        "arm.sizes.list": 6,
        "gce.instances.aggregated": 3,
    }
    hosts = {each["host"] for each in cloud.requests()}
    assert hosts - {"metadata.google.internal"} == {  # which gcloud asks, where there is one, for a project's name
        "login.microsoftonline.com",
        "management.azure.com",
        "oauth2.googleapis.com",
        "compute.googleapis.com",
    }


def test_on_a_machine_of_each_cloud(world: World, umsui: Umsui) -> None:
    """No credentials anywhere: the metadata servers give them."""
    _, cloud = world
    umsui.configure(azure_table(None), google_table(None))
    found = umsui.clusters()
    assert {name: (each["state"], len(each["nodes"])) for name, each in found.items()} == {
        "azure-prod": ("live", 1200),
        "gcp-prod": ("live", 1200),
    }, found
    counts = cloud.counts()
    assert counts["imds.token"] >= 1
    assert counts["metadata.token"] == 1


def test_in_a_pod_of_each_cloud(world: World, umsui: Umsui) -> None:
    """Workload identity: the pod's token for one of Azure's, and for one of Google's."""
    _, cloud = world
    umsui.environment = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(cloud.folder.federated),
        "GOOGLE_APPLICATION_CREDENTIALS": str(cloud.folder.external_account),
    }
    umsui.configure(azure_table(None), google_table(None))
    found = umsui.clusters()
    assert {name: each["state"] for name, each in found.items()} == {"azure-prod": "live", "gcp-prod": "live"}
    counts = cloud.counts()
    assert counts["entra.token"] == counts["google.exchange"] == 1
    assert counts["imds.token"] == counts["metadata.token"] == 0
