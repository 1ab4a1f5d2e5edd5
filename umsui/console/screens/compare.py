"""Several migrations beside each other: where the time went, and prediction against result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from umsui import exports
from umsui.console import keymap, words
from umsui.console.screens.export import export
from umsui.console.screens.page import Page
from umsui.console.text import Line, column
from umsui.console.widgets.canvas import Sheet
from umsui.console.widgets.panels import FILLS, SHARES, stack
from umsui.console.world import World
from umsui.model import Estimate, Migration

LABEL = 15
NARROWEST = 20

Say = Callable[[Migration], tuple[str, str]]
"""A cell: its text and ink."""


class CompareSheet(Sheet):
    """A column each; what differs from the best is marked."""

    def __init__(self, migrations: Sequence[Migration]) -> None:
        super().__init__()
        self._migrations = migrations

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """As many columns as have room."""
        count = max(min(len(self._migrations), (width - LABEL) // NARROWEST), 1)
        shown, each = self._migrations[:count], (width - LABEL) // count
        rows: list[tuple[str, Say]] = [
            ("started", lambda m: (time.strftime("%d %b %H:%M:%S", time.localtime(m.started)), "dim")),
            ("service", lambda m: (words.name_of(m.service), "name")),
            ("from", lambda m: (words.place(m.source), "text")),
            ("to", lambda m: (words.place(m.destination), "text")),
            ("approach", lambda m: (words.approach(m.approach), "text")),
            ("strategy", lambda m: (words.how(m), "text")),
            ("outcome", _outcome),
        ]
        lines = [_row(label, shown, each, say) for label, say in rows]
        lines += [[], *_times("downtime", shown, each, lambda m: m.downtime)]
        lines += _times("total", shown, each, lambda m: m.overhead.total or None)
        lines += [[], *_breakdown(shown, each), []]
        kinds = ("memory", "rootfs", "volumes", "image", "wire")
        lines += [
            _row(kind, shown, each, partial(_bytes, kind))
            for kind in kinds
            if any(getattr(m.bytes, kind) for m in shown)
        ]
        lines.append(_row("processes", shown, each, lambda m: (str(m.processes), "text")))
        if len(shown) < len(self._migrations):
            lines += [[], [(f" {len(self._migrations) - len(shown)} more: they need a wider terminal", "warn")]]
        return lines


def _row(label: str, shown: Sequence[Migration], each: int, say: Say) -> Line:
    line: Line = [(" ", ""), column(label, LABEL - 1, "dim")]
    for migration in shown:
        text, ink = say(migration)
        line += [column(text, each - 2, ink), ("  ", "")]
    return line


def _outcome(migration: Migration) -> tuple[str, str]:
    glyph, word, ink = words.outcome(migration.outcome)
    return f"{glyph} {word}", ink


def _bytes(kind: str, migration: Migration) -> tuple[str, str]:
    count = getattr(migration.bytes, kind)
    return (words.size(count), "text") if count else (words.NOTHING, "faint")


def _times(what: str, shown: Sequence[Migration], each: int, of: Callable[[Migration], float | None]) -> list[Line]:
    """Measured, then what had been said."""
    known = [value for migration in shown if (value := of(migration)) is not None]
    best = min(known, default=None)

    def measured(migration: Migration) -> tuple[str, str]:
        value = of(migration)
        if value is None:
            return words.NOTHING, "faint"
        return words.duration(value) + _more(value, best, len(known)), "name" if value == best else "text"

    def said(migration: Migration) -> tuple[str, str]:
        values = migration.predicted.get(what)
        if not values:
            return words.NOTHING, "faint"
        value, (low, _, high) = of(migration), values
        sign = "" if value is None else "▲ above " if value > high else "▼ below " if value < low else "✓ within "
        ink = "warn" if sign.startswith("▲") else "ok" if sign else "dim"
        return f"{sign}{words.span(Estimate(*values))}", ink

    return [_row(what, shown, each, measured), _row("  predicted", shown, each, said)]


def _more(value: float, best: float | None, count: int) -> str:
    """How much worse than the best."""
    if not best or count < 2:
        return ""
    ratio = value / best
    return "  best" if ratio == 1 else f"  +{(ratio - 1) * 100:.0f} %" if ratio < 2 else f"  {ratio:.1f}x"


def _breakdown(shown: Sequence[Migration], each: int) -> list[Line]:
    """Bars on one scale, then the shares."""
    sums = [sum(float(getattr(m.overhead, share)) for share in SHARES) for m in shown]
    whole = max([*sums, 1e-9])
    bars: Line = [(" ", ""), column("breakdown", LABEL - 1, "dim")]
    for migration in shown:
        shares = [(share, float(getattr(migration.overhead, share))) for share in SHARES]
        bars += [*stack(shares, whole, each - 2), ("  ", "")]
    lines: list[Line] = [bars, []]
    for share in SHARES:
        line: Line = [(" ", ""), (FILLS[share], share), column(f" {share}", LABEL - 2, "dim")]
        for migration in shown:
            value = float(getattr(migration.overhead, share))
            line += [column(words.duration(value) if value else words.NOTHING, each - 2, "text"), ("  ", "")]
        lines.append(line)
    return lines


class CompareScreen(Page[None]):
    """Some migrations, as they ended."""

    SCOPE = "compare"
    CSS_PATH = "compare.tcss"
    BINDINGS = keymap.bindings("compare")

    def __init__(self, world: World, migrations: Sequence[Migration]) -> None:
        super().__init__(world)
        self.migrations = migrations

    def content(self) -> ComposeResult:
        """A page that scrolls."""
        page = VerticalScroll(CompareSheet(self.migrations), classes="panel", can_focus=False)
        page.border_title = f"{len(self.migrations)} migrations compared"
        yield page

    def action_scroll(self, lines: int) -> None:
        """A line."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_export(self) -> None:
        """The same ones."""

        async def text(form: str) -> str:
            return exports.migrations(self.migrations, form)

        export(self, "umsui-compared", text)
