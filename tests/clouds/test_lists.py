"""The real SDK clients list what the local clouds hold, page by page."""

from __future__ import annotations

from google.cloud import compute_v1

from tests.clouds import bare
from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT


def test_azure(cloud: LocalCloud) -> None:
    cloud.fill("azure", "plain", 1234, page=500)
    client = bare.compute(cloud)
    machines = list(client.virtual_machines.list_all())
    states = list(client.virtual_machines.list_all(status_only="true"))
    assert [machine.name for machine in machines[:2]] == ["web-00000", "worker-00001"]
    assert len(machines) == len(states) == 1234
    codes = [status.code for status in states[8].properties.instance_view.statuses]
    assert codes == ["ProvisioningState/succeeded", "PowerState/deallocated"]
    counts = cloud.counts()
    assert counts["arm.vms.list"] == counts["arm.vms.status"] == 3
    assert counts["entra.token"] == 1


def test_azure_addresses(cloud: LocalCloud) -> None:
    cloud.fill("azure", "plain", 10)
    client = bare.network(cloud)
    private = [nic.ip_configurations[0].private_ip_address for nic in client.network_interfaces.list_all()]
    public = [address.ip_address for address in client.public_ip_addresses.list_all()]
    assert private == [f"10.128.0.{10 + number}" for number in range(10)]
    assert public == ["198.18.0.1", "198.18.0.6"]


def test_google(cloud: LocalCloud) -> None:
    cloud.fill("google", "plain", 1234)
    client = bare.instances(cloud)
    request = compute_v1.AggregatedListInstancesRequest(project=PROJECT, max_results=500)
    found = [machine for _, scope in client.aggregated_list(request) for machine in scope.instances]
    assert len(found) == len({machine.name for machine in found}) == 1234
    assert cloud.counts() == {"gce.instances.aggregated": 3}  # the key signs its own tokens


def test_google_by_label(cloud: LocalCloud) -> None:
    cloud.fill("google", "plain", 100)
    wanted = "labels.umsui=node AND labels.role=cache"
    request = compute_v1.AggregatedListInstancesRequest(project=PROJECT, filter=wanted)
    found = [machine for _, scope in bare.instances(cloud).aggregated_list(request) for machine in scope.instances]
    assert len(found) == 25
    assert {machine.labels["role"] for machine in found} == {"cache"}


def test_three_hundred_zones(cloud: LocalCloud) -> None:
    cloud.fill("google", "zones", 600)
    request = compute_v1.AggregatedListInstancesRequest(project=PROJECT)
    scopes = dict(bare.instances(cloud).aggregated_list(request))
    assert sum(1 for scope in scopes if scope.startswith("zones/region-")) == 300
    assert cloud.counts()["gce.instances.aggregated"] == 2
