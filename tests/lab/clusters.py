"""What the tests of moves between the lab's Kubernetes clusters share."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

from backends.orchestrators.kubernetes_api import Api, NotFound
from tests.conftest import RunningLab
from tests.waiting import waiting_for
from umsui import adapters, config
from umsui.inside import registry
from umsui.lab.kubernetes import cluster

PODS = "/api/v1/namespaces/default/pods"
APPS = "/apis/apps/v1/namespaces/default"
CAPABILITIES = {"drop": ["ALL"], "add": ["CHECKPOINT_RESTORE", "SYS_PTRACE", "SETPCAP"]}


@dataclass
class Clusters:
    """Both clusters, and an image with umsui inside that both can pull."""

    lab: RunningLab
    image: str = ""

    def api(self, name: str) -> Api:
        host = next(host for host in self.lab.lab.hosts if host.cluster == name)
        return Api(host.kubeconfig, name)

    def build(self) -> None:
        """Put the image together in aks-lab's registry, with the programs of that cluster's node."""
        found = next(each for each in config.load().clusters if each.name == "aks-lab")
        way = adapters.load("transports", "ssh")(
            found.nodes[0].ssh, identity=found.identity, known_hosts=found.known_hosts
        )
        base = cluster.registry(self.lab.host("aks-1")) + "/umsui/memhog:1"
        made = registry.build(
            lambda argv, stdin: way.run(argv, stdin=stdin, timeout=120),
            registry.Reference.of(base),
            registry.Reference.of(f"{base}-umsui"),
        )
        way.close()
        self.image = made.image

    def spec(self, mib: int = 16, **container: Any) -> dict[str, Any]:
        """A pod's, of memhog that can be moved from inside."""
        made = {
            "name": "main",
            "image": self.image,
            "env": [{"name": "MIB", "value": str(mib)}],
            "ports": [{"containerPort": 8000}],
            "securityContext": {"capabilities": CAPABILITIES},
            **container,
        }
        return {"containers": [made], "terminationGracePeriodSeconds": 3}

    def pod(self, name: str, **more: Any) -> dict[str, Any]:
        """Start a bare pod in aks-lab; what it answers."""
        body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": self.spec(**more)}
        self.api("aks-lab").create(PODS, body)
        return self.answers("aks-lab", name)

    def owned(self, kind: str, name: str, **more: Any) -> dict[str, Any]:
        """Start a Deployment or StatefulSet in aks-lab; its pod."""
        template = {"metadata": {"labels": {"app": name}}, "spec": self.spec()}
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, **more}
        self.api("aks-lab").create(f"{APPS}/{kind}", {"metadata": {"name": name}, "spec": spec})
        waiting_for(lambda: len(self.pods("aks-lab", name)) == 1, 30)
        found = self.pods("aks-lab", name)[0]
        self.answers("aks-lab", found["metadata"]["name"])
        return found

    def read(self, where: str, name: str) -> dict[str, Any] | None:
        try:
            return self.api(where).get(f"{PODS}/{name}")
        except NotFound:
            return None

    def pods(self, where: str, app: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api(where).get(PODS, labelSelector=f"app={app}")["items"]
        return found

    def is_taken_over(self, where: str, name: str, app: str, kind: str) -> None:
        """Its owner has it, and makes no other one: it would do so within five seconds."""
        arrived = self.read(where, name)
        assert arrived is not None
        time.sleep(5)
        (found,) = self.pods(where, app)
        assert found["metadata"]["uid"] == arrived["metadata"]["uid"]
        assert found["metadata"]["ownerReferences"][0]["kind"] == kind

    def get(self, where: str, name: str, path: str = "/") -> dict[str, Any]:
        """What memhog answers at its pod's address. Raises OSError."""
        found = self.read(where, name)
        address = (found or {}).get("status", {}).get("podIP")
        if not address:
            raise OSError(f"{name} has no address")
        with urllib.request.urlopen(f"http://{address}:8000{path}", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def answers(self, where: str, name: str, within: float = 60.0) -> dict[str, Any]:
        """The same, once it answers."""

        def does() -> bool:
            try:
                return bool(self.get(where, name))
            except OSError:
                return False

        waiting_for(does, within)
        return self.get(where, name)

    def clear(self) -> None:
        """Remove what tests have made: owners first."""
        for name in ("aks-lab", "gke-lab"):
            api = self.api(name)
            for kind, root in (
                *((kind, APPS) for kind in ("deployments", "statefulsets", "replicasets")),
                *((kind, "/api/v1/namespaces/default") for kind in ("pods", "persistentvolumeclaims", "configmaps")),
            ):
                for each in api.get(f"{root}/{kind}")["items"]:
                    if not each["metadata"]["name"].startswith(("memhog-", "redis-", "data-redis", "kube-root")):
                        body = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
                        api.delete(f"{root}/{kind}/{each['metadata']['name']}", body)
