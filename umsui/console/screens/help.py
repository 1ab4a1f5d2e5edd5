"""All keys, and what the signs mean; made from the registry, so it cannot be out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll

from umsui.console import keymap
from umsui.console.screens.dialog import Dialog
from umsui.console.text import Line, column, pad, wrap
from umsui.console.widgets.canvas import Sheet
from umsui.console.widgets.lines import KeyLine

if TYPE_CHECKING:
    from umsui.console.app import Console

SIGNS = (
    ("● live, up", "ok", "seen within its time; running"),
    ("◍ ✕ stale", "warn", "as last seen; its age is beside it"),
    ("◍ up?", "warn", "so it was: its node does not answer"),
    ("⇄ 64 %", "accent", "moving away, so much has gone"),
    ("◔ arriving", "accent", "its place at the other end"),
    ("O S C", "badge", "how it would move: by orchestrator,"),
    ("", "text", "service or container"),
    ("✕", "bad", "cannot move; the card says why"),
    ("◆ protected", "warn", "a move asks for the service's name"),
    ("⚠ exposed", "warn", "losing the source loses the service"),
)
MOUSE = (
    ("drag a card", "", "to another cluster; starts nothing yet"),
    ("double click", "", "opens service or migration"),
    ("click", "", "status line, tabs, keys"),
)


NEAR = {"board": ("board", "drag", "plan"), "": ("board",)}
"""Scopes that belong together; others stand alone."""


class HelpSheet(Sheet):
    """Sections, flowing into two columns: those of the screen that one is at, or of all."""

    def __init__(self, scope: str) -> None:
        super().__init__()
        self._scope = scope
        self.every = False

    _laid_out: tuple[int, list[Line]] = (0, [])

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Nothing here changes: laid out once a width."""
        if self._laid_out[0] != width:
            self._laid_out = width, self._columns(width)
        return self._laid_out[1]

    def _columns(self, width: int) -> list[Line]:
        """Balanced by length."""
        wide = width >= 84
        each = (width - 4) // 2 if wide else width
        sections = self._sections(each)
        if not wide:
            return [line for section in sections for line in [*section, []]][:-1]
        total = sum(len(section) + 1 for section in sections)
        left: list[Line] = []
        while sections and len(left) + len(sections[0]) <= total / 2 + 2:
            left += [*sections.pop(0), []]
        right = [line for section in sections for line in [*section, []]]
        rows = max(len(left), len(right)) - 1
        left += [[]] * (rows - len(left))
        right += [[]] * (rows - len(right))
        return [[*pad(a, each), ("    ", ""), *b] for a, b in zip(left, right, strict=False)]

    def _sections(self, width: int) -> list[list[Line]]:
        sections = []
        keys = cast("Console", self.app).keys
        near = (*NEAR.get(self._scope, (self._scope,)), "app")
        for scope, title in keymap.SCOPES.items():
            if scope in ("help", "confirm") or not (self.every or scope in near):
                continue
            rows = [(action.key, "key", action.help) for action in keys.of(scope) if action.help]
            if rows:
                sections.append(_section(title, rows, 10, width))
        sections.append(_section("Mouse", [(a, "key", c) for a, _, c in MOUSE], 14, width))
        sections.append(_section("Signs", list(SIGNS), 14, width))
        return sections


def _section(title: str, rows: list[tuple[str, str, str]], label: int, width: int) -> list[Line]:
    lines: list[Line] = [[(title, "title accent")]]
    for key, ink, text in rows:
        for index, piece in enumerate(wrap(text, max(width - label, 10))):
            lines.append([column(key if index == 0 else "", label, ink), (piece, "text")])
    return lines


class Help(Dialog[None]):
    """Any of its keys closes it."""

    SCOPE = "help"
    CSS_PATH = "help.tcss"
    BINDINGS = keymap.bindings("help")

    def __init__(self, scope: str = "") -> None:
        super().__init__()
        self._scope = scope

    def compose(self) -> ComposeResult:
        """A sheet that scrolls."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Help"
            yield VerticalScroll(HelpSheet(self._scope), can_focus=False)
            yield KeyLine("help")

    def action_every(self) -> None:
        """The keys of all screens, or of this one."""
        sheet = self.query_one(HelpSheet)
        sheet.every = not sheet.every
        sheet.repaint()
        self.call_after_refresh(self.fit)

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)
