"""What the clouds' wires carry: what is asked for, in which order, and what becomes of rarer kinds of trouble."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT, SUBSCRIPTION, Machine, Managed
from tests.clouds.truth import discovery, request_faults
from tests.clouds.umsui import azure_table, google_table
from umsui import adapters
from umsui.adapters import Provider
from umsui.config import ClusterConfig
from umsui.errors import Forbidden, NotLoggedIn, Throttled, TimedOut, UmsuiError, Unreachable
from umsui.model import Node, Power

LISTS = {"azure": "arm.vms.list", "google": "gce.instances.aggregated"}
BOTH = pytest.mark.parametrize("name", list(LISTS))


def provider(cloud: LocalCloud, name: str, **more: Any) -> Provider:
    """Ours, as configured endpoints."""
    table = azure_table(cloud, **more) if name == "azure" else google_table(cloud, **more)
    config = ClusterConfig(**table)
    found: Provider = adapters.load("providers", config.provider)(config)
    return found


def listed(found: Provider) -> list[Node]:
    """The whole list."""
    *_, last = found.listings()
    assert last.complete
    return list(last.nodes)


def names(nodes: list[Node]) -> list[str]:
    return sorted(node.name for node in nodes)


# -- what is found ----------------------------------------------------------------------------------------------------


@BOTH
def test_by_tag(cloud: LocalCloud, name: str) -> None:
    cloud.fill(name, "plain", 100)
    key = "tags" if name == "azure" else "labels"
    assert len(listed(provider(cloud, name, **{key: {"role": "cache", "team": "*"}}))) == 25


@BOTH
def test_odd_machines(cloud: LocalCloud, name: str) -> None:
    """Odd casing of ids loses neither state nor address; no address, no tags, control characters are no trouble."""
    cloud.fill(name, "odd", 70)
    nodes = listed(provider(cloud, name, **{"tags" if name == "azure" else "labels": {}}))
    assert len(nodes) == len(set(names(nodes))) == 70
    assert all(node.name.isprintable() and " " not in node.name for node in nodes)
    machines = [node.machine for node in nodes if node.machine]
    assert all(machine.power is not Power.UNKNOWN for machine in machines)
    assert sum(not machine.addresses for machine in machines) == 10
    assert sum(not node.ssh for node in nodes) == 10


def test_three_hundred_zones(cloud: LocalCloud) -> None:
    cloud.fill("google", "zones", 1200)
    nodes = listed(provider(cloud, "google"))
    assert len({node.machine.zone for node in nodes if node.machine}) == 300
    assert cloud.counts()["gce.instances.aggregated"] == 3


# -- what is asked for ------------------------------------------------------------------------------------------------


def test_google_knows_all_that_is_asked_for(cloud: LocalCloud) -> None:
    """Methods, parameters and fields are in Google's discovery documents."""
    cloud.fill("google", "plain", 1200, clusters=[Managed("gke-1", "europe-west1", tags={"umsui": "node"})])
    found = provider(cloud, "google")
    listed(found)
    (managed,) = found.managed()
    found.kubeconfig(managed.id)
    for kind, name in (("gce.", "compute.v1"), ("gke.", "container.v1")):
        seen = [each for each in cloud.requests() if each["kind"].startswith(kind)]
        assert seen
        assert [fault for each in seen for fault in request_faults(discovery(name), each)] == []


@BOTH
def test_the_first_page_comes_before_the_second_is_asked_for(cloud: LocalCloud, name: str) -> None:
    cloud.fill(name, "plain", 1200, page=500)
    listings = iter(provider(cloud, name).listings())
    first = next(listings)
    assert (len(first.nodes), first.complete) == (500, False)
    assert cloud.counts()[LISTS[name]] == 1


# -- trouble ----------------------------------------------------------------------------------------------------------


def failure(cloud: LocalCloud, name: str, **more: Any) -> UmsuiError:
    """How the list ends."""
    with pytest.raises(UmsuiError) as failed:
        listed(provider(cloud, name, **more))
    assert failed.value.message
    return failed.value


def test_403_for_addresses(cloud: LocalCloud) -> None:
    cloud.fill("azure", "plain", 3)
    cloud.trouble("arm.nics.list", status=403)
    error = failure(cloud, "azure")
    assert isinstance(error, Forbidden)
    assert "Microsoft.Network/networkInterfaces/read" in error.message


@BOTH
@pytest.mark.parametrize("after", ["40", "Tue, 01 Jan 2030 00:00:00 GMT"])
def test_429_with_retry_after(cloud: LocalCloud, name: str, after: str) -> None:
    cloud.trouble(LISTS[name], status=429, retry_after=after)
    error = failure(cloud, name)
    assert isinstance(error, Throttled)
    assert 30 < error.until - time.time() <= 3600
    assert cloud.counts()[LISTS[name]] == 1  # it wants rest


@BOTH
def test_a_socket_that_nobody_answers(cloud: LocalCloud, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("READ", "CONNECT"):
        monkeypatch.setattr(f"backends.providers.{'azure' if name == 'azure' else 'gcp'}_client.{limit}", 0.5)
    error = failure(cloud, name, endpoint=f"https://localhost:{cloud.deaf_port}")
    assert isinstance(error, Unreachable)
    assert "localhost" in error.message or "does not answer" in error.message


def test_azure_login_that_never_answers(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.providers.azure_client.LOGIN", 1.0)
    cloud.trouble("entra.*", "silent", count=None)
    assert isinstance(failure(cloud, "azure"), TimedOut)


def test_a_certificate_of_somebody_else(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    error = failure(cloud, "google", ca_file=None)
    assert isinstance(error, Unreachable)
    assert "certificate" in error.message.lower()


# -- tokens -----------------------------------------------------------------------------------------------------------


@BOTH
def test_token_revoked_in_mid_list(cloud: LocalCloud, name: str) -> None:
    """The login is still good: a new token is fetched, and the list goes on where it was."""
    cloud.fill(name, "plain", 1200, page=500)
    ours = provider(cloud, name)
    cloud.trouble(LISTS[name], "revoke", after=1)
    assert len(listed(ours)) == 1200


def test_azure_no_login(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    error = failure(cloud, "azure")
    assert isinstance(error, NotLoggedIn)
    assert "AADSTS7000215" in error.message
    assert "az ad app credential reset" in error.fix


def test_google_no_login(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    error = failure(cloud, "google")
    assert isinstance(error, NotLoggedIn)
    assert "/nowhere.json" in error.fix


# -- starting and stopping --------------------------------------------------------------------------------------------


@pytest.fixture
def pair(cloud: LocalCloud) -> LocalCloud:
    """A machine in each, off; one whose ids are cased oddly in Azure."""
    tags = {"umsui": "node"}
    where = {"tags": tags, "state": "deallocated", "private": "10.0.0.5"}
    cloud.fill("azure", [Machine("one", "westeurope", "Standard_D2s_v5", group="Lab", odd_case=True, **where)])
    cloud.fill("google", [Machine("one", "us-central1-b", "e2-medium", **where)])
    return cloud


@BOTH
def test_a_start_that_is_not_allowed(pair: LocalCloud, name: str) -> None:
    pair.trouble({"azure": "arm.vms.start", "google": "gce.instances.start"}[name], status=403)
    found = provider(pair, name)
    (node,) = listed(found)
    with pytest.raises(Forbidden) as failed:
        found.start(node)
    needed = {"azure": "Microsoft.Compute/virtualMachines/start/action", "google": "compute.instances.start"}[name]
    assert needed in failed.value.message


def test_accounts_are_apart(cloud: LocalCloud) -> None:
    other = SUBSCRIPTION.replace("0b1f", "0b2f")
    cloud.fill("azure", "plain", 3)
    cloud.fill("azure", "plain", 5, account=other)
    cloud.fill("google", "plain", 4, account=f"{PROJECT}-two")
    assert len(listed(provider(cloud, "azure"))) == 3
    assert len(listed(provider(cloud, "azure", subscription=other.upper()))) == 5
    assert len(listed(provider(cloud, "google", project=f"{PROJECT}-two"))) == 4
