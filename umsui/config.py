"""Settings: TOML, overridden by ``UMSUI_…`` variables. What is not understood is refused, with file, line and key."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from umsui import locations
from umsui.errors import BadInput
from umsui.model import Authority

PREFIX = "UMSUI_COORDINATOR_"


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
    text, data = _read(path) if path is not None else ("", {})
    if "path" in data:
        raise _bad(path, text, {"type": "extra_forbidden", "loc": ("path",)})
    coordinator = data.get("coordinator", {})
    if isinstance(coordinator, dict):  # what is no table is refused below
        data["coordinator"] = {**coordinator, **overrides()}
    try:
        config = Config(**{**data, "path": path})
    except ValidationError as error:
        raise _bad(path, text, _first(error)) from error
    names = [cluster.name for cluster in config.clusters]
    for number, name in enumerate(names):
        if name in names[:number]:
            where = place(path, text, ("clusters", number, "name"))
            raise BadInput(f"{where}: two clusters are called {name}", "give each its own name", code="config")
    return config


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", code="config") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: {error.reason}", "save it as UTF-8", code="config") from error
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(found[2]) if found and found[2] else len(text.splitlines())
        words = found[1] if found else str(error)
        raise BadInput(
            f"{path}:{line}: this is not TOML: {words}", "correct the line (https://toml.io)", code="config"
        ) from error


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


def place(path: Path | None, text: str, location: Sequence[str | int]) -> str:
    """``file:line`` of a key, as near as it can be told."""
    line = find_line(text, location)
    return f"{path}:{line}" if line else str(path or "settings")


def find_line(text: str, location: Sequence[str | int]) -> int | None:
    """The line (from 1) of a key; of the table's first key, when the key itself is missing; None for neither.

    However the file is written (inline tables, sub-tables, quoted keys): the place is where another name of the key
    changes what the parser finds at ``location``.
    """
    location = tuple(location)
    while location and isinstance(location[-1], int):
        location = location[:-1]  # an item of a list: the list's key
    if not location:
        return None
    parent = _at(tomllib.loads(text), location[:-1])
    if not isinstance(parent, dict):
        return find_line(text, location[:-1])
    if location[-1] in parent:
        return _line_of(text, location)
    lines = [_line_of(text, (*location[:-1], key)) for key in parent]
    return min((line for line in lines if line), default=None) or find_line(text, location[:-1])


def _line_of(text: str, location: tuple[str | int, ...]) -> int | None:
    other = "renamed-to-find-it"
    for found in re.finditer(rf"(?<![\w-]){re.escape(str(location[-1]))}(?![\w-])", text):
        try:
            data = tomllib.loads(text[: found.start()] + other + text[found.end() :])
        except tomllib.TOMLDecodeError:
            continue
        table = _at(data, location[:-1])
        if isinstance(table, dict) and other in table:
            return text.count("\n", 0, found.start()) + 1
    return None


def _at(data: Any, location: Sequence[str | int]) -> Any:
    for part in location:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data
