"""A Specification as the Engine API's ``POST /containers/create``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backends.orchestrators.docker_inspect import hostname
from backends.orchestrators.inspected import Raw
from umsui.model import Mount, Port, Specification

_NANO = 10**9


def particulars(raw: Raw) -> str:
    """A container's settings in docker's own words (JSON): ``body`` gives them back."""
    config, host = dict(raw["Config"]), dict(raw["HostConfig"])
    if not hostname(raw):
        config.pop("Hostname", None)  # docker makes one of the new container's id
    host.pop("ContainerIDFile", None)
    bound = {str(each).split(":")[1] for each in host.get("Binds") or ()}
    bound |= {str(each["Target"]) for each in host.get("Mounts") or ()}
    nameless = [m for m in raw.get("Mounts") or () if m["Type"] == "volume" and m["Destination"] not in bound]
    # A volume that docker named itself keeps its name, so that its data finds it.
    if nameless:
        host["Binds"] = [*(host.get("Binds") or ()), *(f"{m['Name']}:{m['Destination']}" for m in nameless)]
    networks = {name: _endpoint(raw, each) for name, each in (raw["NetworkSettings"].get("Networks") or {}).items()}
    return json.dumps({**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": networks}})


def _endpoint(raw: Raw, network: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody chose of a network's end, without what docker filled in."""
    own = {raw["Id"][:12]}
    kept = {key: network[key] for key in ("IPAMConfig", "Links", "DriverOpts") if network.get(key)}
    aliases = [alias for alias in network.get("Aliases") or () if alias not in own]
    return {**kept, "Aliases": aliases} if aliases else kept


def body(spec: Specification, particulars: Sequence[str] = ()) -> dict[str, Any]:
    """What to post. With ``particulars`` of a docker container all of its settings are those."""
    if particulars:
        found: dict[str, Any] = json.loads(particulars[0])
        return {**found, "Image": spec.image}
    return _without_nothing(
        {
            "Image": spec.image,
            "Entrypoint": list(spec.entrypoint),
            "Cmd": list(spec.command),
            "Env": [f"{name}={value}" for name, value in spec.environment.items()],
            "Labels": dict(spec.labels),
            "ExposedPorts": {_port(port): {} for port in spec.ports},
            "Hostname": spec.hostname,
            "User": spec.user,
            "WorkingDir": spec.workdir,
            "StopSignal": spec.stop_signal,
            "StopTimeout": spec.stop_timeout,
            "Tty": spec.tty,
            "Healthcheck": _health(spec.health),
            "HostConfig": _without_nothing(_host(spec)),
        }
    )


def _host(spec: Specification) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        bindings.setdefault(_port(port), []).append({"HostIp": port.address, "HostPort": str(port.host)})
    policy, _, count = spec.restart.partition(":")
    return {
        "Annotations": dict(spec.annotations),
        "PortBindings": bindings,
        "Binds": [_bind(mount) for mount in spec.mounts if mount.kind in ("volume", "bind")],
        "Tmpfs": {mount.destination: _tmpfs(mount) for mount in spec.mounts if mount.kind == "tmpfs"},
        "NetworkMode": spec.network,
        "CgroupnsMode": spec.cgroupns,
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(count or 0)},
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "SecurityOpt": list(spec.security_options),
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "Memory": spec.memory_limit,
        "NanoCpus": round(spec.cpu_limit * _NANO),
        "PidsLimit": spec.pids_limit,
        "ShmSize": spec.shm_size,
        "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in spec.ulimits.items()],
    }


def _port(port: Port) -> str:
    return f"{port.container}/{port.protocol}"


def _bind(mount: Mount) -> str:
    kept = ("z", "Z", "nocopy") if mount.kind == "volume" else ("z", "Z", "shared", "rshared", "slave", "rslave")
    options = [option for option in mount.options if option in kept]
    return f"{mount.source}:{mount.destination}:{','.join(['ro' if mount.read_only else 'rw', *options])}"


def _tmpfs(mount: Mount) -> str:
    """Its options, but for what podman adds and docker does not know."""
    return ",".join(option for option in mount.options if option != "tmpcopyup" and "private" not in option)


def _health(health: Mapping[str, Any]) -> dict[str, Any]:
    if not health.get("test"):
        return {}
    times = {
        name: round(float(health.get(key, 0)) * _NANO)
        for name, key in (("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start_period"))
    }
    return {"Test": list(health["test"]), **times, "Retries": int(health.get("retries", 0))}


def _without_nothing(settings: dict[str, Any]) -> dict[str, Any]:
    """What was not chosen is left to docker."""
    return {key: value for key, value in settings.items() if value not in (None, "", 0, [], {}, False)}
