"""Pods and nodes, as the API tells of them, in umsui's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backends.orchestrators.kubernetes_manifests import own_image
from umsui.model import ClusterState, Node, Port, Service, ServiceState

Json = Mapping[str, Any]

_UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_UNITS |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50}
_SOFTWARE = {"kubeletVersion": "kubernetes", "kernelVersion": "kernel", "architecture": "architecture"}
MIRROR = "kubernetes.io/config.mirror"  # of a static pod: it is a file on its node
MOVABLE = ("StatefulSet", "ReplicaSet")
"""The kinds of owners whose pods can be moved; a Deployment's pods belong to its ReplicaSet."""


def quantity(text: Any) -> float:
    """``250m``, ``64Mi``, ``2`` as a number."""
    found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([A-Za-z]*)", str(text))
    return float(found[1]) * _UNITS.get(found[2], 1) if found else 0.0


def instant(text: str | None) -> float:
    """An API's time as Unix time; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: what the board shows, and what it takes of its node."""

    service: Service
    requested: int  # bytes of memory


def short(namespace: str, name: str, default: str) -> str:
    """What a pod is called as a service: by its own name in the context's namespace, as kubectl has it."""
    return name if namespace == default else f"{namespace}/{name}"


def split(service: str, default: str) -> tuple[str, str]:
    """Namespace and name of a service's pod."""
    namespace, _, name = service.rpartition("/")
    return namespace or default, name


def pod(found: Json, cluster: str, default: str) -> Pod:
    """A pod of the API."""
    meta, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    containers: Sequence[Json] = spec["containers"]
    state, words = pod_state(found)
    service = Service(
        cluster=cluster,
        node=str(spec.get("nodeName") or ""),
        name=short(meta["namespace"], meta["name"], default),
        id=str(meta["uid"]),
        image=own_image(found),
        state=state,
        status=words,
        ports=tuple(ports(containers)),
        volumes=sum(1 for volume in spec.get("volumes") or () if "persistentVolumeClaim" in volume),
        labels=dict(meta.get("labels") or {}),
        obstacle=obstacle(found),
        started=instant(status.get("startTime")),
        owner=owner(meta),
    )
    return Pod(service, requested(containers))


def requested(containers: Iterable[Json]) -> int:
    """Bytes of memory that a pod has reserved on its node."""
    asked = ((each.get("resources") or {}).get("requests") or {} for each in containers)
    return int(sum(quantity(each.get("memory", 0)) for each in asked))


def ports(containers: Iterable[Json]) -> Iterable[Port]:
    """The ports that its containers name; a pod has an address of its own, so they are the same outside."""
    for container in containers:
        for each in container.get("ports") or ():
            number = int(each["containerPort"])
            yield Port(int(each.get("hostPort") or number), number, str(each.get("protocol") or "TCP").lower())


def pod_state(found: Json) -> tuple[ServiceState, str]:
    """Whether it runs, and the word that kubectl would show."""
    meta, status = found["metadata"], found.get("status") or {}
    phase = str(status.get("phase") or "Unknown")
    if meta.get("deletionTimestamp"):
        return ServiceState.STOPPED, "Terminating"
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    waiting: Json = next((each["waiting"] for each in states if each.get("waiting")), {})
    if waiting:
        return ServiceState.STOPPED, str(waiting.get("reason") or phase)
    return (ServiceState.UP if phase == "Running" else ServiceState.STOPPED), str(status.get("reason") or phase)


def controller(meta: Json) -> Json:
    """The owner that would make another one; {} of a bare pod."""
    return next((each for each in meta.get("ownerReferences") or () if each.get("controller")), {})


def owner(meta: Json) -> str:
    """``StatefulSet/web``; "" of a bare pod. A Deployment is known by what it adds to its pods' names."""
    found = controller(meta)
    if not found:
        return ""
    kind, name = str(found["kind"]), str(found["name"])
    mark = (meta.get("labels") or {}).get("pod-template-hash", "")
    if kind == "ReplicaSet" and mark and name.endswith(f"-{mark}"):
        return f"Deployment/{name.removesuffix(f'-{mark}')}"
    return f"{kind}/{name}"


def obstacle(found: Json) -> str:
    """Why a pod can be moved by no approach, as far as it tells itself; a plan tells more."""
    meta, spec = found["metadata"], found["spec"]
    kind = str(controller(meta).get("kind") or "")
    if MIRROR in (meta.get("annotations") or {}):
        return "it is a static pod: a file on its node makes it"
    if kind and kind not in MOVABLE:
        return f"it belongs to a {kind}, which would make another one in its place"
    if len(spec["containers"]) > 1:
        return "it has several containers, which share namespaces"
    return ""


def slim_node(found: Json) -> Json:
    """Of a node of the API, what ``node`` needs: it also lists all of its images."""
    status = found.get("status") or {}
    kept = {key: status.get(key) for key in ("allocatable", "capacity", "nodeInfo", "conditions")}
    return {"metadata": {"name": found["metadata"]["name"]}, "spec": found.get("spec") or {}, "status": kept}


def node(found: Json, cluster: str, taken: int) -> Node:
    """A node of the API; ``taken`` are the bytes that its pods have reserved."""
    meta, status = found["metadata"], found.get("status") or {}
    room, told = status.get("allocatable") or {}, status.get("nodeInfo") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    state, error = ClusterState.LIVE, ""
    if ready.get("status") != "True":
        state = ClusterState.UNREACHABLE
        error = f"its kubelet is not ready: {ready.get('message') or 'it has said nothing yet'}"
    elif (found.get("spec") or {}).get("unschedulable"):
        state, error = ClusterState.LISTED, "cordoned: it takes no new pods"
    runtime, _, version = str(told.get("containerRuntimeVersion") or "").partition("://")
    software = {ours: str(told[theirs]).removeprefix("v") for theirs, ours in _SOFTWARE.items() if told.get(theirs)}
    return Node(
        cluster=cluster,
        name=str(meta["name"]),
        ssh="",
        state=state,
        error=error,
        cores=int(quantity((status.get("capacity") or {}).get("cpu", 0))),
        memory=int(quantity((status.get("capacity") or {}).get("memory", 0))),
        memory_free=max(int(quantity(room.get("memory", 0))) - taken, 0),
        software={**software, **({runtime: version} if runtime else {})},
    )
