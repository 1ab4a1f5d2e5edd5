"""Azure's lists merged, Google's read: what the local clouds' tests do not vary."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backends.providers import azure_machines as azure
from backends.providers import gcp_machines as gcp
from umsui.config import ClusterConfig
from umsui.model import Power

AZURE = ClusterConfig(name="a", provider="azure", orchestrator="podman", subscription="s")
GCP = ClusterConfig(name="g", provider="gcp", orchestrator="podman", project="p")

ROOT = "/subscriptions/s/resourceGroups/Rg/providers"


def vm(number: int, casing: str) -> dict[str, Any]:
    nic = f"{ROOT}/Microsoft.Network/networkInterfaces/nic{number}"
    return {
        "id": cased(f"{ROOT}/Microsoft.Compute/virtualMachines/vm{number}", casing),
        "name": f"vm{number}",
        "location": "westeurope",
        "properties": {"networkProfile": {"networkInterfaces": [{"id": cased(nic, casing)}]}},
    }


def cased(text: str, casing: str) -> str:
    return {"lower": text.lower(), "upper": text.upper(), "as is": text}[casing]


casings = st.lists(st.sampled_from(["lower", "upper", "as is"]), min_size=4, max_size=4)


@given(st.integers(0, 6), casings, st.randoms())
def test_law_the_merge_knows_neither_order_nor_case(count: int, casing: list[str], chance: Any) -> None:
    machines = [azure.found(vm(n, casing[0]), AZURE) for n in range(count)]
    powers = [(f"{ROOT}/Microsoft.Compute/virtualMachines/vm{n}", Power.RUNNING) for n in range(count)]
    nics = [(f"{ROOT}/Microsoft.Network/networkInterfaces/nic{n}", f"{ROOT}/x/publicIPAddresses/ip{n}", n)
            for n in range(count)]  # fmt: skip
    chance.shuffle(powers)
    chance.shuffle(nics)
    interfaces = {
        key: azure.interface(each)
        for key, each in azure.by_id(
            {
                "id": cased(nic, casing[1]),
                "properties": {
                    "ipConfigurations": [
                        {
                            "properties": {
                                "privateIPAddress": f"10.0.0.{n}",
                                "publicIPAddress": {"id": cased(ip, casing[2])},
                            }
                        }
                    ]
                },
            }
            for nic, ip, n in nics
        )
    }
    public = {
        key: azure.public_address(each)
        for key, each in azure.by_id(
            {"id": cased(ip, casing[3]), "properties": {"ipAddress": f"198.18.0.{n}"}} for _, ip, n in nics
        )
    }
    lists = azure.Lists({key.lower(): power for key, power in powers}, interfaces, public, {})
    for n, node in enumerate(azure.merged(machines, lists, AZURE)):
        assert node.machine is not None
        assert node.machine.power is Power.RUNNING
        assert node.machine.addresses == (f"198.18.0.{n}", f"10.0.0.{n}")


def test_what_azure_leaves_out_is_not_known() -> None:
    found = azure.found({"id": "/x/VM", "name": "VM"}, AZURE)
    (node,) = azure.merged([found], azure.Lists({}, {}, {}, {}), AZURE)
    assert node.machine is not None
    assert (node.machine.power, node.machine.addresses, node.cores, node.ssh) == (Power.UNKNOWN, (), 0, "")


def test_the_primary_interface_comes_first() -> None:
    document = vm(1, "as is")
    document["properties"]["networkProfile"]["networkInterfaces"] = [
        {"id": "/B"},
        {"id": "/A", "properties": {"primary": True}},
    ]
    assert azure.found(document, AZURE).interfaces == ("/a", "/b")


def test_azure_power_states() -> None:
    def state(*codes: str) -> Power:
        statuses = [{"code": code} for code in codes]
        return azure.power({"properties": {"instanceView": {"statuses": statuses}}})

    assert state("ProvisioningState/succeeded", "PowerState/running") is Power.RUNNING
    assert state("PowerState/deallocating") is Power.STOPPING
    assert state("PowerState/hibernated") is Power.UNKNOWN
    assert state() is azure.power({}) is Power.UNKNOWN


def test_google_instances() -> None:
    node = gcp.node(
        {
            "name": "web",
            "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/us-east1-b",
            "machineType": "https://www.googleapis.com/compute/v1/projects/p/zones/us-east1-b/machineTypes/e2-medium",
            "status": "REPAIRING",
            "scheduling": {"preemptible": True},
        },
        GCP,
    )
    machine = node.machine
    assert machine is not None
    assert (machine.region, machine.zone, machine.size) == ("us-east1", "us-east1-b", "e2-medium")
    assert (machine.power, machine.price, machine.addresses, node.ssh) == (Power.UNKNOWN, "spot", (), "")


def test_custom_types_say_what_they_are() -> None:
    assert gcp.custom("custom-4-8192") == (4, 8 << 30)
    assert gcp.custom("n2-custom-6-20480") == (6, 20 << 30)
    assert gcp.custom("e2-custom-medium-2048") is None
    assert gcp.custom("n1-custom-2-15360-ext") == (2, 15 << 30)
    assert gcp.custom("n2-standard-4") is None


def test_clusters_of_a_zone_are_asked_for_by_location() -> None:
    link = "https://container.googleapis.com/v1/projects/p/zones/us-east1-b/clusters/c"
    assert gcp.managed({"name": "c", "selfLink": link}).id == "projects/p/locations/us-east1-b/clusters/c"
