"""What on this machine could be a cluster: read from files that other tools leave; nothing is run or connected to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Value = str | Sequence[str] | Sequence[Mapping[str, str]]
GENERIC = {"github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "ssh.dev.azure.com"}
"""Hosts that ssh_config often names and that run no containers of ours."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A cluster that the config could have."""

    name: str
    what: str  # for people
    where: str  # what it was found in
    keys: Mapping[str, Value] = field(default_factory=dict)
    note: str = ""  # what the operator has to see to


def proposals(home: Path | None = None) -> list[Proposal]:
    """All that are found, each name once. Files that cannot be read are passed over."""
    home = home or Path.home()
    found: list[Proposal] = []
    for source in (_ssh_hosts, _docker_contexts, _kube_contexts, _azure, _google):
        with suppress(OSError, ValueError, KeyError, TypeError):
            found += source(home)
    return _named(found)


def _named(found: Sequence[Proposal]) -> list[Proposal]:
    """With names that the config takes, and that differ."""
    out: dict[str, Proposal] = {}
    for each in found:
        name = _name(each.name)
        number, unique = 2, name
        while unique in out:
            unique, number = f"{name}-{number}", number + 1
        out[unique] = Proposal(unique, each.what, each.where, each.keys, each.note)
    return list(out.values())


def _name(text: str) -> str:
    """As the config takes names."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "unnamed"


def _ssh_hosts(home: Path) -> Iterator[Proposal]:
    """One cluster of all hosts that ssh_config names, patterns and code forges left out."""
    path = home / ".ssh" / "config"
    hosts = [host for host in _hosts(path, set()) if host not in GENERIC]
    if hosts:
        nodes = [{"name": _name(host), "ssh": host} for host in hosts]
        keys: dict[str, Value] = {"provider": "onprem", "orchestrator": "podman", "nodes": nodes}
        what = f"{len(hosts)} hosts: {', '.join(hosts[:5])}{' …' if len(hosts) > 5 else ''}"
        note = 'remove the lines of hosts without podman; those with docker want a cluster with orchestrator = "docker"'
        yield Proposal("onprem", what, str(path), keys, note)


def _hosts(path: Path, seen: set[Path]) -> Iterator[str]:
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split("#")[0].replace("=", " ").split()
        if len(words) < 2:
            continue
        if words[0].lower() == "host":
            yield from (word for word in words[1:] if not set(word) & set("*?!"))
        elif words[0].lower() == "include":
            for pattern in words[1:]:
                for each in sorted(path.parent.glob(pattern.removeprefix("~/.ssh/"))):
                    yield from _hosts(each, seen)


def _docker_contexts(home: Path) -> Iterator[Proposal]:
    """Contexts that are reached over SSH: the node is the same host."""
    for path in sorted((home / ".docker" / "contexts" / "meta").glob("*/meta.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        address = str(data["Endpoints"]["docker"]["Host"])
        if address.startswith("ssh://"):
            node = {"name": _name(str(data["Name"])), "ssh": address.removeprefix("ssh://").rstrip("/")}
            keys: dict[str, Value] = {"provider": "onprem", "orchestrator": "docker", "nodes": [node]}
            yield Proposal(str(data["Name"]), f"docker context, {address}", str(path), keys)


def _kube_contexts(home: Path) -> Iterator[Proposal]:
    """Every context of the kubeconfig; the cloud it is in shows in its name."""
    import yaml  # noqa: PLC0415  (slow to import, and seldom needed)

    paths = os.environ.get("KUBECONFIG", "").split(os.pathsep) if os.environ.get("KUBECONFIG") else []
    for path in [Path(each) for each in paths] or [home / ".kube" / "config"]:
        if not path.is_file():
            continue
        try:
            contexts = yaml.safe_load(path.read_text(encoding="utf-8"))["contexts"] or []
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: {error}") from error
        for context in contexts:
            name = str(context["name"])
            provider = "gcp" if name.startswith("gke_") else "azure" if "aks" in name.lower() else "onprem"
            keys: dict[str, Value] = {
                "provider": provider, "orchestrator": "kubernetes", "authority": "limited",
                "kubeconfig": str(path), "context": name,
            }  # fmt: skip
            note = 'say authority = "full" if its nodes are yours'
            yield Proposal(name, f"kubernetes context {name}", str(path), keys, note)


def _azure(home: Path) -> Iterator[Proposal]:
    """Subscriptions that `az login` has left."""
    path = Path(os.environ.get("AZURE_CONFIG_DIR", home / ".azure")) / "azureProfile.json"
    if not path.is_file():
        return
    for each in json.loads(path.read_text(encoding="utf-8-sig")).get("subscriptions", []):
        if each.get("state", "Enabled") == "Enabled":
            keys: dict[str, Value] = {"provider": "azure", "orchestrator": "podman", "subscription": str(each["id"])}
            yield Proposal(f"azure-{each['name']}", f"Azure subscription {each['name']}", str(path), keys)


def _google(home: Path) -> Iterator[Proposal]:
    """Projects of gcloud's configurations."""
    folder = Path(os.environ.get("CLOUDSDK_CONFIG", home / ".config" / "gcloud")) / "configurations"
    for path in sorted(folder.glob("config_*")):
        parser = ConfigParser()
        parser.read(path, encoding="utf-8")
        project = parser.get("core", "project", fallback="")
        if project:
            keys: dict[str, Value] = {"provider": "gcp", "orchestrator": "podman", "project": project}
            if zone := parser.get("compute", "zone", fallback=""):
                keys["zones"] = [zone]
            yield Proposal(f"gcp-{project}", f"Google Cloud project {project}", str(path), keys)


def document(taken: Sequence[Proposal]) -> str:
    """The config file, as TOML."""
    lines = ["# Made by `umsui init`. `umsui doctor` tells what the nodes lack; docs/clouds.md has all keys."]
    for each in taken:
        lines += ["", "[[clusters]]", f"name = {_toml(each.name)}".ljust(30) + f"  # {each.what}"]
        lines += [f"# {each.note}"] if each.note else []
        lines += [f"{key} = {_toml(value)}" for key, value in each.keys.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    items = [_toml(item) for item in value]
    return "[" + ", ".join(items) + "]" if len(items) < 2 else "[\n" + "".join(f"  {item},\n" for item in items) + "]"
