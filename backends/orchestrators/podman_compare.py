"""Two containers compared by ``podman inspect``, field by field, but for what must differ between two hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backends.orchestrators.podman_inspect import Raw, hostname, own_annotations, security_options, ulimits, variables

_IDENTITY = {
    # which container it is, and what it has been doing
    *("Id", "Name", "Created", "State", "RestartCount", "ExecIDs", "lockNumber"),
    # where this host keeps its files
    *("ResolvConfPath", "HostnamePath", "HostsPath", "StaticDir", "OCIConfigPath", "ConmonPidFile", "PidFile"),
    *("GraphDriver", "Driver", "MountLabel", "ProcessLabel"),
    # the manifest's digest changes when an image is copied by its layers; the image's id does not
    "ImageDigest",
    "NetworkSettings",  # addresses; names and ports are taken out of it below
}
_CONFIG = {"CreateCommand", "Hostname", "Env", "Annotations"}
_HOST = {"Annotations", "Binds", "CgroupManager", "ContainerIDFile", "SecurityOpt", "Ulimits", "PidsLimit", "Tmpfs"}
_PRIVILEGED = {"BoundingCaps", "EffectiveCaps", "CapAdd", "CapDrop", "Devices"}  # all that the host has
_AT_START = ("HOME", "HOSTNAME", "TERM", "container")  # podman adds these to the environment at the first start
_UNORDERED = {"CapAdd", "CapDrop", "BoundingCaps", "EffectiveCaps", "GroupAdd", "Dependencies"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not the same; None where one side does not have it."""

    path: str  # "HostConfig.Memory"
    source: Any
    destination: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.source!r} at the source, {self.destination!r} at the destination"


def compare(source: Raw, destination: Raw) -> list[Difference]:
    """What is not equal between two ``podman inspect`` documents, by path; values of variables are not shown."""
    privileged = bool(source["HostConfig"].get("Privileged") and destination["HostConfig"].get("Privileged"))
    sides = [dict(_flat("", _settings(raw, privileged))) for raw in (source, destination)]
    found = [
        Difference(path, sides[0].get(path), sides[1].get(path))
        for path in sorted({*sides[0], *sides[1]})
        if sides[0].get(path) != sides[1].get(path)
    ]
    return found + _environment(source, destination)


def _environment(source: Raw, destination: Raw) -> list[Difference]:
    a, b = variables(source["Config"].get("Env")), variables(destination["Config"].get("Env"))
    found = []
    for name in sorted({*a, *b}):
        if name in _AT_START and (name == "HOSTNAME" or name not in a or name not in b):
            continue
        if a.get(name) != b.get(name):
            # Variables hold secrets: say which one, not what is in it.
            one, other = ("set" if name in side else None for side in (a, b))
            found.append(Difference(f"Config.Env.{name}", one, "set to something else" if one and other else other))
    return found


def _settings(raw: Raw, privileged: bool) -> dict[str, Any]:
    dropped = _PRIVILEGED if privileged else set()
    config = {key: value for key, value in raw["Config"].items() if key not in _CONFIG}
    host = {key: value for key, value in raw["HostConfig"].items() if key not in _HOST | dropped}
    if isinstance(host.get("LogConfig"), dict):
        host["LogConfig"] = {key: value for key, value in host["LogConfig"].items() if key != "Path"}
    config["Hostname"] = hostname(raw)
    config["Annotations"] = own_annotations(raw)
    host["SecurityOpt"] = sorted(security_options(raw))
    host["Ulimits"] = ulimits(raw)
    host["PidsLimit"] = max(0, int(raw["HostConfig"].get("PidsLimit") or 0))  # 0 and -1 both mean no limit
    host["PortBindings"] = {  # podman lists the bindings of one port in any order
        port: sorted(bindings or (), key=str)
        for port, bindings in (raw["HostConfig"].get("PortBindings") or {}).items()
    }
    host["Tmpfs"] = {
        destination: sorted(str(options).split(","))
        for destination, options in (raw["HostConfig"].get("Tmpfs") or {}).items()
    }
    rest = {key: value for key, value in raw.items() if key not in _IDENTITY | dropped | {"Config", "HostConfig"}}
    rest["Mounts"] = {each["Destination"]: _mount(each) for each in raw.get("Mounts") or ()}
    return {**rest, "Config": config, "HostConfig": host, "Networks": _networks(raw)}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in mount.items() if key != "Destination"}
    kept["Options"] = sorted(mount.get("Options") or ())
    if mount.get("Type") == "volume":
        kept.pop("Source", None)  # where this host keeps the volume
    return kept


def _networks(raw: Raw) -> dict[str, Any]:
    """The networks by name, each with the aliases that somebody chose."""
    own = {raw["Id"][:12], raw["Name"], raw["Config"].get("Hostname")}
    networks = raw["NetworkSettings"].get("Networks") or {}
    return {name: sorted(set(each.get("Aliases") or ()) - own) for name, each in networks.items()}


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        if not value and path:
            return  # podman writes {} and null for the same thing
        for key, each in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), each)
    elif isinstance(value, list) and path.rpartition(".")[2] in _UNORDERED:
        yield path, sorted(map(str, value)) or None
    else:
        yield path, None if value in ([], "") else value
