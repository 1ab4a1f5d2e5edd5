"""Settings: TOML, overridden by ``UMSUI_…`` variables. What is not understood is refused, with file, line and key."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from umsui import locations
from umsui.errors import BadInput
from umsui.model import Authority
from umsui.toml import place, read

PREFIX = "UMSUI_COORDINATOR_"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Text = Annotated[str, Field(min_length=1)]


def _url(text: str) -> str:
    if not re.fullmatch(r"https://[^/\s]+/?", text):
        raise ValueError
    return text.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]

ONLY: Mapping[str, Sequence[str]] = {
    "azure": ("subscription", "resource_group", "tags", "authority_host"),
    "gcp": ("project", "zones", "labels", "container_endpoint"),
    "onprem": ("ssh_hosts", "inventory", "group"),
}
"""Keys that only one provider understands."""


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
    subscription: Text | None = None
    resource_group: Text | None = None
    tags: dict[str, str] = {}
    authority_host: Text | None = None
    project: Text | None = None
    zones: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    container_endpoint: Url | None = None
    endpoint: Url | None = None
    ca_file: Path | None = None
    ssh_hosts: tuple[Text, ...] = ()
    inventory: Path | None = None
    group: Text = "all"
    ssh_user: Text | None = None
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = 22
    address: Literal["public", "private"] | None = None
    prices: dict[str, Annotated[float, Field(ge=0)]] = {}
    watch: Annotated[int, Field(ge=0, le=2000)] = 200
    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()


class CoordinatorConfig(_Strict):
    """How the coordinator works; all times in seconds."""

    poll_watched: Annotated[float, Field(ge=0.5, le=60)] = 2.0
    poll_idle: Annotated[float, Field(ge=1, le=600)] = 10.0
    poll_cloud: Annotated[float, Field(ge=1, le=3600)] = 60.0
    timeout: Annotated[float, Field(ge=1, le=120)] = 10.0
    probe_interval: Annotated[float, Field(ge=0.002, le=0.1)] = 0.005


class Config(_Strict):
    """All settings, and the file that they came from (None: there was none)."""

    clusters: tuple[ClusterConfig, ...] = ()
    coordinator: CoordinatorConfig = CoordinatorConfig()
    console: dict[
        str, Any
    ] = {}  # the console's own (umsui/console/settings.py): what is wrong there stops no migration
    keys: dict[str, Any] = {}
    path: Path | None = None


def load(path: Path | None = None) -> Config:
    """The user's config; the lab's, where the user has none; nothing, where there is no lab.

    Raises BadInput naming file, line, key and what is allowed.
    """
    if path is None:
        path = locations.config_file()
        if not path.exists():
            path = locations.lab_config()
    text, data = read(path) if path is not None else ("", {})
    if "path" in data:
        raise _bad(path, text, {"type": "extra_forbidden", "loc": ("path",)})
    coordinator = data.get("coordinator", {})
    if isinstance(coordinator, dict):  # what is no table is refused below
        data["coordinator"] = {**coordinator, **overrides()}
    try:
        config = Config(**{**data, "path": path})
    except ValidationError as error:
        raise _bad(path, text, _first(error)) from error
    for number, cluster in enumerate(config.clusters):
        _refuse_misplaced(path, text, number, cluster)
    names = [cluster.name for cluster in config.clusters]
    for number, name in enumerate(names):
        if name in names[:number]:
            where = place(path, text, ("clusters", number, "name"))
            raise BadInput(f"{where}: two clusters are called {name}", "give each its own name", code="config")
    return config


def _refuse_misplaced(path: Path | None, text: str, number: int, cluster: ClusterConfig) -> None:
    """A key that its provider does not understand."""
    for provider, keys in ONLY.items():
        for key in keys:
            if provider != cluster.provider and key in cluster.model_fields_set:
                where = place(path, text, ("clusters", number, key))
                said = f"{where}: `{key}` is for provider {provider}, and {cluster.name} has {cluster.provider}"
                fix = f"remove the key; {cluster.provider} has: {', '.join(ONLY[cluster.provider])}"
                raise BadInput(said, fix, code="config")


def overrides() -> dict[str, str]:
    """``UMSUI_COORDINATOR_POLL_IDLE=5`` and the like."""
    return {name.removeprefix(PREFIX).lower(): value for name, value in os.environ.items() if name.startswith(PREFIX)}


def _first(error: ValidationError) -> Mapping[str, Any]:
    """A key that is not known says more than the one that is therefore missing."""
    found = error.errors()
    return next((each for each in found if each["type"] == "extra_forbidden"), found[0])


def _bad(path: Path | None, text: str, error: Mapping[str, Any]) -> BadInput:
    """One of pydantic's errors as ours: where, which key, what is allowed."""
    location = error["loc"]
    key = ".".join(str(part) for part in location if isinstance(part, str))
    where, fix = place(path, text, location), "correct it, or remove the key"
    if location[0] == "coordinator" and location[-1] in overrides():
        where, key, fix = "environment", f"{PREFIX}{str(location[-1]).upper()}", "correct the variable, or unset it"
    if error["type"] == "extra_forbidden":
        choices = allowed(location)
        near = difflib.get_close_matches(str(location[-1]), choices, 1)
        meant = f" (did you mean `{near[0]}`?)" if near else ""
        return BadInput(f"{where}: unknown key `{key}`{meant}; allowed here: {', '.join(choices)}", fix, code="config")
    return BadInput(f"{where}: `{key}` {complaint(error)}", fix, code="config")


def complaint(error: Mapping[str, Any]) -> str:
    """What is wrong with a value and what is allowed, from one of pydantic's errors."""
    kind, limits = str(error["type"]), error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind in ("literal_error", "enum"):
        limits = {"expected": str(limits["expected"]).replace("'", "").replace(" or ", ", ")}
    allowed_here = next((words for start, words in ALLOWED.items() if kind.startswith(start)), "")
    if not allowed_here:
        return f"= {_shown(error)} is not allowed: {error['msg']}"
    return f"= {_shown(error)} is not allowed; it must be {allowed_here.format(**limits)}"


def _shown(error: Mapping[str, Any]) -> str:
    value = error.get("input")
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


ALLOWED = {
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "string_pattern": "letters, digits, and after the first of them also . _ -",
    "string_too_short": "a text that is not empty",
    "string": "a text in quotes",
    "value_error": "https://HOST or https://HOST:PORT",
    "path": "a path in quotes",
    "bool": "true or false",
    "float": "a number",
    "finite": "a number",
    "int": "a whole number",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "tuple": "a list: [ … ]",
    "list": "a list: [ … ]",
    "dict": "a table: {{ key = … }}",
    "model": "a table: {{ key = … }}",
    "dataclass": "an object",
}
"""What is allowed, in words, by how the type of pydantic's error begins."""


def allowed(location: Sequence[str | int]) -> list[str]:
    """The keys that the table around a key may have."""
    table: type[BaseModel] = Config
    if len(location) > 1 and location[0] == "coordinator":
        table = CoordinatorConfig
    elif len(location) > 1 and location[0] == "clusters":
        table = NodeConfig if len(location) > 3 and location[2] == "nodes" else ClusterConfig
    return sorted(table.model_fields.keys() - ({"path"} if table is Config else set()))
