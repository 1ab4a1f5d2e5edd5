"""The local clouds say nothing that the real ones would not: every answer is checked against their descriptions."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest
from azure.mgmt.compute import models as compute_models
from azure.mgmt.containerservice import models as container_models
from azure.mgmt.network import models as network_models

from tests.clouds import bare
from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT, SUBSCRIPTION, Managed
from tests.clouds.secrets import REFRESH, USER_CLIENT, USER_SECRET
from tests.clouds.truth import azure_faults, discovery, google_faults, google_method, request_faults

ZONE = "/compute/v1/projects/lab-project-314159/zones/europe-west1-b"
GOOGLE = [
    ("compute.v1", "GET", f"/compute/v1/projects/{PROJECT}"),
    ("compute.v1", "GET", f"/compute/v1/projects/{PROJECT}/zones"),
    ("compute.v1", "GET", f"/compute/v1/projects/{PROJECT}/aggregated/instances"),
    ("compute.v1", "GET", f"/compute/v1/projects/{PROJECT}/aggregated/machineTypes"),
    ("compute.v1", "GET", f"{ZONE}/instances"),
    ("compute.v1", "GET", f"{ZONE}/instances/web-00000"),
    ("compute.v1", "GET", f"{ZONE}/machineTypes"),
    ("compute.v1", "GET", f"{ZONE}/machineTypes/e2-medium"),
    ("compute.v1", "POST", f"{ZONE}/instances/web-00000/stop"),
    ("container.v1", "GET", f"/v1/projects/{PROJECT}/locations/-/clusters"),
    ("container.v1", "GET", f"/v1/projects/{PROJECT}/locations/europe-west1-b/clusters/gke-1"),
]
ARM = f"/subscriptions/{SUBSCRIPTION}"
COMPUTE, NETWORK = f"{ARM}/providers/Microsoft.Compute", f"{ARM}/providers/Microsoft.Network"
AKS = "providers/Microsoft.ContainerService/managedClusters"
AZURE = [
    ("GET", f"{COMPUTE}/virtualMachines", compute_models.VirtualMachine),
    ("GET", f"{COMPUTE}/virtualMachines?statusOnly=true", compute_models.VirtualMachine),
    ("GET", f"{COMPUTE}/skus", compute_models.ResourceSku),
    ("GET", f"{COMPUTE}/locations/westeurope/vmSizes", compute_models.VirtualMachineSize),
    ("GET", f"{NETWORK}/networkInterfaces", network_models.NetworkInterface),
    ("GET", f"{NETWORK}/publicIPAddresses", network_models.PublicIPAddress),
    ("GET", f"{ARM}/{AKS}", container_models.ManagedCluster),
    ("POST", f"{ARM}/resourceGroups/fleet/{AKS}/aks-1/listClusterUserCredential", container_models.CredentialResults),
]
FLEETS = ["plain", "odd"]


@pytest.fixture
def http(cloud: LocalCloud) -> Any:
    """A client without any SDK in between."""
    cloud.fill("azure", "plain", 0)
    with httpx.Client(base_url=cloud.url, verify=ssl.create_default_context(cafile=cloud.folder.authority)) as client:
        yield client


def google_token(http: httpx.Client) -> dict[str, str]:
    """As ``gcloud`` gets it."""
    fields = {"grant_type": "refresh_token", "refresh_token": REFRESH}
    answer = http.post("/token", data={**fields, "client_id": USER_CLIENT, "client_secret": USER_SECRET})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("fleet", FLEETS)
def test_google_is_as_its_discovery_documents_say(cloud: LocalCloud, http: httpx.Client, fleet: str) -> None:
    managed = Managed("gke-1", "europe-west1-b", size="e2-medium", certificate="PEM", tags={"a": "b"})
    cloud.fill("google", fleet, 200, clusters=[managed])
    header = google_token(http)
    for name, method, path in GOOGLE:
        if fleet == "odd" and "web-00000" in path:
            continue  # its names need quoting; they are in the lists
        answer = http.request(method, path, headers=header)
        assert answer.status_code == 200, (path, answer.text)
        document = discovery(name)
        called = google_method(document, method, path)
        assert called is not None, path
        assert list(google_faults(document, called["response"], answer.json())) == [], path
    document = discovery("compute.v1")
    seen = [each for each in cloud.requests() if each["kind"].startswith("gce.")]
    assert [fault for each in seen for fault in request_faults(document, each)] == []


def test_a_wrong_answer_of_googles_is_found() -> None:
    document = discovery("compute.v1")
    wrong = {"id": 17, "status": "GONE", "nmae": "x", "networkInterfaces": [{"networkIP": 1}], "labels": {"a": 1}}
    found = list(google_faults(document, {"$ref": "Instance"}, wrong))
    assert [each.split(":")[0] for each in found] == [
        ".id",
        ".status",
        ".nmae",
        ".networkInterfaces[0].networkIP",
        ".labels.a",
    ]


def test_a_wrong_request_to_google_is_found() -> None:
    query = [["colour", "red"], ["fields", "items/*/instances(name,nmae,disks/licenses)"]]
    seen = {"method": "GET", "path": f"/compute/v1/projects/{PROJECT}/aggregated/instances", "query": query}
    found = list(request_faults(discovery("compute.v1"), seen))
    assert [each.rpartition(":")[0] for each in found] == [f"{seen['path']}?colour", "/items/*/instances/nmae"]


def azure_token(cloud: LocalCloud) -> dict[str, str]:
    return {"Authorization": f"Bearer {bare.azure_credential(cloud).get_token(*bare.SCOPES).token}"}


@pytest.mark.parametrize("fleet", FLEETS)
def test_azure_is_as_its_models_say(cloud: LocalCloud, http: httpx.Client, fleet: str) -> None:
    cloud.fill("azure", fleet, 50, clusters=[Managed("aks-1", "westeurope", certificate="PEM", tags={"a": "b"})])
    header = azure_token(cloud)
    for method, path, model in AZURE:
        answer = http.request(method, path + ("&" if "?" in path else "?") + "api-version=2025-01-01", headers=header)
        assert answer.status_code == 200, (path, answer.text)
        document = answer.json()
        for each in document.get("value", [document]):
            read = model._deserialize(each, [])
            assert list(azure_faults(read, each)) == [], path
            assert read.as_dict() == each


def test_a_wrong_answer_of_azures_is_found() -> None:
    wrong = {
        "nmae": "x",
        "properties": {"hardwareProfile": {"vmsize": "x"}, "networkProfile": {"networkInterfaces": [{"x": 1}]}},
    }
    found = list(azure_faults(compute_models.VirtualMachine._deserialize(wrong, []), wrong))
    assert [each.split(":")[0] for each in found] == [
        ".nmae",
        ".properties.hardwareProfile.vmsize",
        ".properties.networkProfile.networkInterfaces[0].x",
    ]
