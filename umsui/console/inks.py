"""Inks: the names that lines are painted with, and what they are in a theme.

Not CSS component classes: every widget would carry all of them, and Textual would match each against every rule
whenever a class changes anywhere. That costs a tenth of a second a screen; a dictionary a theme costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.style import Style
from textual.color import Color


@dataclass(frozen=True, slots=True)
class Ink:
    """Names of theme variables: a colour, a background, and a text style (a variable, or the style itself)."""

    color: str = ""
    background: str = ""
    style: str = ""


INKS: Mapping[str, Ink] = {
    "text": Ink("foreground"),
    "dim": Ink("dim"),
    "faint": Ink("faint"),
    "track": Ink("track"),
    "bold": Ink(style="bold"),
    "name": Ink("foreground", style="bold"),
    "title": Ink("foreground", style="title-style"),
    "ok": Ink("success"),
    "warn": Ink("warning"),
    "bad": Ink("error", style="bold"),
    "accent": Ink("accent", style="bold"),
    "bar": Ink("primary"),
    "badge": Ink("primary", style="bold"),
    "key": Ink("primary", style="bold"),
    "outage": Ink("outage"),
    "label": Ink("outage", style="label-style"),
    "creation": Ink("creation"),
    "checkpoint": Ink("checkpoint"),
    "transfer": Ink("transfer"),
    "restoration": Ink("restoration"),
    "wire": Ink("wire"),
    "selected": Ink(background="selected-background", style="selected-style"),
    "marked": Ink(background="marked-background", style="marked-style"),
    "drop": Ink(background="drop-background", style="hint-style"),
    "deny": Ink(background="deny-background", style="hint-style"),
}


def palette(variables: Mapping[str, str]) -> dict[str, Style]:
    """Every ink as a style, from a theme's variables."""
    return {name: _style(ink, variables) for name, ink in INKS.items()}


def _style(ink: Ink, variables: Mapping[str, str]) -> Style:
    words = variables.get(ink.style, ink.style).split()
    return Style(
        color=Color.parse(variables[ink.color]).rich_color if ink.color else None,
        bgcolor=Color.parse(variables[ink.background]).rich_color if ink.background else None,
        bold=True if "bold" in words else None,
        reverse=True if "reverse" in words else None,
        underline=True if "underline" in words else None,
        italic=True if "italic" in words else None,
    )
