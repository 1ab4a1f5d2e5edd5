"""``docker inspect`` made neutral: a Specification that any orchestrator could carry out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.orchestrators.inspected import Raw, capabilities, health, ports, restart, variables
from umsui.model import Mount, Specification

_STOP_TIMEOUT = 10  # seconds; docker's own when none was chosen


def specification(raw: Raw, image: Raw) -> Specification:
    """All of a container's settings that have a neutral name. ``image`` is ``docker image inspect``."""
    config, host = raw["Config"], raw["HostConfig"]
    defaults = variables((image.get("Config") or {}).get("Env"))
    given = variables(config.get("Env"))
    timeout = config.get("StopTimeout")
    return Specification(
        name=str(raw["Name"]).removeprefix("/"),
        image=str(config["Image"]),
        image_id=str(raw["Image"]).removeprefix("sha256:"),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment={name: value for name, value in given.items() if defaults.get(name) != value},
        labels=dict(config.get("Labels") or {}),
        annotations=dict(host.get("Annotations") or {}),
        ports=ports(host.get("PortBindings") or {}),
        mounts=_mounts(raw),
        network="bridge" if host.get("NetworkMode") == "default" else str(host.get("NetworkMode") or ""),
        cgroupns=str(host.get("CgroupnsMode") or ""),
        hostname=hostname(raw),
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        restart=restart(host.get("RestartPolicy") or {}),
        stop_signal=str(config.get("StopSignal") or ""),
        stop_timeout=_STOP_TIMEOUT if timeout is None else int(timeout),
        cap_add=tuple(capabilities(host, "CapAdd")),
        cap_drop=tuple(capabilities(host, "CapDrop")),
        security_options=tuple(str(option) for option in host.get("SecurityOpt") or ()),
        privileged=bool(host.get("Privileged")),
        read_only=bool(host.get("ReadonlyRootfs")),
        init=bool(host.get("Init")),
        tty=bool(config.get("Tty")),
        memory_limit=int(host.get("Memory") or 0),
        cpu_limit=_cpus(host),
        pids_limit=max(0, int(host.get("PidsLimit") or 0)),
        shm_size=int(host.get("ShmSize") or 0) if host.get("IpcMode") in ("", "shareable", "private") else 0,
        ulimits={str(each["Name"]): (int(each["Soft"]), int(each["Hard"])) for each in host.get("Ulimits") or ()},
        health=health(config.get("Healthcheck") or {}),
    )


def hostname(raw: Raw) -> str:
    """The host name, when the user chose one."""
    name = str(raw["Config"].get("Hostname") or "")
    shared = str(raw["HostConfig"].get("NetworkMode", "")).startswith(("host", "container:"))
    return "" if shared or name == raw["Id"][:12] else name


def _mounts(raw: Raw) -> tuple[Mount, ...]:
    found = []
    for each in raw.get("Mounts") or ():
        if each["Type"] == "tmpfs":
            continue  # of --mount; the ones of --tmpfs are not listed here
        volume = each["Type"] == "volume"
        options = tuple(option for option in (*str(each.get("Mode", "")).split(","), each.get("Propagation")) if option)
        source, path = str(each["Name"] if volume else each.get("Source", "")), str(each.get("Source", ""))
        found.append(Mount(each["Type"], source, each["Destination"], not each["RW"], options, path))
    for destination, text in (raw["HostConfig"].get("Tmpfs") or {}).items():
        words = tuple(option for option in str(text).split(",") if option)
        found.append(Mount("tmpfs", "", destination, "ro" in words, words))
    for each in raw["HostConfig"].get("Mounts") or ():
        if each["Type"] == "tmpfs":
            found.append(Mount("tmpfs", "", each["Target"], bool(each.get("ReadOnly"))))
    return tuple(sorted(found, key=lambda mount: mount.destination))


def _cpus(host: Mapping[str, Any]) -> float:
    quota, period = int(host.get("CpuQuota") or 0), int(host.get("CpuPeriod") or 0)
    return quota / period if quota > 0 and period > 0 else int(host.get("NanoCpus") or 0) / 1e9


def unsupported(raw: Raw) -> tuple[str, ...]:
    """What of this container cannot be recreated elsewhere, in words; empty when all can."""
    host, found = raw["HostConfig"], []
    for key, word in (("NetworkMode", "network"), ("IpcMode", "IPC"), ("PidMode", "PID")):
        if str(host.get(key, "")).startswith("container:"):
            found.append(f"it shares the {word} namespace of another container")
    for each in raw.get("Mounts") or ():
        if each["Type"] not in ("volume", "bind", "tmpfs"):
            found.append(f"{each['Destination']} is a mount of type {each['Type']}, which is not moved")
        elif each["Type"] == "volume" and each.get("Driver") not in ("", "local", None):
            found.append(f"volume {each['Name']} uses the driver {each['Driver']}, which is not known here")
    for key, words in (
        ("VolumesFrom", "shares another container's volumes"),
        ("Links", "is linked to another container"),
        ("DeviceRequests", "uses a GPU or another special device"),
    ):
        if host.get(key):
            found.append(f"it {words}")
    return tuple(found)
