"""What a pod is made of, at another cluster: its manifest there, and the objects that it needs beside it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

MARK = "umsui.io/migration"  # label: whatever was made for a migration that is not settled
LABELS = "umsui.io/labels"  # annotation: the labels that it gets when it runs
PASSIVE = "umsui.io/passive"  # annotation: not empty while it waits for its restore
IMAGE = "umsui.io/image"  # annotation: the service's own image, of a pod that was restored from another one
ADDRESS = "umsui.io/address"  # annotation: the address of a pod whose kubelet tells of it only when it runs
OURS = (LABELS, PASSIVE, IMAGE, ADDRESS)
VARIABLE = "UMSUI_PASSIVE"  # how the supervisor is told so, each time that the container is started
INIT = "/umsui/init"
NESTED = "UMSUI_NESTED"  # a variable of outer pods: umsui.agent.nested reads it
OPENS = {"periodSeconds": 1, "failureThreshold": 3600}  # a probe that succeeds when the service has arrived
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

_OF_THE_API = ("uid", "resourceVersion", "creationTimestamp", "selfLink", "generation", "managedFields", "generateName")
_OF_THE_NODE = ("nodeName", "priority", "preemptionPolicy", "initContainers", "ephemeralContainers", "nodeSelector")
_CARRIED = ("configMap", "secret", "emptyDir", "downwardAPI", "projected", "persistentVolumeClaim")
"""Kinds of volumes that another cluster can have, too."""


def bare(found: Json, keep: Sequence[str] = ("name", "labels", "annotations")) -> Json:
    """An object as a user would write it: without what its API added."""
    made = {key: copy.deepcopy(value) for key, value in found.items() if key not in ("status", "metadata")}
    meta = {key: copy.deepcopy(found["metadata"][key]) for key in keep if found["metadata"].get(key)}
    for name in list(meta.get("annotations") or ()):
        if name.startswith(("kubectl.kubernetes.io/last-applied", "pv.kubernetes.io/", "volume.")) or name in OURS:
            del meta["annotations"][name]
    return {**made, "metadata": meta}


def unsupported(pod: Json) -> Iterator[str]:
    """What of a pod another cluster cannot have, in words."""
    spec = pod["spec"]
    for volume in spec.get("volumes") or ():
        kind = next((key for key in volume if key != "name"), "")
        if kind not in _CARRIED:
            yield f"its volume {volume['name']} is a {kind} of this cluster or node"
    if len(spec["containers"]) > 1:
        yield "it has several containers, which share namespaces"
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(name):
            yield f"it has {name}"
    if any(
        each.get("state", {}).get("running") for each in pod.get("status", {}).get("ephemeralContainerStatuses") or ()
    ):
        yield "a debugging container runs in it"


def needed(pod: Json) -> Iterator[tuple[str, str]]:
    """The resources and names of the objects that a pod refers to: ``("configmaps", "web")``."""
    spec = pod["spec"]
    tokens = {each["name"] for each in _token_volumes(spec)}
    for volume in spec.get("volumes") or ():
        if volume["name"] not in tokens:
            yield from _of_volume(volume)
    for container in spec["containers"]:
        for each in container.get("envFrom") or ():
            yield from _of_reference(each.get("configMapRef"), "configmaps")
            yield from _of_reference(each.get("secretRef"), "secrets")
        for each in container.get("env") or ():
            source = each.get("valueFrom") or {}
            yield from _of_reference(source.get("configMapKeyRef"), "configmaps")
            yield from _of_reference(source.get("secretKeyRef"), "secrets")
    for each in spec.get("imagePullSecrets") or ():
        yield "secrets", str(each["name"])


def _of_volume(volume: Json) -> Iterator[tuple[str, str]]:
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", str(volume["persistentVolumeClaim"]["claimName"])
    yield from _of_reference(volume.get("configMap"), "configmaps")
    if volume.get("secret"):
        yield "secrets", str(volume["secret"]["secretName"])
    for each in (volume.get("projected") or {}).get("sources") or ():
        yield from _of_reference(each.get("configMap"), "configmaps")
        yield from _of_reference(each.get("secret"), "secrets")


def _of_reference(found: Json | None, resource: str) -> Iterator[tuple[str, str]]:
    if found and found.get("name"):
        yield resource, str(found["name"])


def _token_volumes(spec: Json) -> list[Json]:
    """The volume with the service account's token, which each API adds by itself."""
    names = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts") or () if m["mountPath"] == ACCOUNT}
    return [volume for volume in spec.get("volumes") or () if volume["name"] in names]


def own_image(pod: Mapping[str, Any]) -> str:
    """The image that the pod's container was first started from."""
    noted = (pod["metadata"].get("annotations") or {}).get(IMAGE)
    return str(noted or pod["spec"]["containers"][0].get("image") or "")


def passive(pod: Json, node: str, migration: str, checkpoint: str = "") -> Json:
    """The manifest of a pod that waits for its restore on ``node``, where no Service or controller finds it.

    ``checkpoint`` is the image of one; without it, umsui inside the pod's own image waits.
    """
    made = bare(pod)
    spec, labels = made["spec"], made["metadata"].pop("labels", {})
    tokens = {each["name"] for each in _token_volumes(spec)}
    for name in _OF_THE_NODE:
        spec.pop(name, None)
    spec["volumes"] = [each for each in spec.get("volumes") or () if each["name"] not in tokens]
    container = spec["containers"][0]
    container["volumeMounts"] = [each for each in container.get("volumeMounts") or () if each["name"] not in tokens]
    container["image"] = own_image(pod)
    container["env"] = [each for each in container.get("env") or () if each["name"] != VARIABLE]
    notes = made["metadata"].setdefault("annotations", {})
    if checkpoint:
        notes[IMAGE] = container["image"]
        container |= {"image": checkpoint, "imagePullPolicy": "Never"}
        (container.get("lifecycle") or {}).pop("postStart", None)  # it has started already
    else:
        _wait_inside(container)
    spec["affinity"] = on_node(node)
    notes |= {PASSIVE: migration, LABELS: json.dumps(labels)}
    made["metadata"]["labels"] = {MARK: migration}
    return made


def _wait_inside(container: Json) -> None:
    """Let what is inside a container wait for a restore at each start, as long as the pod's annotation says so."""
    reference = {"fieldRef": {"fieldPath": f"metadata.annotations['{PASSIVE}']"}}
    container["env"] = [*container["env"], {"name": VARIABLE, "valueFrom": reference}]
    if container.get("livenessProbe") or container.get("readinessProbe") or container.get("startupProbe"):
        container["startupProbe"] = {**OPENS, "exec": {"command": opened(container)}}  # until then, nobody may judge it


def on_node(name: str) -> Json:
    """The affinity of a pod that may run there and nowhere else."""
    found = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [found]}}}


def opened(container: Json) -> Sequence[str]:
    """The command that succeeds in it as soon as its service has arrived."""
    if any(each["name"] == NESTED for each in container.get("env") or ()):
        return ["/bin/sh", "-c", "[ ! -e /umsui/passive ]"]
    return [INIT, "--open"]


def claim(found: Json, classes: Sequence[str]) -> Json:
    """A volume's claim for another cluster: of the same class where there is one, else of the default one."""
    made = bare(found, ("name", "labels"))
    spec = made["spec"]
    spec.pop("volumeName", None)
    if spec.get("storageClassName") not in classes:
        spec.pop("storageClassName", None)
    return made


def owners(owner: Json, migration_labels: Mapping[str, str] | None = None) -> Json:
    """An owner as its user wrote it."""
    made = bare(owner)
    if migration_labels:
        made["metadata"]["labels"] = {**made["metadata"].get("labels", {}), **migration_labels}
    for name in list(made["metadata"].get("annotations") or ()):
        if name.startswith("deployment.kubernetes.io/"):
            del made["metadata"]["annotations"][name]
    return made
