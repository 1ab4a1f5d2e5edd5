"""What the tests of orchestrator-level between the lab's Kubernetes clusters share: pods that know nothing of umsui."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from backends.orchestrators.kubernetes_manifests import MARK
from tests.lab.clusters import PODS, Clusters
from tests.lab.job import umsui
from tests.waiting import waiting_for

MEMHOG = "localhost/umsui/memhog:1"
NODES = {"aks-lab": "aks-1", "gke-lab": "gke-1"}
BUNDLES = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
LEFT = (
    "ls -d /run/umsui /dev/shm/umsui /usr/local/sbin/criu /var/lib/kubelet/checkpoints/* 2>/dev/null;"
    " cat /root/.ssh/authorized_keys | grep umsui:"
)


class Plain(Clusters):
    """The two clusters, and pods of an unchanged image, without further capabilities."""

    def spec(self, mib: int = 16, **container: Any) -> dict[str, Any]:
        return super().spec(mib, **{"securityContext": {}, **container})

    def container(self, where: str, name: str) -> str:
        """The id of a pod's container."""
        found = self.api(where).get(f"{PODS}/{name}")["status"]["containerStatuses"][0]["containerID"]
        return str(found).rpartition("/")[2]

    def sh(self, where: str, script: str) -> str:
        return self.lab.sh(NODES[where], script)

    def images(self, where: str) -> list[str]:
        """What of ours is in a node's image store."""
        return [
            each
            for each in self.sh(where, "ctr -n k8s.io images ls -q").split()
            if "umsui.local" in each or "/base" in each
        ]

    def claim(self, where: str, name: str) -> str:
        """The folder of a claim's volume."""
        claim = self.api(where).get(f"/api/v1/namespaces/default/persistentvolumeclaims/{name}")
        volume = self.api(where).get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
        return str(volume["spec"]["hostPath"]["path"])

    def left(self) -> list[str]:
        """What is still there of a migration, at either end; names of images that a living pod has are its own."""
        found = []
        for where in NODES:
            found += self.sh(where, f"{LEFT}; :").split()
            for kind in ("pods", "configmaps", "secrets", "persistentvolumeclaims"):
                listed = self.api(where).get(f"/api/v1/namespaces/default/{kind}", labelSelector=MARK)["items"]
                found += [each["metadata"]["name"] for each in listed]
            pods = self.api(where).get(PODS)["items"]
            named = {each["spec"]["containers"][0]["image"] for each in pods}
            found += [each for each in self.images(where) if each not in named]
        return found


def cleared(both: Plain) -> Iterator[Plain]:
    """The clusters for one test, which need not tidy up."""
    yield both
    both.clear()
    for where in NODES:  # of pods that were not moved away, but deleted: the kubelet removes them when it needs room
        both.sh(where, f"ctr -n k8s.io images rm {' '.join(both.images(where))} 2>/dev/null; :")


def move(service: str, to: str, *more: str) -> dict[str, Any]:
    done = umsui("migrate", service, "--to", to, "--approach", "orchestrator", "--json", "--yes", *more)
    assert done.code == 0, f"{done.err}{done.out}"
    document: dict[str, Any] = done.document
    assert document["outcome"] == "committed"
    assert document["approach"] == "orchestrator"
    return document


def begin(service: str, *more: str) -> str:
    words = ("--to", "gke-lab", "--approach", "orchestrator", "--json", "--yes", "--detach", *more)
    identity: str = umsui("migrate", service, *words).document["id"]
    return identity


def goes_on(clusters: Plain, before: dict[str, Any]) -> None:
    """The pod runs at the source as ever: its count grows, and its container does what the kubelet asks of it."""
    now = clusters.get("aks-lab", "hog")
    assert now["nonce"] == before["nonce"]
    time.sleep(0.2)
    assert clusters.get("aks-lab", "hog")["count"] > now["count"]
    state = clusters.sh("aks-lab", f"ctr -n k8s.io tasks ls | grep {clusters.container('aks-lab', 'hog')}")
    assert "RUNNING" in state
    waiting_for(lambda: clusters.read("gke-lab", "hog") is None, 60)
    assert clusters.left() == []
