"""The lab's Kubernetes clusters: real ones, up and answering; and down without a trace."""

from __future__ import annotations

import ast
import datetime
import json
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.stream import stream

from tests.conftest import RunningLab, claim_instance, leftovers, namespaces_of
from tests.lab.registry import push
from tests.waiting import waiting_for
from umsui import lab as lab_module
from umsui.lab import services
from umsui.lab.kubernetes import cluster, pki
from umsui.lab.topology import Host, Lab

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(300)]

MEMHOG = "localhost/umsui/memhog:1"
# What a kubelet sets for the whole machine, were it not kept from it.
SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/netfilter/nf_conntrack_max"),
)


def silent(line: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def clusters() -> Iterator[RunningLab]:
    """A lab with nothing but the two clusters, for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMSUI_LAB_INSTANCE", str(claim_instance()))
        lab_module.down(silent)
        running = RunningLab(Lab.selected())
        began = time.monotonic()
        lab_module.up(None, "kubernetes", running.lines.append)
        print(f"two clusters up from the cache, services answering: {time.monotonic() - began:.1f} s")
        yield running
        lab_module.down(silent)


def api(host: Host) -> client.ApiClient:
    """A client of the cluster, as the kubeconfig that the lab's config names makes it."""
    made: client.ApiClient = config.new_client_from_config(str(host.kubeconfig), context=host.cluster)
    return made


def pod(name: str, image: str = MEMHOG, **spec: Any) -> dict[str, Any]:
    """A bare pod with one container called ``main``."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", **spec.pop("container", {})}
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


def run_pod(core: client.CoreV1Api, body: dict[str, Any], within: float = 60.0) -> str:
    """Create a pod in ``default`` and wait until it runs; returns its address."""
    core.create_namespaced_pod("default", body)
    name = body["metadata"]["name"]

    def runs() -> bool:
        status = core.read_namespaced_pod_status(name, "default").status
        return status.phase == "Running" and bool(status.container_statuses[0].ready)

    waiting_for(runs, within)
    address: str = core.read_namespaced_pod(name, "default").status.pod_ip
    return address


def get(address: str, path: str = "/", port: int = 8000) -> dict[str, Any]:
    """What memhog answers there."""
    with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=5) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def test_both_are_real_and_say_how_old_they_are(clusters: RunningLab) -> None:
    status = lab_module.status()
    assert status.up
    assert [(h.name, h.cluster, h.services) for h in status.hosts] == [
        ("aks-1", "aks-lab", ("memhog-deployment", "redis-statefulset")),
        ("gke-1", "gke-lab", ("memhog-pod",)),
    ]
    assert status.kubernetes is not None
    for host in clusters.lab.hosts:
        version = client.VersionApi(api(host)).get_code()
        assert version.git_version == "v1.20.2"
        assert version.git_version.removeprefix("v") in status.kubernetes
        (node,) = client.CoreV1Api(api(host)).list_node().items
        assert node.metadata.name == host.name
        assert node.status.node_info.container_runtime_version.startswith("containerd://2.")
        assert all(services.answers(sample, host) for sample in services.samples(host))


def test_the_config_names_what_is_needed_to_reach_them(clusters: RunningLab) -> None:
    written = tomllib.loads(clusters.config.read_text())["clusters"]
    assert [(each["name"], each["provider"], each["orchestrator"]) for each in written] == [
        ("aks-lab", "azure", "kubernetes"),
        ("gke-lab", "gcp", "kubernetes"),
    ]
    for each, host in zip(written, clusters.lab.hosts, strict=True):
        kubeconfig = Path(each["kubeconfig"])
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
        contexts, active = config.list_kube_config_contexts(str(kubeconfig))
        assert each["context"] == active["name"] == contexts[0]["name"]
        assert each["nodes"] == [{"name": host.name, "ssh": f"root@{host.address}:22"}]
        told = client.CoreV1Api(api(host)).read_namespaced_config_map("local-registry-hosting", "kube-public")
        assert cluster.registry(host) in told.data["localRegistryHosting.v1"]
        with urllib.request.urlopen(f"http://{cluster.registry(host)}/v2/", timeout=5) as answer:
            assert answer.status == 200


def test_pods_reach_each_other_across_clusters_and_nothing_else(clusters: RunningLab) -> None:
    here, there = clusters.lab.hosts
    core = client.CoreV1Api(api(there))
    address = core.read_namespaced_pod("memhog-pod", "default").status.pod_ip
    (redis,) = client.CoreV1Api(api(here)).list_namespaced_pod("default", label_selector="app=redis-statefulset").items
    words = ["/usr/bin/redis-cli", "-h", redis.status.pod_ip, "PING"]
    here_core = client.CoreV1Api(api(here))
    said = stream(here_core.connect_get_namespaced_pod_exec, redis.metadata.name, "default", command=words, stdout=True)
    assert said.strip() == "PONG"
    run_pod(core, pod("client", "localhost/umsui/redis:1", container={"command": ["/usr/bin/sleep", "1000"]}))
    said = stream(core.connect_get_namespaced_pod_exec, "client", "default", command=words, stdout=True)
    assert said.strip() == "PONG"
    outside = ["/usr/bin/redis-cli", "-t", "2", "-h", "192.0.2.1", "PING"]
    said = stream(core.connect_get_namespaced_pod_exec, "client", "default", command=outside, stdout=True, stderr=True)
    assert "Could not connect" in said
    assert get(address)["mib"] == 64
    core.delete_namespaced_pod("client", "default", grace_period_seconds=0)


def test_a_claim_gets_a_volume_that_goes_with_it(clusters: RunningLab) -> None:
    host = clusters.host("aks-1")
    core = client.CoreV1Api(api(host))
    claim = core.read_namespaced_persistent_volume_claim("data-redis-statefulset-0", "default")
    assert (claim.status.phase, claim.spec.storage_class_name) == ("Bound", "default")
    assert "appendonly" in clusters.sh(
        "aks-1", f"ls -R {core.read_persistent_volume(claim.spec.volume_name).spec.host_path.path}"
    )
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    core.create_namespaced_persistent_volume_claim("default", {"metadata": {"name": "mine"}, "spec": spec})

    def bound() -> bool:
        return bool(core.read_namespaced_persistent_volume_claim("mine", "default").status.phase == "Bound")

    waiting_for(bound, 30)
    volume = core.read_namespaced_persistent_volume_claim("mine", "default").spec.volume_name
    path = core.read_persistent_volume(volume).spec.host_path.path
    core.delete_namespaced_persistent_volume_claim("mine", "default")
    waiting_for(lambda: clusters.sh("aks-1", f"[ -d {path} ] || echo gone").strip() == "gone", 30)


def user(host: Host, name: str, lifetime: datetime.timedelta, folder: Path) -> client.CoreV1Api:
    """A client of the cluster as ``name``, whom it knows nothing about but the signature."""
    authority = pki.Authority.load(host.directory / "upper/etc/kubernetes/pki")
    pair = authority.client(name, lifetime=lifetime)
    path = folder / f"{name}.kubeconfig"
    path.write_text(pki.kubeconfig(host.cluster, f"https://{host.address}:6443", authority.pair.certificate, pair))
    return client.CoreV1Api(config.new_client_from_config(str(path)))


def test_rights_are_checked(clusters: RunningLab, tmp_path: Path) -> None:
    host = clusters.host("gke-1")
    hour = datetime.timedelta(hours=1)
    nobody = user(host, "nobody", hour, tmp_path)
    with pytest.raises(client.ApiException) as refused:
        nobody.list_namespaced_pod("default")
    assert refused.value.status == 403
    with pytest.raises(client.ApiException) as refused:
        nobody.connect_post_node_proxy_with_path("gke-1", "checkpoint/default/memhog-pod/memhog")
    assert refused.value.status == 403
    with pytest.raises(client.ApiException) as refused:
        user(host, "gone", -hour, tmp_path).list_namespaced_pod("default")
    assert refused.value.status == 401


def test_a_checkpoint_becomes_a_pod_elsewhere(clusters: RunningLab) -> None:
    here, there = clusters.lab.hosts
    source, target = (client.CoreV1Api(api(host)) for host in (here, there))
    before = get(run_pod(source, pod("traveller", container={"args": ["MIB=16"]})))
    said = source.connect_post_node_proxy_with_path("aks-1", "checkpoint/default/traveller/main")
    (archive,) = ast.literal_eval(said)["items"]  # the client makes a Python literal of the JSON
    layer = (here.directory / "kubernetes" / archive.lstrip("/")).read_bytes()
    image = push(cluster.registry(there), "traveller", layer, {"org.criu.checkpoint.container.name": "main"})
    address = run_pod(target, pod("traveller", image))
    after = get(address)
    assert after["nonce"] == before["nonce"]
    assert after["count"] > before["count"]
    assert get(address, "/checksum")["ok"] is True
    assert get(source.read_namespaced_pod("traveller", "default").status.pod_ip)["nonce"] == before["nonce"]
    for core in (source, target):
        core.delete_namespaced_pod("traveller", "default", grace_period_seconds=0)


def test_an_api_server_that_dies_can_be_started_again(clusters: RunningLab) -> None:
    core = client.CoreV1Api(api(clusters.host("gke-1")))
    before = core.read_namespaced_pod("memhog-pod", "default").metadata.uid
    clusters.run("gke-1", cluster.NODE, "stop", "kube-apiserver")
    with pytest.raises(Exception, match=r"Connection refused|Max retries"):
        core.list_namespaced_pod("default", _request_timeout=2)
    assert services.answers(services.samples(clusters.host("gke-1"))[0], clusters.host("gke-1"))
    clusters.run("gke-1", cluster.NODE, "start", "kube-apiserver")
    clusters.run("gke-1", cluster.NODE, "ready")
    assert core.read_namespaced_pod("memhog-pod", "default").metadata.uid == before


def test_reset_brings_back_what_there_was_at_first(clusters: RunningLab) -> None:
    host = clusters.host("aks-1")
    core = client.CoreV1Api(api(host))
    core.create_namespace({"metadata": {"name": "users"}})
    accounts = partial(core.list_namespaced_service_account, "users")
    waiting_for(lambda: any(account.secrets for account in accounts().items), 30)
    core.create_namespaced_pod("users", pod("theirs"))
    core.create_namespaced_pod("default", pod("extra"))
    client.AppsV1Api(api(host)).delete_namespaced_deployment("memhog-deployment", "default")
    lab_module.reset(silent)
    names = {item.metadata.labels["app"] for item in core.list_pod_for_all_namespaces().items}
    assert names == {"memhog-deployment", "redis-statefulset"}
    assert "users" not in {item.metadata.name for item in core.list_namespace().items}
    assert all(services.answers(sample, host) for sample in services.samples(host))


def test_down_leaves_nothing() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMSUI_LAB_INSTANCE", str(claim_instance()))
        selected = Lab.selected()
        lab_module.down(silent)
        settings = [_setting(name) for name in SETTINGS]
        lab_module.up(None, "kubernetes", silent)
        assert [_setting(name) for name in SETTINGS] == settings
        namespaces = namespaces_of(selected)
        assert len(namespaces.names) > 3 * len(selected.hosts)
        assert leftovers(selected, namespaces) != []
        lab_module.down(silent)
        assert leftovers(selected, namespaces) == []
        assert str(selected.directory) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("after", [1.0, 7.0])
def test_a_killed_starter_leaves_what_down_finds(after: float) -> None:
    code = "from umsui import lab; print('go', flush=True); lab.up(None, 'kubernetes', lambda line: None)"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMSUI_LAB_INSTANCE", str(claim_instance()))
        selected = Lab.selected()
        lab_module.down(silent)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as starter:
            assert starter.stdout is not None
            starter.stdout.readline()
            time.sleep(after)
            starter.kill()
        assert not selected.ready_mark.exists()
        namespaces = namespaces_of(selected)
        assert namespaces.names
        lab_module.down(silent)
        assert leftovers(selected, namespaces) == []


def _setting(name: str) -> Sequence[str]:
    path = Path("/proc/sys") / name
    return path.read_text().split() if path.exists() else ()
