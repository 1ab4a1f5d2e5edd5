"""A pod as a specification that no orchestrator's own words are in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from backends.orchestrators.kubernetes_manifests import ACCOUNT, VARIABLE, own_image
from backends.orchestrators.kubernetes_pods import owner, ports, quantity
from umsui.model import Mount, Port, Specification

Json = dict[str, Any]
PORTS = "umsui.io/ports"  # annotation: where its ports were published, of what comes from a host
APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"  # annotation; a field from 1.30 on
GROUPS = "umsui.io/groups"  # as umsui.interface.api_ends has it
ENGINES_RESTART = {"no": "Never", "on-failure": "OnFailure", "always": "Always", "unless-stopped": "Always"}
RESTART = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}


def specification(pod: Json, service: str) -> Specification:
    """What the service is made of."""
    spec, meta = pod["spec"], pod["metadata"]
    container: Json = spec["containers"][0]
    security, context = container.get("securityContext") or {}, spec.get("securityContext") or {}
    added = security.get("capabilities") or {}
    limits = (container.get("resources") or {}).get("limits") or {}
    user = security.get("runAsUser", context.get("runAsUser"))
    status: Json = next(iter(pod.get("status", {}).get("containerStatuses") or ()), {})
    return Specification(
        name=service,
        image=own_image(pod),
        image_id=str(status.get("imageID") or "").rpartition("@")[2],
        entrypoint=tuple(container.get("command") or ()),
        command=tuple(container.get("args") or ()),
        environment={each["name"]: str(each.get("value") or "") for each in variables(container)},
        labels=dict(meta.get("labels") or {}),
        annotations=dict(meta.get("annotations") or {}),
        ports=published(pod),
        mounts=tuple(mounts(spec, container)),
        hostname=str(spec.get("hostname") or meta["name"]),
        user="" if user is None else str(user),
        workdir=str(container.get("workingDir") or ""),
        restart=RESTART[spec.get("restartPolicy") or "Always"],
        stop_timeout=int(spec.get("terminationGracePeriodSeconds", 30)),
        cap_add=tuple(added.get("add") or ()),
        cap_drop=tuple(added.get("drop") or ()),
        security_options=("seccomp=unconfined",) if unconfined(security, context) else (),
        privileged=bool(security.get("privileged")),
        read_only=bool(security.get("readOnlyRootFilesystem")),
        tty=bool(container.get("tty")),
        memory_limit=int(quantity(limits.get("memory", 0))),
        cpu_limit=quantity(limits.get("cpu", 0)),
    )


def published(pod: Json) -> tuple[Port, ...]:
    """Its ports; under the numbers that they had on a host, where it comes from one."""
    noted = re.findall(r"(\d+):(\d+)/(\w+)", (pod["metadata"].get("annotations") or {}).get(PORTS, ""))
    own = {(int(inside), protocol): int(host) for host, inside, protocol in noted}
    found = ports(pod["spec"]["containers"])
    return tuple(replace(each, host=own.get((each.container, each.protocol), each.host)) for each in found)


def variables(container: Json) -> Iterator[Json]:
    """Its variables, but for the one that is ours."""
    return (each for each in container.get("env") or () if each["name"] != VARIABLE)


def unconfined(*contexts: Json) -> bool:
    """Whether no seccomp filter is asked for, of a container or its pod: then there is none."""
    kinds = [(each.get("seccompProfile") or {}).get("type") for each in contexts]
    return next((kind for kind in kinds if kind), "Unconfined") == "Unconfined"


def elsewhere(pod: Json) -> Iterator[tuple[bool, str]]:
    """What of a pod podman and docker have no counterpart for, in words; whether that forbids the move."""
    spec = pod["spec"]
    container: Json = spec["containers"][0]
    from_objects = [each["name"] for each in variables(container) if each.get("valueFrom")]
    if from_objects or container.get("envFrom"):
        names = ", ".join(from_objects) or "all of an object"
        yield True, f"its variables come from a ConfigMap, Secret or field: {names}"
    mounted = {each["name"]: str(each["mountPath"]) for each in container.get("volumeMounts") or ()}
    for volume in spec.get("volumes") or ():
        kind = next((key for key in volume if key != "name"), "")
        where = mounted.get(volume["name"])
        if where not in (None, ACCOUNT) and kind in ("configMap", "secret", "projected", "downwardAPI"):
            yield True, f"it has a {kind} mounted at {where}"
    made_by = owner(pod["metadata"])
    if made_by:
        yield False, f"{made_by} is not carried: the restart policy takes its place"
    if any(container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")):
        yield False, "its probes are not carried: an engine's health check is another thing"
    if any(where == ACCOUNT for where in mounted.values()):
        yield False, "its service account's token stays behind: the cluster's API does not know it there"


def manifest(spec: Specification, volume: int = 1 << 30) -> tuple[Json, list[Json]]:
    """A pod for a specification, and the claims of its volumes, of so many bytes each."""
    limits = {"memory": str(spec.memory_limit)} if spec.memory_limit else {}
    limits |= {"cpu": f"{spec.cpu_limit:g}"} if spec.cpu_limit else {}
    named = [mount for mount in spec.mounts if mount.kind in ("volume", "tmpfs")]
    volumes = [_volume(number, mount) for number, mount in enumerate(named)]
    capabilities = {"add": [_plain(each) for each in spec.cap_add], "drop": [_plain(each) for each in spec.cap_drop]}
    security: Json = {"capabilities": capabilities, "readOnlyRootFilesystem": spec.read_only}
    security |= {"privileged": True} if spec.privileged else {}
    security |= {"seccompProfile": {"type": "Unconfined"}} if "seccomp=unconfined" in spec.security_options else {}
    user, _, group = spec.user.partition(":")
    security |= {"runAsUser": int(user)} if user.isdigit() else {}
    security |= {"runAsGroup": int(group)} if group.isdigit() else {}
    container = {
        "name": "main",
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(spec.entrypoint),
        "args": list(spec.command),
        "env": [{"name": name, "value": value} for name, value in spec.environment.items()],
        "ports": [{"containerPort": port.container, "protocol": port.protocol.upper()} for port in spec.ports],
        "resources": {"limits": limits},
        "securityContext": security,
        "volumeMounts": [
            {"name": f"volume-{number}", "mountPath": mount.destination, "readOnly": mount.read_only}
            for number, mount in enumerate(named)
        ],
        **({"workingDir": spec.workdir} if spec.workdir else {}),
    }
    groups = [int(each) for each in spec.annotations.get(GROUPS, "").split() if each != "0"]
    pod = {
        "metadata": {
            "name": spec.name,
            "labels": {key: text for key, text in spec.labels.items() if _label(key, text)},
            "annotations": {
                PORTS: ",".join(f"{p.host}:{p.container}/{p.protocol}" for p in spec.ports),
                **({APPARMOR: "unconfined"} if "apparmor=unconfined" in spec.security_options else {}),
            },
        },
        "spec": {
            "containers": [container],
            "volumes": volumes,
            "restartPolicy": ENGINES_RESTART[spec.restart.partition(":")[0]],
            "terminationGracePeriodSeconds": spec.stop_timeout,
            "securityContext": {"supplementalGroups": groups},
            **({"hostname": spec.hostname.lower()} if spec.hostname else {}),
        },
    }
    claims = [
        {
            "metadata": {"name": mount.source},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str(volume)}}},
        }
        for mount in named
        if mount.kind == "volume"
    ]
    return pod, claims


def _volume(number: int, mount: Mount) -> Json:
    if mount.kind == "tmpfs":
        return {"name": f"volume-{number}", "emptyDir": {"medium": "Memory"}}
    return {"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": mount.source}}


def _plain(capability: str) -> str:
    return capability.removeprefix("CAP_").upper()


def _label(key: str, text: str) -> bool:
    """Whether an engine's label can be a pod's; others are left out."""
    name = key.rpartition("/")[2]
    wanted = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
    return bool(re.fullmatch(wanted, name)) and (not text or bool(re.fullmatch(wanted, text)))


def mounts(spec: Json, container: Json) -> Iterator[Mount]:
    """What it has mounted: claims and emptied folders hold data, the rest is the API's own."""
    volumes = {each["name"]: each for each in spec.get("volumes") or ()}
    for each in container.get("volumeMounts") or ():
        volume, where = volumes.get(each["name"], {}), str(each["mountPath"])
        read_only = bool(each.get("readOnly"))
        if "persistentVolumeClaim" in volume:
            yield Mount("volume", str(volume["persistentVolumeClaim"]["claimName"]), where, read_only)
        elif "emptyDir" in volume:
            memory = (volume["emptyDir"] or {}).get("medium") == "Memory"
            yield Mount("tmpfs" if memory else "volume", "" if memory else str(each["name"]), where, read_only)
        elif where != ACCOUNT and "hostPath" in volume:
            yield Mount("bind", str(volume["hostPath"]["path"]), where, read_only)
