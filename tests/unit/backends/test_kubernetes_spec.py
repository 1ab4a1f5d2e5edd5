"""Pods as specifications and back, and what has no counterpart; no cluster is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backends.orchestrators import kubernetes_manifests as manifests
from backends.orchestrators import kubernetes_pods as pods
from backends.orchestrators.kubernetes_spec import elsewhere, manifest, specification
from umsui.model import Mount, Port, Specification

WEB = Specification(
    name="web",
    image="registry.example/web:1",
    entrypoint=("/umsui/init", "/web"),
    command=("--port", "8000"),
    environment={"COLOUR": "blue"},
    labels={"app": "web", "io.podman.annotations.x y": "no label of a pod"},
    ports=(Port(8100, 8000),),
    mounts=(Mount("volume", "data", "/data"), Mount("tmpfs", "", "/cache")),
    restart="unless-stopped",
    user="1000:1000",
    cap_add=("CAP_SETPCAP",),
    cap_drop=("all",),
    memory_limit=64 << 20,
)


def as_the_api_has_it(pod: dict[str, Any]) -> dict[str, Any]:
    meta = {**pod["metadata"], "namespace": "default", "uid": "1", "resourceVersion": "7"}
    return {**pod, "metadata": meta, "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}}


def test_a_container_becomes_a_pod_and_comes_back_as_it_was() -> None:
    pod, claims = manifest(WEB)
    assert [claim["metadata"]["name"] for claim in claims] == ["data"]
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["metadata"]["labels"] == {"app": "web"}
    back = specification(as_the_api_has_it(pod), "web")
    assert (back.image, back.entrypoint, back.command) == (WEB.image, WEB.entrypoint, WEB.command)
    assert (back.environment, back.ports, back.memory_limit) == (WEB.environment, WEB.ports, WEB.memory_limit)
    assert [(each.kind, each.source, each.destination) for each in back.mounts] == [
        ("volume", "data", "/data"),
        ("tmpfs", "", "/cache"),
    ]
    assert (back.cap_add, back.cap_drop, back.user) == (("SETPCAP",), ("ALL",), "1000")
    assert list(elsewhere(as_the_api_has_it(pod))) == []


def test_an_outer_pod_keeps_no_filter_and_is_opened_by_its_own_mark() -> None:
    options = ("seccomp=unconfined", "apparmor=unconfined")
    pod, _ = manifest(replace(WEB, environment={manifests.NESTED: "{}"}, security_options=options))
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["seccompProfile"] == {"type": "Unconfined"}
    assert "unconfined" in pod["metadata"]["annotations"].values()
    assert manifests.opened(container)[0] == "/bin/sh"
    plain, _ = manifest(WEB)
    (container,) = plain["spec"]["containers"]
    assert "seccompProfile" not in container["securityContext"]
    assert manifests.opened(container) == ["/umsui/init", "--open"]


def test_a_pod_that_waits_is_found_by_nobody_and_knows_its_labels() -> None:
    pod, _ = manifest(WEB)
    found = manifests.passive(as_the_api_has_it(pod), "n1", "0123")
    assert found["metadata"]["labels"] == {manifests.MARK: "0123"}
    assert '"app": "web"' in found["metadata"]["annotations"][manifests.LABELS]
    assert found["metadata"]["annotations"][manifests.PASSIVE] == "0123"
    assert not {"uid", "resourceVersion"} & found["metadata"].keys()
    assert "status" not in found
    (variable,) = [each for each in found["spec"]["containers"][0]["env"] if each["name"] == manifests.VARIABLE]
    assert manifests.PASSIVE in variable["valueFrom"]["fieldRef"]["fieldPath"]
    again = manifests.passive(as_the_api_has_it(found), "n2", "4567")
    names = [each["name"] for each in again["spec"]["containers"][0]["env"]]
    assert names.count(manifests.VARIABLE) == 1


def test_the_token_that_each_api_adds_is_left_to_it() -> None:
    pod, _ = manifest(WEB)
    pod["spec"]["volumes"].append({"name": "default-token-x", "secret": {"secretName": "default-token-x"}})
    mount = {"name": "default-token-x", "mountPath": manifests.ACCOUNT}
    pod["spec"]["containers"][0]["volumeMounts"].append(mount)
    assert list(manifests.needed(pod)) == [("persistentvolumeclaims", "data")]
    found = manifests.passive(as_the_api_has_it(pod), "n1", "0123")
    assert [each["name"] for each in found["spec"]["volumes"]] == ["volume-0", "volume-1"]


def test_what_other_orchestrators_have_not_is_named() -> None:
    pod, _ = manifest(WEB)
    container = pod["spec"]["containers"][0]
    container["envFrom"] = [{"secretRef": {"name": "key"}}]
    container["livenessProbe"] = {"tcpSocket": {"port": 8000}}
    pod["metadata"]["ownerReferences"] = [{"controller": True, "kind": "StatefulSet", "name": "web"}]
    found = {words: forbids for forbids, words in elsewhere(pod)}
    assert [words for words, forbids in found.items() if forbids] == [
        "its variables come from a ConfigMap, Secret or field: all of an object"
    ]
    assert any(words.startswith("StatefulSet/web") for words in found)
    assert any("probes" in words for words in found)


def test_pods_that_cannot_be_moved_say_why() -> None:
    pod, _ = manifest(WEB)
    pod["metadata"]["ownerReferences"] = [{"controller": True, "kind": "DaemonSet", "name": "log"}]
    assert "DaemonSet" in pods.obstacle(pod)
    pod["metadata"]["ownerReferences"] = []
    assert pods.obstacle(pod) == ""
    pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/var"}})
    assert list(manifests.unsupported(pod)) == ["its volume host is a hostPath of this cluster or node"]


def test_quantities() -> None:
    assert [pods.quantity(text) for text in ("250m", "64Mi", "2", "1e3", "1500Ki", "2G")] == [
        0.25,
        64 << 20,
        2,
        1000,
        1500 << 10,
        2e9,
    ]


def test_a_deployment_is_known_by_its_pods() -> None:
    owner = [{"controller": True, "kind": "ReplicaSet", "name": "web-5d4f"}]
    assert pods.owner({"ownerReferences": owner, "labels": {"pod-template-hash": "5d4f"}}) == "Deployment/web"
    assert pods.owner({"ownerReferences": owner, "labels": {}}) == "ReplicaSet/web-5d4f"
    assert pods.owner({}) == ""


def test_a_pod_of_a_checkpoints_image_keeps_its_own_in_mind() -> None:
    pod, _ = manifest(WEB)
    container = pod["spec"]["containers"][0]
    container["lifecycle"] = {"postStart": {"exec": {"command": ["/warm"]}}, "preStop": {"exec": {"command": ["/end"]}}}
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8000}}
    found = manifests.passive(as_the_api_has_it(pod), "n1", "0123", "umsui.local/checkpoint:0123")
    made = found["spec"]["containers"][0]
    assert (made["image"], made["imagePullPolicy"]) == ("umsui.local/checkpoint:0123", "Never")
    assert list(made["lifecycle"]) == ["preStop"]  # it has started already
    assert "startupProbe" not in made  # it is judged when it runs
    assert manifests.VARIABLE not in [each["name"] for each in made["env"]]
    arrived = as_the_api_has_it(found)
    assert specification(arrived, "web").image == WEB.image
    again = manifests.passive(arrived, "n2", "4567", "umsui.local/checkpoint:4567")
    assert again["metadata"]["annotations"][manifests.IMAGE] == WEB.image
    assert manifests.passive(arrived, "n2", "4567")["spec"]["containers"][0]["image"] == WEB.image
    assert manifests.IMAGE not in manifests.bare(arrived)["metadata"]["annotations"]
