"""Two containers compared by ``docker inspect``, field by field, but for what must differ between two hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.orchestrators.compare import Difference, differences, variables_differ
from backends.orchestrators.docker_inspect import hostname
from backends.orchestrators.inspected import Raw, variables

_IDENTITY = {
    # which container it is, and what it has been doing
    *("Id", "Name", "Created", "State", "RestartCount", "ExecIDs"),
    # where this host keeps its files
    *("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "Driver", "MountLabel", "ProcessLabel"),
    # of the image's manifest as this host's store has it; the image's id is compared
    "ImageManifestDescriptor",
    "AppArmorProfile",  # as of the last start, "" where the host has no AppArmor; SecurityOpt has what was chosen
    "NetworkSettings",  # addresses; names and aliases are taken out of it below
}
_CONFIG = {"Hostname", "Env"}
_HOST = {"Binds", "ContainerIDFile", "PortBindings"}  # Mounts has what binds come to


def compare(source: Raw, destination: Raw) -> list[Difference]:
    """What is not equal between two ``docker inspect`` documents, by path; values of variables are not shown."""
    sides = [variables(raw["Config"].get("Env")) for raw in (source, destination)]
    return [*differences(_settings(source), _settings(destination)), *variables_differ(*sides)]


def _settings(raw: Raw) -> dict[str, Any]:
    config = {key: value for key, value in raw["Config"].items() if key not in _CONFIG}
    host = {key: value for key, value in raw["HostConfig"].items() if key not in _HOST}
    config["Hostname"] = hostname(raw)
    host["PortBindings"] = {
        port: sorted(bindings or (), key=str)
        for port, bindings in (raw["HostConfig"].get("PortBindings") or {}).items()
    }
    rest = {key: value for key, value in raw.items() if key not in _IDENTITY | {"Config", "HostConfig"}}
    rest["Mounts"] = {each["Destination"]: _mount(each) for each in raw.get("Mounts") or ()}
    return {**rest, "Config": config, "HostConfig": host, "Networks": _networks(raw)}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in mount.items() if key != "Destination"}
    if mount.get("Type") == "volume":
        kept.pop("Source", None)  # where this host keeps the volume
        kept.pop("Mode", None)  # "" or "z", as it was asked for; RW tells what came of it
    return kept


def _networks(raw: Raw) -> dict[str, Any]:
    """The networks by name, each with the aliases that somebody chose."""
    networks = raw["NetworkSettings"].get("Networks") or {}
    return {name: sorted(set(each.get("Aliases") or ()) - {raw["Id"][:12]}) for name, each in networks.items()}
