"""Two containers compared by ``podman inspect``, field by field, but for what must differ between two hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.orchestrators.compare import Difference, differences, variables_differ
from backends.orchestrators.inspected import Raw, variables
from backends.orchestrators.podman_inspect import hostname, own_annotations, security_options, ulimits

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


def compare(source: Raw, destination: Raw) -> list[Difference]:
    """What is not equal between two ``podman inspect`` documents, by path; values of variables are not shown."""
    privileged = bool(source["HostConfig"].get("Privileged") and destination["HostConfig"].get("Privileged"))
    found = differences(_settings(source, privileged), _settings(destination, privileged))
    one, other = variables(source["Config"].get("Env")), variables(destination["Config"].get("Env"))
    late = {name for name in _AT_START if name == "HOSTNAME" or name not in one or name not in other}
    sides = [{name: value for name, value in side.items() if name not in late} for side in (one, other)]
    return [*found, *variables_differ(*sides)]


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
