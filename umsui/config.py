"""Settings: TOML, overridden by ``UMSUI_…`` variables. What is not understood is refused, with file, line and key."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from umsui import locations
from umsui.errors import BadInput
from umsui.model import Authority


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class NodeConfig(_Strict):
    """A machine: its name and how SSH reaches it (``user@host:port`` or an alias of ssh_config)."""

    name: Name
    ssh: Annotated[str, Field(min_length=1)]


class ClusterConfig(_Strict):
    """One cluster, as ``[[clusters]]`` has it."""

    name: Name
    provider: Literal["azure", "gcp", "onprem"]
    orchestrator: Literal["podman", "docker", "kubernetes"]
    authority: Authority = Authority.FULL
    protected: bool = False
    nodes: tuple[NodeConfig, ...] = ()
    identity: Path | None = None
    known_hosts: Path | None = None
    lab: bool = False
    subscription: str | None = None
    resource_group: str | None = None
    tags: dict[str, str] = {}
    project: str | None = None
    zones: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()


class CoordinatorConfig(_Strict):
    """How the coordinator works; all times in seconds."""

    poll_watched: Annotated[float, Field(ge=0.5, le=60)] = 2.0
    poll_idle: Annotated[float, Field(ge=1, le=600)] = 10.0
    timeout: Annotated[float, Field(ge=1, le=120)] = 10.0
    probe_interval: Annotated[float, Field(ge=0.002, le=0.1)] = 0.005


class Config(_Strict):
    """All settings, and the file that they came from (None: there was none)."""

    clusters: tuple[ClusterConfig, ...] = ()
    coordinator: CoordinatorConfig = CoordinatorConfig()
    path: Path | None = None


def load(path: Path | None = None) -> Config:
    """The user's config; the lab's, where the user has none; nothing, where there is no lab.

    Raises BadInput naming file, line, key and what is allowed.
    """
    if path is None:
        path = locations.config_file()
        if not path.exists():
            path = locations.lab_config()
    if path is None:
        return Config()
    try:
        text = path.read_text()
        data = tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", code="config") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: {error}", "see `umsui --help` for the format", code="config") from error
    data["coordinator"] = {**data.get("coordinator", {}), **overrides()}
    try:
        config = Config(**{**data, "path": path})
    except ValidationError as error:
        raise BadInput(explain(path, text, error), "correct the file, or remove the key", code="config") from error
    names = [cluster.name for cluster in config.clusters]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{path}: two clusters are called {name}", "give each its own name", code="config")
    return config


def overrides() -> dict[str, str]:
    """``UMSUI_COORDINATOR_POLL_IDLE=5`` and the like."""
    prefix = "UMSUI_COORDINATOR_"
    return {name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)}


def explain(path: Path, text: str, error: ValidationError) -> str:
    """The first error in words: file, line, key, what is allowed."""
    first = error.errors()[0]
    location = [part for part in first["loc"] if part not in ("function-after", "literal")]
    key = ".".join(str(part) for part in location)
    line = find_line(text, location)
    where = f"{path}:{line}" if line else str(path)
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key `{key}`; allowed here: {', '.join(allowed(location))}"
    return f"{where}: `{key}` = {first.get('input')!r}: {first['msg']}"


def allowed(location: list[Any]) -> list[str]:
    """The keys that a table may have."""
    table: type[BaseModel] = Config
    if location[0] == "coordinator":
        table = CoordinatorConfig
    elif location[0] == "clusters":
        table = NodeConfig if "nodes" in location and location[-1] != "nodes" and len(location) > 3 else ClusterConfig
    hidden = {"path"} if table is Config else set()
    return sorted(table.model_fields.keys() - hidden)


def find_line(text: str, location: list[Any]) -> int | None:
    """The line (from 1) of a key: the n-th ``[[clusters]]``, then the key in it; None when it is not found."""
    lines = text.splitlines()
    start = 0
    if len(location) > 1 and isinstance(location[1], int):
        tables = [number for number, line in enumerate(lines) if re.match(rf"\s*\[\[{location[0]}\]\]", line)]
        if location[1] < len(tables):
            start = tables[location[1]]
    elif len(location) > 1:
        start = next((n for n, line in enumerate(lines) if re.match(rf"\s*\[{location[0]}\]", line)), 0)
    keys = [str(part) for part in location if isinstance(part, str)]
    for wanted in reversed(keys):
        for number in range(start, len(lines)):
            if re.search(rf"(^|[{{,\s]){re.escape(wanted)}\s*=", lines[number].split("#")[0]):
                return number + 1
            if number > start and re.match(r"\s*\[", lines[number]):
                break
    return start + 1 if len(location) > 1 else None
