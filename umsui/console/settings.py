"""The console's part of the config: ``[console]`` and ``[keys]``. Read without the coordinator's strictness: what is
wrong here is said on screen, one toast each, and the rest holds."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umsui import locations, toml
from umsui.errors import BadInput

PREFIX = "UMSUI_CONSOLE_"
ALLOWED: Mapping[str, type] = {"theme": str, "mouse": bool, "parallel": int}
_WORDS = {str: "a text in quotes", bool: "true or false", int: "a whole number from 1 to 16"}


@dataclass(slots=True)
class Settings:
    """What an operator has set."""

    theme: str = ""  # "" is the default, or mono under NO_COLOR
    mouse: bool = True
    parallel: int = 2  # migrations at a time, when many are moved at once
    keys: dict[str, str] = field(default_factory=dict)  # action id -> keys
    problems: list[str] = field(default_factory=list)  # each with its file and line


def load(path: Path | None = None) -> Settings:
    """From the config file (the lab's, where the user has none), overridden by ``UMSUI_CONSOLE_…`` variables."""
    settings = Settings()
    path = path or locations.config_file()
    if not path.exists():
        path = locations.lab_config() or path
    text, data = "", dict[str, Any]()
    if path.exists():
        try:
            text, data = toml.read(path)
        except BadInput as error:
            settings.problems.append(str(error))
    _console(settings, data.get("console", {}), lambda key: toml.place(path, text, ("console", key)))
    for key, kind in ALLOWED.items():
        if (value := os.environ.get(f"{PREFIX}{key.upper()}")) is not None:
            _console(settings, {key: _parsed(value, kind)}, lambda key: f"{PREFIX}{key.upper()}")
    if keys := data.get("keys", {}):
        from umsui.console import rebinding  # noqa: PLC0415  (Textual's names of keys: only when there are some)

        settings.keys, complaints = rebinding.accepted(keys if isinstance(keys, dict) else {})
        settings.problems += [f"{toml.place(path, text, where)}: {what}" for where, what in complaints]
    return settings


def _parsed(value: str, kind: type) -> Any:
    if kind is bool:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(value.lower(), value)
    return int(value) if kind is int and value.isdecimal() else value


def _console(settings: Settings, table: Any, where: Any) -> None:
    for key, value in table.items() if isinstance(table, dict) else ():
        kind = ALLOWED.get(key)
        if kind is None:
            near = difflib.get_close_matches(key, ALLOWED, 1)
            meant = f" (did you mean `{near[0]}`?)" if near else ""
            settings.problems.append(f"{where(key)}: unknown key `console.{key}`{meant}; allowed: {', '.join(ALLOWED)}")
        elif type(value) is not kind or (kind is int and value not in range(1, 17)):
            settings.problems.append(
                f"{where(key)}: `console.{key}` = {value!r} is not allowed; it must be {_WORDS[kind]}"
            )
        else:
            setattr(settings, key, value)
