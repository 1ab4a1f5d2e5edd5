"""Themes: one TOML file each. Ours are in the ``themes`` folder beside the package, a user's own in that of the config;
one of theirs may have the name of one of ours and goes before it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

import umsui
from umsui import locations, toml
from umsui.errors import BadInput

FOLDER = Path(umsui.__file__).parent.parent / "themes"
DEFAULT = "dark"
PLAIN = "mono"

DEFAULTS = {
    "dim": "$foreground 75%",
    "faint": "$foreground 60%",
    "track": "$foreground 40%",
    "border": "$foreground 25%",
    "selected-background": "$primary 25%",
    "selected-style": "none",
    "marked-background": "$accent 20%",
    "marked-style": "none",
    "drop-background": "$success 30%",
    "deny-background": "$error 30%",
    "hint-style": "none",
    "title-style": "bold",
    "creation": "$primary",
    "checkpoint": "$secondary",
    "transfer": "$success",
    "restoration": "$warning",
    "wire": "$primary",
    "outage": "$error",
    "label-style": "bold",
    "ghost-style": "bold",
    "ghost-background": "$primary 40%",
}
"""Variables that a theme may leave out."""

NEEDED = ("primary", "secondary", "accent", "success", "warning", "error", "foreground", "background")
OPTIONAL = ("surface", "panel", "boost")


def user_folder() -> Path:
    """Where a user's own are."""
    return locations.config_dir() / "themes"


def load(path: Path) -> Theme:
    """One theme. Raises BadInput naming file and line of what is wrong in it."""
    text, data = toml.read(path)
    colors = data.get("colors")
    if not isinstance(colors, dict):
        raise BadInput(f"{path}:1: a theme needs a table [colors]", f"it has: {', '.join(NEEDED)}", code="theme")
    for key in NEEDED:
        if key not in colors:
            raise _bad(path, text, ("colors", key), f"the colour {key} is missing")
    for key in colors:
        if key not in (*NEEDED, *OPTIONAL):
            near = difflib.get_close_matches(key, (*NEEDED, *OPTIONAL), 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise _bad(path, text, ("colors", key), f"there is no colour {key}{meant}")
        _color(path, text, ("colors", key), colors[key])
    own = data.get("variables", {})
    for key, value in own.items():
        if not key.endswith("-style"):
            _color(path, text, ("variables", key), value)
    ansi = data.get("ansi") is True
    variables = {name: _resolved(value, colors) for name, value in DEFAULTS.items()}
    if ansi:
        variables |= BUILTIN_THEMES["ansi-dark"].variables
    variables |= {str(key): str(value) for key, value in own.items()}
    return Theme(name=path.stem, dark=data.get("dark") is not False, ansi=ansi, variables=variables, **colors)


def _bad(path: Path, text: str, where: tuple[str, ...], what: str) -> BadInput:
    return BadInput(
        f"{toml.place(path, text, where)}: {what}", "correct the line; it is read again at once", code="theme"
    )


def _color(path: Path, text: str, where: tuple[str, ...], value: Any) -> None:
    try:
        Color.parse(str(value))
    except ColorParseError as error:
        raise _bad(path, text, where, f"{value!r} is no colour for {where[-1]}") from error


def _resolved(value: str, colors: dict[str, Any]) -> str:
    """``$primary 25%``: the theme's own primary, so strong on its background."""
    if not value.startswith("$"):
        return value
    name, _, percent = value.partition(" ")
    color = Color.parse(str(colors[name[1:]]))
    if not percent or color.ansi is not None:
        return str(colors[name[1:]])
    background = Color.parse(str(colors["background"]))
    return background.blend(color, float(percent.rstrip("%")) / 100, 1.0).hex


@dataclass(slots=True)
class Library:
    """All themes by name, read again when a file changes."""

    themes: dict[str, Theme] = field(default_factory=dict)
    _seen: dict[Path, int] = field(default_factory=dict)  # modification times

    def read(self) -> tuple[list[Theme], list[str]]:
        """Take in what changed since the last time: the themes that are new, and what is wrong with files."""
        found = {path: path.stat().st_mtime_ns for folder in (FOLDER, user_folder()) for path in _files(folder)}
        changed = [path for path in found if self._seen.get(path) != found[path]]
        own = {path.stem for path in found if path.parent != FOLDER}
        self._seen = found
        new, problems = [], []
        for path in changed:
            if path.parent == FOLDER and path.stem in own:
                continue
            try:
                theme = load(path)
            except BadInput as error:
                problems.append(str(error))
            else:
                self.themes[theme.name] = theme
                new.append(theme)
        return new, problems


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.toml"))
    except OSError:
        return []
