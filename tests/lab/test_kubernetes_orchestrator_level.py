"""Pods that know nothing of umsui, between two clusters whose nodes can be logged in to: the kubelet's checkpoint."""

from __future__ import annotations

import datetime
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators.kubernetes_manifests import IMAGE
from tests.conftest import RunningLab
from tests.lab.clusters import APPS, PODS
from tests.lab.job import umsui
from tests.lab.plain import BUNDLES, MEMHOG, NODES, Plain, cleared, move
from tests.waiting import waiting_for
from umsui.lab.kubernetes import cluster, pki

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(300)]

CLAIM = [
    {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
]


@pytest.fixture(scope="module")
def both(cluster_module: RunningLab) -> Plain:
    return Plain(cluster_module, MEMHOG)


@pytest.fixture
def clusters(both: Plain) -> Iterator[Plain]:
    yield from cleared(both)


class Client:
    """Asks a pod for its count all the time, wherever it answers."""

    def __init__(self, clusters: Plain, name: str) -> None:
        self.counts: list[tuple[str, int]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(clusters, where, name)) for where in NODES]

    def _ask(self, clusters: Plain, where: str, name: str) -> None:
        while not self._stop.wait(0.01):
            try:
                self.counts.append((where, int(clusters.get(where, name)["count"])))
            except OSError:
                continue

    def __enter__(self) -> Client:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(("there", "back"), [("stop-copy", "pre-copy"), ("hybrid", "post-copy")])
def test_a_pod_goes_there_and_back_with_its_memory_and_files(clusters: Plain, there: str, back: str) -> None:
    spec = clusters.spec(64, volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}])
    spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    clusters.api("aks-lab").create(PODS, {"metadata": {"name": "hog", "labels": {"app": "hog"}}, "spec": spec})
    before = clusters.answers("aks-lab", "hog")
    checksum = clusters.get("aks-lab", "hog", "/checksum")
    root = f"{BUNDLES}/{clusters.container('aks-lab', 'hog')}/rootfs"
    uid = clusters.api("aks-lab").get(f"{PODS}/hog")["metadata"]["uid"]
    scratch = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/scratch"
    clusters.sh("aks-lab", f"echo of the root >{root}/note; echo scratched >{scratch}/note")
    for strategy, source, destination in ((there, "aks-lab", "gke-lab"), (back, "gke-lab", "aks-lab")):
        with Client(clusters, "hog") as client:
            document = move("hog", destination, "--strategy", strategy)
            time.sleep(0.3)
        assert document["downtime_source"] == "client"
        assert document["downtime"] < 2.5
        counts = [count for where, count in client.counts if where == source]
        later = [count for where, count in client.counts if where == destination]
        assert counts
        assert later
        assert all(a <= b for a, b in itertools.pairwise([*counts, *later]))  # no copy went on, nothing was lost
        after = clusters.get(destination, "hog")
        assert (after["nonce"], after["pid"]) == (before["nonce"], before["pid"])
        assert clusters.get(destination, "hog", "/checksum") == checksum
        assert clusters.read(source, "hog") is None
        found = clusters.api(destination).get(f"{PODS}/hog")
        assert found["metadata"]["labels"] == {"app": "hog"}
        assert found["metadata"]["annotations"] == {IMAGE: MEMHOG}
        arrived = f"/var/lib/kubelet/pods/{found['metadata']['uid']}/volumes/kubernetes.io~empty-dir/scratch"
        root = f"{BUNDLES}/{clusters.container(destination, 'hog')}/rootfs"
        assert clusters.sh(destination, f"cat {root}/note {arrived}/note").split("\n")[:2] == [
            "of the root",
            "scratched",
        ]
    assert clusters.left() == []


def test_a_stateful_set_takes_its_pod_over_and_a_restart_is_a_restart(clusters: Plain) -> None:
    template = {
        "metadata": {"labels": {"app": "st"}},
        "spec": clusters.spec(volumeMounts=[{"name": "data", "mountPath": "/data"}]),
    }
    clusters.owned("statefulsets", "st", serviceName="st", volumeClaimTemplates=CLAIM, template=template)
    before = clusters.get("aks-lab", "st-0")
    clusters.sh("aks-lab", f"echo carried >{clusters.claim('aks-lab', 'data-st-0')}/note")
    move("st-0", "gke-lab")
    assert clusters.get("gke-lab", "st-0")["nonce"] == before["nonce"]
    clusters.is_taken_over("gke-lab", "st-0", "st", "StatefulSet")
    assert clusters.sh("gke-lab", f"cat {clusters.claim('gke-lab', 'data-st-0')}/note").strip() == "carried"
    assert clusters.pods("aks-lab", "st") == []
    assert clusters.left() == []

    def status() -> dict[str, Any]:
        told: dict[str, Any] = clusters.api("gke-lab").get(f"{PODS}/st-0")["status"]["containerStatuses"][0]
        return told

    assert status()["restartCount"] == 0
    clusters.sh("gke-lab", f"kill -KILL $(cat {BUNDLES}/{clusters.container('gke-lab', 'st-0')}/init.pid)")
    waiting_for(lambda: status()["restartCount"] == 1 and "running" in status()["state"], 60)
    assert clusters.answers("gke-lab", "st-0")["nonce"] != before["nonce"]


def test_a_deployment_follows_its_pod_and_makes_no_second_one(clusters: Plain) -> None:
    name = clusters.owned("deployments", "dep")["metadata"]["name"]
    before = clusters.get("aks-lab", name)
    move(name, "gke-lab")
    clusters.is_taken_over("gke-lab", name, "dep", "ReplicaSet")
    assert clusters.get("gke-lab", name)["nonce"] == before["nonce"]
    own = clusters.api("gke-lab").get(f"{APPS}/deployments/dep")
    assert own["spec"]["template"]["spec"]["containers"][0]["image"] == MEMHOG
    waiting_for(
        lambda: clusters.api("gke-lab").get(f"{APPS}/deployments/dep")["status"].get("availableReplicas") == 1, 30
    )
    assert clusters.pods("aks-lab", "dep") == []
    assert clusters.left() == []


def test_an_image_that_is_not_there_comes_from_node_to_node(clusters: Plain) -> None:
    """Its registry is not asked."""
    before = clusters.pod("hog")
    clusters.lab.run("gke-1", cluster.NODE, "stop", "registry")
    clusters.sh("gke-lab", "ctr -n k8s.io images rm $(ctr -n k8s.io images ls -q | grep memhog) >/dev/null; :")
    document = move("hog", "gke-lab")
    clusters.lab.run("gke-1", cluster.NODE, "start", "registry")
    assert document["bytes"]["image"] > 0
    assert clusters.get("gke-lab", "hog")["nonce"] == before["nonce"]
    assert clusters.left() == []


def reader(clusters: Plain, where: str, folder: Path) -> Path:
    """A config whose user may do at that cluster all that a move asks for, but have checkpoints made."""
    host = clusters.lab.host(NODES[where])
    authority = pki.Authority.load(host.directory / "upper/etc/kubernetes/pki")
    pair = authority.client("mover", lifetime=datetime.timedelta(hours=1))
    path = folder / "mover.kubeconfig"
    path.write_text(pki.kubeconfig(host.cluster, f"https://{host.address}:6443", authority.pair.certificate, pair))
    kinds = ["pods", "pods/exec", "configmaps", "secrets", "persistentvolumeclaims"]
    kinds += ["deployments", "replicasets", "statefulsets"]
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["*"], "resources": kinds, "verbs": ["create", "patch", "delete"]},
    ]
    root, api = "/apis/rbac.authorization.k8s.io/v1", clusters.api(where)
    api.create(f"{root}/clusterroles", {"metadata": {"name": "mover"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "mover"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mover"}
    api.create(f"{root}/clusterrolebindings", {"metadata": {"name": "mover"}, "roleRef": role, "subjects": [subject]})
    written = clusters.lab.config.read_text().replace(str(host.kubeconfig), str(path))
    (folder / "config.toml").write_text(written)
    return folder / "config.toml"


def test_the_right_to_checkpoint_is_missed_before_anything_is_touched(
    clusters: Plain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clusters.pod("hog")
    config = reader(clusters, "aks-lab", tmp_path)
    umsui("coordinator", "stop", "--force")
    monkeypatch.setenv("UMSUI_CONFIG", str(config))
    done = umsui("migrate", "aks-lab/hog", "--to", "gke-lab", "--approach", "orchestrator", "--json", "--yes")
    umsui("coordinator", "stop", "--force")
    assert done.code == 3, done.out
    assert "`create nodes/proxy` at aks-lab" in done.document["error"]["message"]
    assert clusters.read("gke-lab", "hog") is None
    assert clusters.get("aks-lab", "hog")["nonce"] == before["nonce"]
