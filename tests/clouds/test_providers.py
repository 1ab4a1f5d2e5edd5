"""Our providers against the local clouds: what they find, how often they ask, and what trouble becomes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.providers import azure_client, gcp, gcp_client
from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT, SUBSCRIPTION, Machine, Managed
from tests.waiting import waiting_for
from umsui import adapters
from umsui.config import ClusterConfig
from umsui.coordinator.fleet import Fleet
from umsui.errors import CommandFailed, UmsuiError
from umsui.model import ClusterState, Node, Power

CLOUDS = ("azure", "gcp")
SERVED = {"azure": "azure", "gcp": "google"}
LISTS = {"azure": "arm.vms.list", "gcp": "gce.instances.aggregated"}


def config(cloud: LocalCloud, provider: str, **more: Any) -> ClusterConfig:
    own: dict[str, Any] = {
        "azure": {"subscription": SUBSCRIPTION, "authority_host": cloud.url},
        "gcp": {"project": PROJECT, "container_endpoint": cloud.url},
    }[provider]
    shared = {"endpoint": cloud.url, "ca_file": cloud.folder.authority, "orchestrator": "podman"}
    return ClusterConfig(name="prod", provider=provider, **{**shared, **own, **more})


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten machines a page; Azure's pages are as its server likes."""
    monkeypatch.setattr(gcp, "PAGE", 10)


def fleet(cloud: LocalCloud, provider: str, **more: Any) -> Fleet:
    return Fleet(config(cloud, provider, **more), lambda: None, 60.0)


def polled(cloud: LocalCloud, provider: str, **more: Any) -> Fleet:
    found = fleet(cloud, provider, **more)
    found.poll()
    return found


def by_name(nodes: tuple[Node, ...]) -> dict[str, Node]:
    assert len({node.name for node in nodes}) == len(nodes)
    return {node.name: node for node in nodes}


# -- what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", CLOUDS)
def test_machines_become_nodes(cloud: LocalCloud, provider: str) -> None:
    place = {"azure": "westeurope", "gcp": "europe-west4-b"}[provider]
    size = {"azure": "Standard_D4s_v5", "gcp": "n2-standard-4"}[provider]
    marks = {"umsui": "node"}
    machines = [
        Machine("one", place, size, zone="2", private="10.0.0.4", public="198.18.0.7", tags=marks),
        Machine("two", place, size, state="deallocated", private="10.0.0.5", tags=marks, spot=True),
        Machine("other", place, size, private="10.0.0.6", tags={"umsui": "no"}),
        Machine("bare", place, size, private="10.0.0.7"),
    ]
    cloud.fill(SERVED[provider], machines)
    key = "tags" if provider == "azure" else "labels"
    found = by_name(polled(cloud, provider, **{key: marks}, ssh_user="ops", ssh_port=2222).nodes)
    assert set(found) == {"one", "two"}
    one, two = found["one"], found["two"]
    assert one.machine is not None
    assert two.machine is not None
    assert (one.ssh, two.ssh) == ("ops@198.18.0.7:2222", "ops@10.0.0.5:2222")
    assert (one.cores, one.memory) == (4, 16 << 30)
    assert (one.machine.power, two.machine.power) == (Power.RUNNING, Power.DEALLOCATED)
    assert (one.state, two.state) == (ClusterState.LISTED, ClusterState.STOPPED)
    assert (one.machine.price, two.machine.price) == ("regular", "spot")
    assert one.machine.size == size
    assert one.machine.addresses == ("198.18.0.7", "10.0.0.4")
    assert one.machine.region == {"azure": "westeurope", "gcp": "europe-west4"}[provider]
    assert one.machine.zone == {"azure": "2", "gcp": "europe-west4-b"}[provider]
    private = by_name(polled(cloud, provider, address="private").nodes)
    assert private["one"].ssh == "10.0.0.4"


@pytest.mark.parametrize("provider", CLOUDS)
def test_the_number_of_requests_is_the_number_of_pages(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 1200)
    found = polled(cloud, provider)
    assert len(found.nodes) == 1200
    counts = cloud.counts()
    expected = {
        "azure": {"arm.vms.list": 3, "arm.vms.status": 3, "arm.nics.list": 3, "arm.ips.list": 1, "arm.sizes.list": 6},
        "gcp": {"gce.instances.aggregated": 3, "gce.types.get": 4},
    }[provider]
    assert {kind: count for kind, count in counts.items() if kind.startswith(("arm.", "gce."))} == expected
    assert counts["entra.token"] <= 1
    cloud.forget()
    found.poll()
    once = {kind: count for kind, count in expected.items() if kind not in ("arm.sizes.list", "gce.types.get")}
    assert dict(cloud.counts()) == once  # sizes and the login are known


@pytest.mark.parametrize("provider", CLOUDS)
@pytest.mark.parametrize("kind", ["odd", "zones"])
def test_strange_fleets(cloud: LocalCloud, provider: str, kind: str) -> None:
    cloud.fill(SERVED[provider], kind, 650)
    found = polled(cloud, provider)
    assert found.condition() == (None, "", "", 0.0)
    named = by_name(found.nodes)
    assert len(named) == 650
    for node in found.nodes:
        assert node.machine is not None
        assert node.name.isprintable()
        assert "/" not in node.name
        assert node.machine.power is not Power.UNKNOWN  # merged, though ids are cased differently in each list
        assert node.cores > 0
    if kind == "odd":
        assert any(not node.ssh for node in found.nodes)


@pytest.mark.parametrize("provider", CLOUDS)
def test_the_first_page_is_told_at_once(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 50, page=20)
    provided = adapters.load("providers", provider)(config(cloud, provider))
    listings = list(provided.listings())
    assert [listing.complete for listing in listings[-2:]] == [False, True]
    assert 0 < len(listings[0].nodes) <= 50
    assert len(listings[-1].nodes) == 50


@pytest.mark.parametrize("provider", CLOUDS)
def test_an_unchanged_fleet_is_no_news_and_one_change_is_one_node(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 40)
    told: list[int] = []
    found = Fleet(config(cloud, provider), lambda: told.append(1), 60.0)
    found.poll()
    before, count = found.nodes, len(told)
    found.poll()
    assert found.nodes is before
    assert len(told) == count
    target = next(node for node in before if node.state is ClusterState.STOPPED)
    change = found.provider.start(target)
    waiting_for(lambda: change.poll()[0])
    found.poll()
    assert len(told) == count + 1
    differing = [now for now, old in zip(found.nodes, before, strict=True) if now is not old]
    assert [node.name for node in differing] == [target.name]


def test_google_zones(cloud: LocalCloud) -> None:
    cloud.fill("google", "plain", 60)
    found = polled(cloud, "gcp", zones=["us-central1-b"])
    assert found.nodes
    assert {node.machine.zone for node in found.nodes if node.machine} == {"us-central1-b"}


def test_an_azure_resource_group(cloud: LocalCloud) -> None:
    cloud.fill("azure", "plain", 120)
    found = polled(cloud, "azure", resource_group="rg-07")
    assert [node.machine is not None and node.machine.power is not Power.UNKNOWN for node in found.nodes] == [True] * 3


def test_a_zone_that_does_not_answer(cloud: LocalCloud) -> None:
    cloud.fill("google", "plain", 60)
    cloud.set("google", silent_zones=["us-central1-b"])
    found = polled(cloud, "gcp")
    state, error, _, _ = found.condition()
    assert (state, error) == (ClusterState.UNREACHABLE, "no answer from us-central1-b")
    assert found.nodes  # the other zones are shown
    cloud.set("google", silent_zones=[])
    found.poll()
    assert found.condition()[0] is None
    whole = found.nodes
    cloud.set("google", silent_zones=["us-central1-b"])
    found.poll()
    assert found.nodes is whole  # nothing is taken away because nobody could be asked
    assert found.condition()[0] is ClusterState.STALE


# -- trouble ----------------------------------------------------------------------------------------------------------

TROUBLE = [
    ({"status": 401}, ClusterState.EXPIRED, "not logged in", None),
    ({"status": 403}, ClusterState.FORBIDDEN, "permission", None),
    ({"status": 404}, ClusterState.UNREACHABLE, "does not know it", None),
    ({"status": 409}, ClusterState.UNREACHABLE, "refuses", None),
    ({"status": 429, "retry_after": "40"}, ClusterState.THROTTLED, "too often", 40),
    ({"status": 429}, ClusterState.THROTTLED, "too often", 30),
    ({"status": 503}, ClusterState.UNREACHABLE, "503", None),
    ({"status": 503, "retry_after": "120"}, ClusterState.THROTTLED, "busy", 120),
    ({"how": "cut"}, ClusterState.UNREACHABLE, "broke", None),
    ({"how": "silent"}, ClusterState.UNREACHABLE, "does not answer", None),
]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("provider", CLOUDS)
@pytest.mark.parametrize(("fault", "state", "words", "rest"), TROUBLE, ids=lambda value: str(value)[:40])
def test_trouble_is_a_state_and_goes_away_by_itself(
    cloud: LocalCloud,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    fault: dict[str, Any],
    state: ClusterState,
    words: str,
    rest: float | None,
) -> None:
    for module in (azure_client, gcp_client):
        monkeypatch.setattr(module, "READ", 0.5)
    cloud.fill(SERVED[provider], "plain", 30, page=10)
    found = fleet(cloud, provider)
    cloud.trouble(LISTS[provider], after=1, count=None, **fault)  # in the middle of the list
    found.poll()
    told, error, fix, until = found.condition()
    assert (told, words in error) == (state, True), error
    assert found.nodes  # what the first page had is shown
    assert fix or state in (ClusterState.UNREACHABLE, ClusterState.STALE)
    if rest is not None:
        assert rest - 10 < until - time.time() <= rest
        assert rest - 10 < found.pause() < rest + 5
        assert found.resting
    cloud.mend()
    found.poll()
    assert found.condition() == (None, "", "", 0.0)
    assert len(found.nodes) == 30


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("provider", CLOUDS)
@pytest.mark.parametrize("fault", [{"status": 503}, {"how": "cut"}, {"status": 503, "retry_after": "1"}])
def test_one_bad_answer_is_asked_again(cloud: LocalCloud, provider: str, fault: dict[str, Any]) -> None:
    cloud.fill(SERVED[provider], "plain", 30, page=10)
    cloud.trouble(LISTS[provider], after=1, count=1, **fault)
    found = polled(cloud, provider)
    assert found.condition()[0] is None
    assert len(found.nodes) == 30
    assert cloud.counts()[LISTS[provider]] == 4  # three pages, one of them twice: the list did not begin anew


def test_google_over_quota_is_throttled(cloud: LocalCloud) -> None:
    cloud.trouble("gce.instances.*", status=403, reason="rateLimitExceeded", retry_after="20")
    found = polled(cloud, "gcp")
    assert found.condition()[0] is ClusterState.THROTTLED
    assert 10 < found.condition()[3] - time.time() <= 20


@pytest.mark.parametrize("provider", CLOUDS)
def test_the_missing_permission_is_named(cloud: LocalCloud, provider: str) -> None:
    cloud.trouble(LISTS[provider], status=403)
    _, error, fix, _ = polled(cloud, provider).condition()
    named = {"azure": "Microsoft.Compute/virtualMachines/read", "gcp": "compute.instances.list"}[provider]
    assert named in error
    assert {"azure": "az role assignment create", "gcp": "gcloud projects add-iam-policy-binding"}[provider] in fix


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("provider", CLOUDS)
def test_a_token_revoked_in_the_middle_of_a_list(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 40, page=10)
    found = polled(cloud, provider)
    before = found.nodes
    cloud.trouble(LISTS[provider], "revoke", after=2, credentials=True)
    found.poll()
    state, _, fix, _ = found.condition()
    assert state is ClusterState.EXPIRED
    assert fix
    assert found.nodes is before
    cloud.mend()  # somebody has logged in
    found.poll()
    assert found.condition()[0] is None


@pytest.mark.parametrize("provider", CLOUDS)
def test_no_credentials_at_all(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str
) -> None:
    for name in ("AZURE_CLIENT_SECRET", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no az, no gcloud
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    began = time.monotonic()
    state, error, fix, _ = polled(cloud, provider).condition()
    assert time.monotonic() - began < 30
    assert (state, error.startswith("not logged in")) == (ClusterState.EXPIRED, True)
    assert fix == {"azure": "az login", "gcp": "gcloud auth application-default login"}[provider]


@pytest.mark.parametrize("provider", CLOUDS)
def test_a_login_that_never_answers_is_given_up(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    for module in (azure_client, gcp_client):
        monkeypatch.setattr(module, "READ", 0.5)
        monkeypatch.setattr(module, "LOGIN", 2.0)
    cloud.trouble({"azure": "entra.*", "gcp": "google.token"}[provider], "silent", count=None)
    began = time.monotonic()
    found = polled(cloud, provider)
    assert time.monotonic() - began < 15
    assert found.condition()[0] in (ClusterState.UNREACHABLE, ClusterState.EXPIRED)
    cloud.mend()
    found.poll()
    assert found.condition()[0] is not ClusterState.UNREACHABLE
    assert found.complete


def test_an_az_that_hangs(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    monkeypatch.setenv("HOME", str(tmp_path))
    program = tmp_path / "az"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    began = time.monotonic()
    state, _, fix, _ = polled(cloud, "azure").condition()
    assert time.monotonic() - began < 20
    assert (state, fix) == (ClusterState.EXPIRED, "az login")


def test_a_way_of_logging_in_that_there_is_not(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "MyCredential")
    state, error, _, _ = polled(cloud, "azure").condition()
    assert (state, "AZURE_TOKEN_CREDENTIALS" in error) == (ClusterState.UNREACHABLE, True)


def test_unknown_accounts(cloud: LocalCloud) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    state, error, fix, _ = polled(cloud, "azure", subscription=nobody).condition()
    assert (state, nobody in error, "az account list" in fix) == (ClusterState.UNREACHABLE, True, True)
    state, error, fix, _ = polled(cloud, "gcp", project="no-such-project").condition()
    assert (state, "no-such-project" in error, "gcloud projects list" in fix) == (ClusterState.UNREACHABLE, True, True)


@pytest.mark.parametrize("provider", CLOUDS)
def test_nobody_listens(cloud: LocalCloud, provider: str) -> None:
    state, error, _, _ = polled(cloud, provider, endpoint="https://localhost:1").condition()
    assert (state, "broke" in error) == (ClusterState.UNREACHABLE, True)


@pytest.mark.parametrize("provider", CLOUDS)
def test_an_empty_cluster_says_what_was_looked_for(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 3)
    marks = {"tags" if provider == "azure" else "labels": {"umsui": "yes"}}
    state, error, _, _ = polled(cloud, provider, **marks).condition()
    where = {"azure": SUBSCRIPTION, "gcp": PROJECT}[provider]
    assert (state, error) == (ClusterState.EMPTY, f"no machine in {where} has umsui=yes")


@pytest.mark.parametrize(("provider", "module"), [("azure", "azure.mgmt.compute"), ("gcp", "google.auth")])
def test_a_missing_extra_names_its_command(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, provider: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    state, error, fix, _ = polled(cloud, provider).condition()
    assert state is ClusterState.UNREACHABLE
    assert "not installed" in error
    assert fix == f"pip install 'umsui[{provider}]'"


# -- machines switched, Kubernetes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", CLOUDS)
def test_start_and_stop(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 10)
    found = polled(cloud, provider)
    names = by_name(found.nodes)
    off = next(node for node in names.values() if node.machine and node.machine.power is Power.DEALLOCATED)
    on = next(node for node in names.values() if node.machine and node.machine.power is Power.RUNNING)
    for change in (found.provider.start(off), found.provider.stop(on)):
        waiting_for(lambda change=change: change.poll()[0], 20)
    found.poll()
    after = {node.name: node.machine.power for node in found.nodes if node.machine}
    assert (after[off.name], after[on.name]) == (Power.RUNNING, Power.DEALLOCATED)


@pytest.mark.parametrize("provider", CLOUDS)
def test_a_start_that_fails_says_why(cloud: LocalCloud, provider: str) -> None:
    cloud.fill(SERVED[provider], "plain", 10)
    found = polled(cloud, provider)
    off = next(node for node in found.nodes if node.machine and node.machine.power is Power.DEALLOCATED)
    code = {"azure": "AllocationFailed", "gcp": "ZONE_RESOURCE_POOL_EXHAUSTED"}[provider]
    cloud.set(SERVED[provider], fail_next=[code, "no room there"])
    change = found.provider.start(off)

    def over() -> bool:
        return change.poll()[0]

    with pytest.raises(UmsuiError, match="no room there"):
        waiting_for(over, 20)


@pytest.mark.parametrize("provider", CLOUDS)
def test_managed_kubernetes(cloud: LocalCloud, provider: str) -> None:
    place = {"azure": "westeurope", "gcp": "europe-west4"}[provider]
    cloud.fill(SERVED[provider], [], clusters=[Managed("prod", place, tags={"umsui": "yes"}), Managed("test", place)])
    marks = {"tags" if provider == "azure" else "labels": {"umsui": "yes"}}
    found = polled(cloud, provider, orchestrator="kubernetes", **marks)
    (cluster,) = found.kubernetes(0.0)
    assert (cluster.name, cluster.orchestrator, cluster.state) == ("prod-prod", "kubernetes", ClusterState.LISTED)
    assert "1.33.1" in cluster.error
    assert "cannot look into it yet" in cluster.error
    assert not any("user" in kind.lower() or kind.endswith(".get") for kind in cloud.counts())  # no credentials yet
    document = yaml.safe_load(found.provider.kubeconfig(found.managed[0].id))
    assert document["kind"] == "Config"
    assert document["clusters"][0]["cluster"]["server"].startswith("https://")


def test_a_change_that_is_refused(cloud: LocalCloud) -> None:
    cloud.fill("google", "plain", 10)
    found = polled(cloud, "gcp")
    cloud.trouble("gce.instances.start", status=409)
    with pytest.raises(CommandFailed):
        found.provider.start(found.nodes[0])
