"""Settings that only podman knows: as flags for ``podman create``, so that podman to podman loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backends.orchestrators.inspected import Raw
from backends.orchestrators.podman_inspect import created_by, given

_HOST_LISTS = (
    ("Dns", "--dns"),
    ("DnsOptions", "--dns-option"),
    ("DnsSearch", "--dns-search"),
    ("ExtraHosts", "--add-host"),
    ("GroupAdd", "--group-add"),
)
_HOST_VALUES = (  # inspect's key, flag, the values that mean "not set"
    ("OomScoreAdj", "--oom-score-adj", (0,)),
    ("CpuShares", "--cpu-shares", (0,)),
    ("CpusetCpus", "--cpuset-cpus", ("",)),
    ("CpusetMems", "--cpuset-mems", ("",)),
    ("CpuRealtimePeriod", "--cpu-rt-period", (0,)),
    ("CpuRealtimeRuntime", "--cpu-rt-runtime", (0,)),
    ("BlkioWeight", "--blkio-weight", (0,)),
    ("MemoryReservation", "--memory-reservation", (0,)),
    ("CgroupMode", "--cgroupns", ("",)),
    ("Cgroups", "--cgroups", ("", "default")),
    ("IpcMode", "--ipc", ("", "shareable")),
    ("PidMode", "--pid", ("", "private")),
    ("UTSMode", "--uts", ("", "private")),
)
_CONFIG_VALUES = (
    ("Timezone", "--tz", ("",)),
    ("Umask", "--umask", ("", "0022")),
    ("Timeout", "--timeout", (0,)),
    ("HealthcheckOnFailureAction", "--health-on-failure", ("", "none")),
    ("HealthLogDestination", "--health-log-destination", ("", "local")),
    ("HealthcheckMaxLogCount", "--health-max-log-count", (0, 5)),
    ("HealthcheckMaxLogSize", "--health-max-log-size", (0, 500)),
    ("sdNotifyMode", "--sdnotify", ("", "container")),
)
_BLOCK_DEVICES = (
    ("BlkioWeightDevice", "--blkio-weight-device"),
    ("BlkioDeviceReadBps", "--device-read-bps"),
    ("BlkioDeviceWriteBps", "--device-write-bps"),
    ("BlkioDeviceReadIOps", "--device-read-iops"),
    ("BlkioDeviceWriteIOps", "--device-write-iops"),
)
# What inspect keeps to itself.
_UNSEEN = (
    "--sysctl",
    "--read-only-tmpfs",
    "--init-path",
    "--network-alias",
    "--ip",
    "--ip6",
    "--mac-address",
    "--systemd",
    "--device-cgroup-rule",
    "--passwd",
    "--personality",
)
_UNCARRIED = {
    "--secret": "uses a secret",
    "--requires": "requires another container to run",
    "--rootfs": "runs from a directory instead of an image",
    "--volumes-from": "shares another container's volumes",
    "--gpus": "uses a GPU",
}


def particulars(raw: Raw, image: Raw) -> tuple[str, ...]:
    """Flags for ``podman create``. ``image`` is ``podman image inspect`` of the container's image."""
    return tuple(_flags(raw, image))


def _flags(raw: Raw, image: Raw) -> Iterator[str]:
    host, config = raw["HostConfig"], raw["Config"]
    if config.get("OpenStdin"):
        yield "--interactive"
    if host.get("AutoRemove"):
        yield "--rm"
    if host.get("OomKillDisable"):
        yield "--oom-kill-disable"
    if raw.get("UseImageHosts") and "--no-hosts" in created_by(raw):
        yield "--no-hosts"
    for key, flag in _HOST_LISTS:
        yield from (f"{flag}={value}" for value in host.get(key) or ())
    for source, table in ((host, _HOST_VALUES), (config, _CONFIG_VALUES)):
        for key, flag, unset in table:
            value = source.get(key)
            if value is not None and value not in unset:
                yield f"{flag}={value}"
    for flag in _UNSEEN:
        yield from (f"{flag}={value}" for value in given(raw, flag))
    for key, flag in _BLOCK_DEVICES:
        for each in host.get(key) or ():
            yield f"{flag}={each['Path']}:{each.get('Rate', each.get('Weight'))}"
    yield from _limits(host)
    yield from _namespaces(raw)
    yield from _devices(host)
    yield from _ports(raw, image)
    yield from _log(host.get("LogConfig") or {})
    yield from _startup(config.get("StartupHealthCheck") or {})


def _limits(host: Any) -> Iterator[str]:
    memory, swap = int(host.get("Memory") or 0), int(host.get("MemorySwap") or 0)
    if swap and swap != 2 * memory:
        yield f"--memory-swap={swap}"
    if int(host.get("MemorySwappiness") or 0) > 0:
        yield f"--memory-swappiness={host['MemorySwappiness']}"
    quota, period = int(host.get("CpuQuota") or 0), int(host.get("CpuPeriod") or 0)
    if period and (period != 100_000 or quota <= 0):
        yield f"--cpu-period={period}"
        if quota:
            yield f"--cpu-quota={quota}"
    if host.get("CgroupParent"):
        yield f"--cgroup-parent={host['CgroupParent']}"


def _namespaces(raw: Raw) -> Iterator[str]:
    mappings = raw["HostConfig"].get("IDMappings") or {}
    yield from (f"--uidmap={each}" for each in mappings.get("UidMap") or ())
    yield from (f"--gidmap={each}" for each in mappings.get("GidMap") or ())
    chosen = given(raw, "--network", "--net")
    if any(":" in each and not each.startswith(("container:", "ns:")) for each in chosen):
        yield from (f"--network={each}" for each in chosen)


def _devices(host: Any) -> Iterator[str]:
    if host.get("Privileged"):
        return
    for each in host.get("Devices") or ():
        rights = f":{each['CgroupPermissions']}" if each.get("CgroupPermissions") else ""
        yield f"--device={each['PathOnHost']}:{each['PathInContainer']}{rights}"


def _ports(raw: Raw, image: Raw) -> Iterator[str]:
    if raw["HostConfig"].get("PublishAllPorts"):
        yield "--publish-all"  # every port is bound by number as well, so none is chosen at random
    known = {**(raw["HostConfig"].get("PortBindings") or {}), **((image.get("Config") or {}).get("ExposedPorts") or {})}
    yield from (f"--expose={port}" for port in raw["Config"].get("ExposedPorts") or () if port not in known)


def _log(log: Any) -> Iterator[str]:
    if log.get("Type"):
        yield f"--log-driver={log['Type']}"
    if log.get("Size") not in (None, "", "0B"):
        yield f"--log-opt=max-size={log['Size'].lower()}"
    if log.get("Tag"):
        yield f"--log-opt=tag={log['Tag']}"
    yield from (f"--log-opt={name}={value}" for name, value in (log.get("Config") or {}).items())


def _startup(check: Any) -> Iterator[str]:
    test = list(check.get("Test") or ())
    if len(test) == 2 and test[0] == "CMD-SHELL":
        yield f"--health-startup-cmd={test[1]}"
        yield f"--health-startup-interval={check.get('Interval', 0)}ns"
        yield f"--health-startup-timeout={check.get('Timeout', 0)}ns"
        yield f"--health-startup-retries={check.get('Retries', 0)}"
        yield f"--health-startup-success={check.get('Successes', 0)}"


def unsupported(raw: Raw) -> tuple[str, ...]:
    """What of this container cannot be recreated elsewhere, in words; empty when all can."""
    host, found = raw["HostConfig"], []
    if raw.get("Pod"):
        found.append(f"it is part of pod {raw['Pod'][:12]}: moving pods is not supported yet")
    for key, word in (("NetworkMode", "network"), ("IpcMode", "IPC"), ("PidMode", "PID"), ("UTSMode", "host name")):
        if str(host.get(key, "")).startswith(("container:", "ns:")) and not raw.get("Pod"):
            found.append(f"it shares the {word} namespace of another container")
    for each in raw.get("Mounts") or ():
        kind, where = each["Type"], each["Destination"]
        if kind not in ("volume", "bind"):
            found.append(f"{where} is a mount of type {kind}, which is not moved")
        elif kind == "bind" and not str(each.get("Source", "")).startswith("/"):
            found.append(f"{where} is a {each.get('Source')} mount, which is not moved")
        elif each.get("SubPath"):
            found.append(f"{where} is a folder within volume {each.get('Name')}, which is not moved")
        elif kind == "volume" and each.get("Driver") not in ("", "local", None):
            found.append(f"volume {each['Name']} uses the driver {each['Driver']}, which is not known here")
    found += [f"it {words}" for flag, words in _UNCARRIED.items() if given(raw, flag)]
    if any(value.endswith(":O") or ":O," in value for value in given(raw, "-v", "--volume")):
        found.append("it has an overlay volume (:O), whose changes podman discards")
    return tuple(found)
