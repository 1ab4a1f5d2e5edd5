"""Moves between two Kubernetes clusters that know nothing of each other, through their APIs alone."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators.kubernetes_manifests import MARK
from tests.conftest import RunningLab
from tests.lab.clusters import APPS, PODS, Clusters
from tests.lab.job import umsui, wait_for_outcome, wait_for_step
from tests.waiting import waiting_for
from umsui import locations
from umsui.lab.kubernetes import cluster, pki

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def both(cluster_module: RunningLab) -> Clusters:
    """The two clusters, with an image that has umsui inside."""
    found = Clusters(cluster_module)
    found.build()
    return found


@pytest.fixture
def clusters(both: Clusters) -> Iterator[Clusters]:
    yield both
    both.clear()


def move(service: str, to: str, *more: str) -> dict[str, Any]:
    done = umsui("migrate", service, "--to", to, "--approach", "service", "--json", "--yes", *more)
    assert done.code == 0, f"{done.err}{done.out}"
    document: dict[str, Any] = done.document
    assert document["outcome"] == "committed"
    return document


def marked(clusters: Clusters) -> list[str]:
    """What still belongs to a migration, at either end."""
    found = []
    for name in ("aks-lab", "gke-lab"):
        for kind in ("pods", "configmaps", "secrets", "persistentvolumeclaims"):
            path = f"/api/v1/namespaces/default/{kind}"
            found += [each["metadata"]["name"] for each in clusters.api(name).get(path, labelSelector=MARK)["items"]]
    return found


def test_a_pod_goes_there_and_back_with_its_memory(clusters: Clusters) -> None:
    before = clusters.pod("hog", mib=64)
    checksum = clusters.get("aks-lab", "hog", "/checksum")
    for here, there in (("aks-lab", "gke-lab"), ("gke-lab", "aks-lab")):
        document = move("hog", there)
        after = clusters.get(there, "hog")
        assert after["nonce"] == before["nonce"]
        assert after["count"] > before["count"]
        assert after["pid"] == before["pid"]
        assert clusters.get(there, "hog", "/checksum") == checksum
        assert clusters.read(here, "hog") is None
        assert document["bytes"]["memory"] >= 64 << 20
        found = clusters.read(there, "hog")
        assert found is not None
        assert found["metadata"]["labels"] == {"app": "hog"}
    assert marked(clusters) == []


def test_a_stateful_set_follows_its_pod_and_takes_it_over(clusters: Clusters) -> None:
    claims = [
        {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
        }
    ]
    template = {
        "metadata": {"labels": {"app": "st"}},
        "spec": clusters.spec(volumeMounts=[{"name": "data", "mountPath": "/data"}]),
    }
    clusters.owned("statefulsets", "st", serviceName="st", volumeClaimTemplates=claims, template=template)
    before = clusters.get("aks-lab", "st-0")
    claim = clusters.api("aks-lab").get("/api/v1/namespaces/default/persistentvolumeclaims/data-st-0")
    volume = clusters.api("aks-lab").get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    clusters.lab.sh("aks-1", f"echo carried > {volume['spec']['hostPath']['path']}/note")
    move("st-0", "gke-lab")
    assert clusters.get("gke-lab", "st-0")["nonce"] == before["nonce"]
    clusters.is_taken_over("gke-lab", "st-0", "st", "StatefulSet")
    own = clusters.api("gke-lab").get(f"{APPS}/statefulsets/st")
    assert own["status"]["readyReplicas"] == 1
    assert own["spec"]["updateStrategy"]["type"] == "RollingUpdate"
    there = clusters.api("gke-lab").get("/api/v1/namespaces/default/persistentvolumeclaims/data-st-0")
    volume = clusters.api("gke-lab").get(f"/api/v1/persistentvolumes/{there['spec']['volumeName']}")
    assert clusters.lab.sh("gke-1", f"cat {volume['spec']['hostPath']['path']}/note").strip() == "carried"
    for kind in (f"{APPS}/statefulsets", "/api/v1/namespaces/default/persistentvolumeclaims"):
        assert [e for e in clusters.api("aks-lab").get(kind)["items"] if "st" in e["metadata"]["name"].split("-")] == []
    assert marked(clusters) == []


def test_a_deployment_follows_its_pod_and_makes_no_second_one(clusters: Clusters) -> None:
    name = clusters.owned("deployments", "dep")["metadata"]["name"]
    before = clusters.get("aks-lab", name)
    move(name, "gke-lab")
    clusters.is_taken_over("gke-lab", name, "dep", "ReplicaSet")
    assert clusters.get("gke-lab", name)["nonce"] == before["nonce"]
    own = clusters.api("gke-lab").get(f"{APPS}/deployments/dep")
    assert own["status"]["availableReplicas"] == 1
    assert clusters.pods("aks-lab", "dep") == []
    assert [e["metadata"]["name"] for e in clusters.api("aks-lab").get(f"{APPS}/deployments")["items"]] == [
        "memhog-deployment"
    ]
    assert marked(clusters) == []


def test_one_of_several_is_refused(clusters: Clusters) -> None:
    """Its owner cannot be in two clusters, and the others would be left without it."""
    name = clusters.owned("deployments", "many")["metadata"]["name"]
    clusters.api("aks-lab").patch(f"{APPS}/deployments/many", {"spec": {"replicas": 2}})
    waiting_for(lambda: len(clusters.pods("aks-lab", "many")) == 2, 60)
    refused = umsui("migrate", name, "--to", "gke-lab", "--approach", "service", "--json", "--yes")
    assert refused.code == 3
    assert "one of 2 pods of Deployment/many" in refused.err
    assert len(clusters.pods("aks-lab", "many")) == 2
    assert clusters.pods("gke-lab", "many") == []


def test_what_it_refers_to_goes_along_its_probes_wait_and_a_restart_is_a_restart(clusters: Clusters) -> None:
    root = "/api/v1/namespaces/default"
    here, there = clusters.api("aks-lab"), clusters.api("gke-lab")
    here.create(f"{root}/configmaps", {"metadata": {"name": "settings"}, "data": {"MIB": "8"}})
    here.create(f"{root}/secrets", {"metadata": {"name": "key"}, "data": {"word": "c2VjcmV0"}})
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1, "failureThreshold": 2}
    spec = clusters.spec(
        env=[],
        envFrom=[{"configMapRef": {"name": "settings"}}],
        livenessProbe=probe,
        readinessProbe=probe,
        volumeMounts=[{"name": "key", "mountPath": "/key"}],
    )
    spec["volumes"] = [{"name": "key", "secret": {"secretName": "key"}}]
    here.create(PODS, {"metadata": {"name": "hog", "labels": {"app": "hog"}}, "spec": spec})
    before = clusters.answers("aks-lab", "hog")
    assert before["mib"] == 8
    move("hog", "gke-lab")
    assert clusters.get("gke-lab", "hog")["nonce"] == before["nonce"]
    assert there.get(f"{root}/configmaps/settings")["data"] == {"MIB": "8"}
    assert there.get(f"{root}/secrets/key")["data"] == {"word": "c2VjcmV0"}

    def status() -> dict[str, Any]:
        found: dict[str, Any] = there.get(f"{PODS}/hog")["status"]["containerStatuses"][0]
        return found

    waiting_for(lambda: bool(status()["ready"]), 30)
    time.sleep(4)  # a probe that finds it unwell would have it started anew by now
    assert status()["restartCount"] == 0
    clusters.lab.run("gke-1", "pkill", "-KILL", "-x", "memhog")
    waiting_for(lambda: status()["restartCount"] == 1, 60)
    after = clusters.answers("gke-lab", "hog")
    assert after["nonce"] != before["nonce"]  # it was ended: it starts as usual, and does not wait
    assert after["mib"] == 8
    assert marked(clusters) == []
    for api in (here, there):
        api.delete(f"{root}/secrets/key")


def test_what_is_in_the_way_undoes_it_and_the_service_goes_on(clusters: Clusters) -> None:
    before = clusters.pod("hog")
    clusters.api("gke-lab").create(PODS, {"metadata": {"name": "hog"}, "spec": clusters.spec()})
    done = umsui("migrate", "aks-lab/hog", "--to", "gke-lab", "--approach", "service", "--json", "--yes")
    assert done.code == 1
    assert done.document["outcome"] == "rolled-back"
    assert "there is a pod hog already" in done.document["error"]["message"]
    assert clusters.get("aks-lab", "hog")["nonce"] == before["nonce"]
    assert clusters.read("gke-lab", "hog") is not None  # it is somebody else's
    assert marked(clusters) == []


def test_an_image_that_cannot_be_pulled_undoes_it_with_the_kubelets_words(clusters: Clusters) -> None:
    clusters.pod("hog")
    blocked = f"unreachable {clusters.lab.host('aks-1').address}/32"
    clusters.lab.sh("gke-1", f"ctr -n k8s.io images rm {clusters.image} >/dev/null 2>&1; ip route add {blocked}")
    try:
        done = umsui("migrate", "hog", "--to", "gke-lab", "--approach", "service", "--json", "--yes")
        assert done.document["outcome"] == "rolled-back", done.out
        assert "ErrImagePull" in done.document["error"]["message"]
    finally:
        clusters.lab.sh("gke-1", f"ip route del {blocked}")
    clusters.get("aks-lab", "hog")
    assert marked(clusters) == []


def test_a_right_that_is_missing_is_named_before_anything_is_touched(
    clusters: Clusters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters.pod("hog")
    host = clusters.lab.host("gke-1")
    authority = pki.Authority.load(host.directory / "upper/etc/kubernetes/pki")
    pair = authority.client("reader", lifetime=datetime.timedelta(hours=1))
    path = tmp_path / "reader.kubeconfig"
    path.write_text(pki.kubeconfig(host.cluster, f"https://{host.address}:6443", authority.pair.certificate, pair))
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    root, api = "/apis/rbac.authorization.k8s.io/v1", clusters.api("gke-lab")
    api.create(f"{root}/clusterroles", {"metadata": {"name": "reader"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}
    api.create(f"{root}/clusterrolebindings", {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [subject]})
    written = clusters.lab.config.read_text().replace(str(host.kubeconfig), str(path))
    (tmp_path / "config.toml").write_text(written)
    umsui("coordinator", "stop", "--force")
    monkeypatch.setenv("UMSUI_CONFIG", str(tmp_path / "config.toml"))
    done = umsui("migrate", "aks-lab/hog", "--to", "gke-lab", "--approach", "service", "--json", "--yes")
    umsui("coordinator", "stop", "--force")
    assert done.code == 3, done.out
    assert "`create pods`" in done.document["error"]["message"]
    assert clusters.read("gke-lab", "hog") is None


@pytest.mark.parametrize(
    ("strategy", "step"), [("pre-copy", "copy-ahead"), ("stop-copy", "checkpoint"), ("pre-copy", "remove-source")]
)
def test_a_coordinator_that_is_killed_leaves_one_service(clusters: Clusters, strategy: str, step: str) -> None:
    name = clusters.owned("deployments", "dep")["metadata"]["name"]
    before = clusters.get("aks-lab", name)
    how = ("--approach", "service", "--strategy", strategy)
    started = umsui("migrate", name, "--to", "gke-lab", *how, "--json", "--yes", "--detach")
    identity = started.document["id"]
    wait_for_step(identity, step)
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    document = wait_for_outcome(identity, 120)  # asking starts it again
    outcome = document["outcome"]
    assert outcome == ("committed" if step == "remove-source" else "rolled-back"), document["error"]
    place, other = ("gke-lab", "aks-lab") if outcome == "committed" else ("aks-lab", "gke-lab")
    assert clusters.answers(place, name)["nonce"] == before["nonce"]
    waiting_for(lambda: len(clusters.pods(place, "dep")) == 1, 30)
    assert clusters.pods(other, "dep") == []
    assert marked(clusters) == []


def test_a_pod_that_is_evicted_meanwhile_ends_the_move(clusters: Clusters) -> None:
    """As when its node is drained: its Deployment makes a new one there, and nothing is left elsewhere."""
    name = clusters.owned("deployments", "dep")["metadata"]["name"]
    started = umsui("migrate", name, "--to", "gke-lab", "--approach", "service", "--json", "--yes", "--detach")
    identity = started.document["id"]
    wait_for_step(identity, "copy-ahead")
    api = clusters.api("aks-lab")
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    api.create(f"{PODS}/{name}/eviction", body)
    document = wait_for_outcome(identity, 120)
    assert document["outcome"] == "rolled-back", document
    assert document["error"]["code"] == "changed", document
    waiting_for(lambda: len(clusters.pods("aks-lab", "dep")) == 1, 60)
    assert clusters.pods("aks-lab", "dep")[0]["metadata"]["name"] != name
    assert clusters.read("gke-lab", name) is None
    assert marked(clusters) == []


@pytest.mark.parametrize(("strategy", "step"), [("stop-copy", "checkpoint"), ("pre-copy", "copy-ahead")])
@pytest.mark.parametrize("where", ["aks-1", "gke-1"])
def test_an_api_server_that_dies_in_the_middle_leaves_one_service(
    clusters: Clusters, where: str, strategy: str, step: str
) -> None:
    """While its memory is on its way: frozen, or not."""
    before = clusters.pod("hog", mib=256)
    how = ("--approach", "service", "--strategy", strategy)
    started = umsui("migrate", "hog", "--to", "gke-lab", *how, "--json", "--yes", "--detach")
    identity = started.document["id"]
    wait_for_step(identity, step)
    clusters.lab.run(where, cluster.NODE, "stop", "kube-apiserver")
    time.sleep(3)
    threading.Thread(target=clusters.lab.run, args=(where, cluster.NODE, "start", "kube-apiserver")).start()
    outcome = wait_for_outcome(identity, 120)["outcome"]
    assert outcome in ("committed", "rolled-back")
    place, other = ("gke-lab", "aks-lab") if outcome == "committed" else ("aks-lab", "gke-lab")
    assert clusters.answers(place, "hog")["nonce"] == before["nonce"]
    assert clusters.get(place, "hog", "/checksum")["ok"]
    waiting_for(lambda: clusters.read(other, "hog") is None, 60)
    assert marked(clusters) == []
