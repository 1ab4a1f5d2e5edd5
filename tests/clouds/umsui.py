"""``umsui`` as a user has it: with a config of its own, and a coordinator of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clouds.local import CREDENTIALS, LocalCloud
from tests.clouds.machines import PROJECT, SUBSCRIPTION


def azure_table(cloud: LocalCloud | None, name: str = "azure-prod", **more: Any) -> dict[str, Any]:
    """A cluster in the local Azure; with no ``cloud`` given, at Azure's own addresses."""
    where = {} if cloud is None else {"endpoint": cloud.url, "authority_host": cloud.url}
    table = {"name": name, "provider": "azure", "orchestrator": "podman", "subscription": SUBSCRIPTION}
    return {**table, **where, **_trust(cloud), "tags": {"umsui": "node"}, "watch": 0, **more}


def google_table(cloud: LocalCloud | None, name: str = "gcp-prod", **more: Any) -> dict[str, Any]:
    """A cluster in the local Google Cloud."""
    where = {} if cloud is None else {"endpoint": cloud.url, "container_endpoint": cloud.url}
    table = {"name": name, "provider": "gcp", "orchestrator": "podman", "project": PROJECT}
    return {**table, **where, **_trust(cloud), "labels": {"umsui": "node"}, "watch": 0, **more}


def _trust(cloud: LocalCloud | None) -> dict[str, str]:
    return {} if cloud is None else {"ca_file": str(cloud.folder.authority)}


def toml(tables: Sequence[Mapping[str, Any]]) -> str:
    """As a config file has them."""

    def value(found: Any) -> str:
        if isinstance(found, Mapping):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(each)}" for key, each in found.items()) + " }"
        return json.dumps(found)

    return "\n".join(
        "[[clusters]]\n" + "".join(f"{key} = {value(each)}\n" for key, each in table.items()) for table in tables
    )


@dataclass
class Umsui:
    """The program in a folder of its own; ``prefix`` goes before its command, ``environment`` on top of ours."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()

    def configure(self, *tables: Mapping[str, Any], coordinator: Mapping[str, Any] | None = None) -> None:
        """Write the config; a coordinator that runs does not read it again."""
        config = self.folder / "config"
        config.mkdir(exist_ok=True)
        patient = {"timeout": 60, "poll_cloud": 600, **(coordinator or {})}  # seconds; this machine may be slow
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in patient.items())
        (config / "config.toml").write_text(f"[coordinator]\n{settings}\n{toml(tables)}")

    def variables(self) -> dict[str, str]:
        """Its environment: nobody's credentials but those given."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(CREDENTIALS)}
        own = {f"UMSUI_{name}_DIR": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        return {**kept, "HOME": str(self.folder), **own, **self.environment}

    def run(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """One command."""
        command = [*self.prefix, sys.executable, "-m", "umsui", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.variables(), timeout=timeout
        )

    def json(self, *arguments: str) -> Any:
        """What a command prints with ``--json``; it must not fail."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def clusters(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """By name."""
        return {each["name"]: each for each in self.json("clusters", *arguments)}

    def end(self) -> None:
        """Its coordinator, too."""
        self.run("coordinator", "stop", "--force")
