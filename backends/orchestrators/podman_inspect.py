"""``podman inspect`` made neutral: a Specification that any orchestrator could carry out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.orchestrators.inspected import Raw, capabilities, health, ports, restart, variables
from umsui.model import Mount, Specification

_PODMANS_ANNOTATIONS = (  # made by podman itself, from settings that travel as such
    "io.podman.annotations.",
    "io.container.manager",
    "io.kubernetes.cri-o.",
    "org.opencontainers.image.stopSignal",
    "org.systemd.property.",
)

_COMPUTED_ULIMITS = ("RLIMIT_NOFILE", "RLIMIT_NPROC")  # podman fills them in at the first start, from the host's

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def given(raw: Raw, *flags: str) -> list[str]:
    """The values that these flags had when the container was created with the CLI.

    For the few settings that ``podman inspect`` does not show, or does not tell from defaults.
    """
    words = created_by(raw)
    values = []
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in flags:
            if equals:
                values.append(value)
            elif index + 1 < len(words):
                values.append(words[index + 1])
        elif word[:2] in flags and len(word) > 2:  # -eA=b
            values.append(word[2:])
    return values


def created_by(raw: Raw) -> list[str]:
    """The CLI's words that made it, without the command that runs inside; empty when it was made through the API."""
    words = list(raw["Config"].get("CreateCommand") or ())
    command = list(raw["Config"].get("Cmd") or ())
    if command and words[-len(command) :] == command:
        words = words[: -len(command)]
    return words


def specification(raw: Raw, image: Raw) -> Specification:
    """All of a container's settings that have a neutral name. ``image`` is ``podman image inspect``."""
    config, host = raw["Config"], raw["HostConfig"]
    return Specification(
        name=str(raw["Name"]),
        image=str(raw["ImageName"]),
        image_id=str(raw["Image"]),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment=environment(raw, image),
        labels=dict(config.get("Labels") or {}),
        annotations=own_annotations(raw),
        ports=ports(host.get("PortBindings") or {}),
        mounts=_mounts(raw),
        network=_network(raw),
        cgroupns=str(host.get("CgroupMode") or ""),
        hostname=hostname(raw),
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        restart=restart(host.get("RestartPolicy") or {}),
        stop_signal=str(config.get("StopSignal") or ""),
        stop_timeout=int(config.get("StopTimeout") or 0),
        cap_add=_added(raw),
        cap_drop=tuple(capabilities(host, "CapDrop")),
        security_options=tuple(security_options(raw)),
        privileged=bool(host.get("Privileged")),
        read_only=bool(host.get("ReadonlyRootfs")),
        init=bool(host.get("Init")),
        tty=bool(config.get("Tty")),
        memory_limit=int(host.get("Memory") or 0),
        cpu_limit=_cpus(host),
        pids_limit=int(host.get("PidsLimit") or 0),
        shm_size=int(host.get("ShmSize") or 0) if host.get("IpcMode") in ("", "shareable", "private") else 0,
        ulimits=ulimits(raw),
        health=health(config.get("Healthcheck") or {}),
    )


def environment(raw: Raw, image: Raw) -> dict[str, str]:
    """The variables that the container got itself: not its image's, not those that podman adds."""
    values = variables(raw["Config"].get("Env"))
    defaults = {"PATH": _DEFAULT_PATH, **variables((image.get("Config") or {}).get("Env")), "container": "podman"}
    defaults["HOSTNAME"] = raw["Config"].get("Hostname") or ""
    if raw["Config"].get("Tty"):
        defaults.setdefault("TERM", "xterm")
    if created_by(raw) and not given(raw, "--env-file"):
        names = {value.partition("=")[0] for value in given(raw, "-e", "--env")}
        if "HOME" not in names and "--env-host" not in created_by(raw):
            defaults.setdefault("HOME", values.get("HOME", ""))  # podman adds it at the first start
    return {name: value for name, value in values.items() if defaults.get(name) != value}


def own_annotations(raw: Raw) -> dict[str, str]:
    """The annotations that are not podman's own."""
    found = raw["Config"].get("Annotations") or {}
    return {name: value for name, value in found.items() if not name.startswith(_PODMANS_ANNOTATIONS)}


def hostname(raw: Raw) -> str:
    """The host name, when the user chose one."""
    host, name = raw["HostConfig"], raw["Config"].get("Hostname") or ""
    if created_by(raw):
        return name if given(raw, "--hostname", "-h") else ""
    shared = host.get("UTSMode") == "host" or str(host.get("NetworkMode", "")).startswith(("host", "container:"))
    return "" if shared or name == raw["Id"][:12] else name


def security_options(raw: Raw) -> list[str]:
    """Security options as given; which paths are masked is only in the command that made the container."""
    found = [str(option) for option in raw["HostConfig"].get("SecurityOpt") or ()]
    if raw["HostConfig"].get("Privileged"):
        found = [option for option in found if option != "unmask=all"]
    for option in given(raw, "--security-opt"):
        if option.startswith(("mask=", "unmask=")) and option.lower() not in ("unmask=all", *found):
            found.append(option)
    return found


def ulimits(raw: Raw) -> dict[str, tuple[int, int]]:
    """``{"nofile": (soft, hard)}``, -1 is unlimited; without those that podman computed from the host's."""
    chosen = {value.partition("=")[0].lower() for value in given(raw, "--ulimit")}
    found = {}
    for each in raw["HostConfig"].get("Ulimits") or ():
        name = str(each["Name"]).removeprefix("RLIMIT_").lower()
        if each["Name"] in _COMPUTED_ULIMITS and created_by(raw) and name not in chosen:
            continue
        found[name] = (int(each["Soft"]), int(each["Hard"]))
    return found


def networks(raw: Raw) -> list[str]:
    """The names of the networks it is in."""
    return sorted(raw["NetworkSettings"].get("Networks") or {})


def _network(raw: Raw) -> str:
    mode = str(raw["HostConfig"].get("NetworkMode") or "")
    names = networks(raw)
    if mode == "bridge" and names and names != ["podman"]:
        return ",".join(names)
    return mode


def _mounts(raw: Raw) -> tuple[Mount, ...]:
    found = []
    for each in raw.get("Mounts") or ():
        volume = each["Type"] == "volume"
        options = [str(option) for option in each.get("Options") or ()]
        if each.get("Propagation"):
            options.append(str(each["Propagation"]))
        source = str(each["Name"] if volume else each.get("Source", ""))
        path = str(each.get("Source", ""))
        found.append(Mount(each["Type"], source, each["Destination"], not each["RW"], tuple(options), path))
    for destination, options in (raw["HostConfig"].get("Tmpfs") or {}).items():
        words = tuple(option for option in str(options).split(",") if option)
        found.append(Mount("tmpfs", "", destination, "ro" in words, words))
    return tuple(sorted(found, key=lambda mount: mount.destination))


def _cpus(host: Mapping[str, Any]) -> float:
    quota, period = int(host.get("CpuQuota") or 0), int(host.get("CpuPeriod") or 0)
    if quota > 0 and period > 0:
        return quota / period
    return int(host.get("NanoCpus") or 0) / 1e9


def _added(raw: Raw) -> tuple[str, ...]:
    """The capabilities to add. A plain user's are only those that somebody named, also of the usual ones.

    podman does not keep what was named; for others than root it shows in what their processes have.
    """
    host, user = raw.get("HostConfig") or {}, str((raw.get("Config") or {}).get("User") or "0").partition(":")[0]
    named = capabilities(host, "CapAdd")
    if user not in ("0", "root") and not host.get("Privileged"):
        named += raw.get("EffectiveCaps") or []
    return tuple(sorted(set(named)))
