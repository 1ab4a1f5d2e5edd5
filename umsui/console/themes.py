"""Themes: one TOML file each, ours from the ``themes`` folder beside the package."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

import umsui

FOLDER = Path(umsui.__file__).parent.parent / "themes"
DEFAULT = "dark"
PLAIN = "mono"

DEFAULTS = {
    "dim": "$foreground 65%",
    "faint": "$foreground 40%",
    "border": "$foreground 25%",
    "selected-background": "$primary 25%",
    "selected-style": "none",
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


def load(path: Path) -> Theme:
    """One theme; raises ``ValueError`` with the file's name for anything that is not one."""
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        colors = dict(data["colors"])
        variables = {name: _resolved(value, colors) for name, value in DEFAULTS.items()}
        if data.get("ansi"):
            variables |= BUILTIN_THEMES["ansi-dark"].variables
        variables |= {str(key): str(value) for key, value in data.get("variables", {}).items()}
        return Theme(name=path.stem, dark=bool(data.get("dark", True)), ansi=bool(data.get("ansi", False)),
                     variables=variables, **colors)  # fmt: skip
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ColorParseError) as error:
        raise ValueError(f"{path}: not a theme: {error}") from error


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


def load_all(folder: Path = FOLDER) -> list[Theme]:
    """Every theme of a folder, by name; files that are none are left out."""
    themes = []
    for path in sorted(folder.glob("*.toml")):
        try:
            themes.append(load(path))
        except ValueError:
            continue
    return themes
