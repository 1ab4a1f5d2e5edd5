"""Migrations, running and past."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen

from umsui.console import keymap, words
from umsui.console.ears import TROUBLE
from umsui.console.messages import Listed
from umsui.console.text import Line, column, crop, inked, pad
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.lines import KeyLine, TopLine
from umsui.console.world import World
from umsui.model import Migration

if TYPE_CHECKING:
    from umsui.console.app import Console


class MigrationTable(Canvas):
    """One a line, the newest first; only what is in view is painted."""

    class Opened(Message):
        """A line was clicked twice."""

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__(classes="table")
        self.rows: Sequence[Migration] = ()
        self.said = "asking the coordinator …"
        self.at = 0
        self.top = 0
        self._wall = wall

    def show(self, rows: Sequence[Migration]) -> None:
        """Others, the cursor staying on its own."""
        current = self.current
        self.rows = rows
        if current is not None:
            self.at = next((i for i, row in enumerate(rows) if row.id == current.id), min(self.at, len(rows) - 1))
        self.at = max(self.at, 0)
        self.said = "No migration yet. On the board: drag a card, or press m."
        self.repaint()

    @property
    def current(self) -> Migration | None:
        """The one under the cursor."""
        return self.rows[self.at] if self.at < len(self.rows) else None

    def step(self, lines: int) -> None:
        """Move the cursor."""
        self.at = min(max(self.at + lines, 0), max(len(self.rows) - 1, 0))
        self.repaint()

    def paint(self, width: int, height: int) -> list[Line]:
        """A heading, then lines."""
        if not self.rows:
            return [[(f" {self.said}", "dim")]]
        room = height - 1
        self.top = min(max(self.top, self.at - room + 1), self.at)
        lines = [_heading(width)]
        for index in range(self.top, min(self.top + room, len(self.rows))):
            line = _row(self.rows[index], self._wall(), width)
            lines.append(inked(pad([("▌", "accent"), *line[1:]], width), "selected") if index == self.at else line)
        return lines

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Select; on the selected one: open."""
        index = self.top + event.y - 1
        if event.y < 1 or index >= len(self.rows):
            return
        if index == self.at:
            self.post_message(self.Opened())
        self.at = index
        self.repaint()

    def on_mouse_scroll_down(self) -> None:
        """On."""
        self.step(3)

    def on_mouse_scroll_up(self) -> None:
        """Back."""
        self.step(-3)


def _columns(width: int) -> tuple[int, int, bool]:
    """Widths of service and way, and whether everything has room."""
    wide = width >= 104
    rest = width - (1 + 12 + 14 + 10 + 10 + (13 + 18 if wide else 0))
    service = max(rest // 3, 10)
    return service, max(rest - service, 10), wide


def _heading(width: int) -> Line:
    service, way, wide = _columns(width)
    line: Line = [(" ", ""), column("started", 12, "dim"), column("service", service, "dim"), column("way", way, "dim")]
    if wide:
        line.append(column("how", 13, "dim"))
    line += [column("outcome", 14, "dim"), column("downtime", 10, "dim", right=True)]
    line.append(column("total", 10, "dim", right=True))
    return crop([*line, column("   prediction", 18, "dim")] if wide else line, width)


def _row(migration: Migration, now: float, width: int) -> Line:
    service, way, wide = _columns(width)
    glyph, word, ink = words.outcome(migration.outcome)
    line: Line = [(" ", ""), column(_started(migration.started, now), 12, "dim")]
    line.append(column(words.name_of(migration.service), service - 1, "name"))
    line += [
        (" ", ""),
        column(f"{migration.source.cluster} → {migration.destination.cluster}", way - 1, "text"),
        (" ", ""),
    ]
    if wide:
        line.append(column(f"{words.BADGE[migration.approach]} {migration.strategy.value}", 13, "dim"))
    line.append(column(f"{glyph} {word}", 14, ink))
    line.append(column(words.duration(migration.downtime), 10, "text", right=True))
    total = migration.overhead.total
    line.append(column(words.duration(total) if total else words.NOTHING, 10, "text", right=True))
    return crop([*line, ("   ", ""), *_judgement(migration)] if wide else line, width)


def _judgement(migration: Migration) -> Line:
    """Whether the downtime was what had been said."""
    said = migration.predicted.get("downtime")
    if not said or migration.downtime is None or migration.outcome is None:
        return [column(words.NOTHING, 15, "faint")]
    low, _, high = said
    if migration.downtime > high:
        return [column("▲ above", 15, "warn")]
    return [column("▼ below" if migration.downtime < low else "✓ within", 15, "ok")]


def _started(started: float, now: float) -> str:
    """Time today, else the date."""
    then, today = time.localtime(started), time.localtime(now)
    same = then[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same else "%d %b %H:%M", then)


class MigrationsScreen(Screen[None]):
    """All of them."""

    SCOPE = "migrations"
    CSS_PATH = "migrations.tcss"
    BINDINGS = keymap.bindings("migrations")
    AUTO_FOCUS = ""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self._past: dict[str, Migration] = {}
        self._answered = False

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Top line, table, keys."""
        clock = self.console.clock
        yield TopLine(self.world, clock.wall, clock.steady)
        panel = Vertical(MigrationTable(clock.wall), classes="panel")
        panel.border_title = "migrations"
        yield panel
        yield KeyLine("migrations")

    def on_mount(self) -> None:
        """Ask for those before our time."""
        self.action_refresh_now()

    def on_screen_resume(self) -> None:
        """Back from another screen."""
        self.world_changed()

    def action_refresh_now(self) -> None:
        """Ask again."""
        self.run_worker(self._list(), group="list", exclusive=True)

    async def _list(self) -> None:
        try:
            self.post_message(Listed(await self.console.feed.migrations()))
        except TROUBLE as error:
            self.post_message(Listed((), str(error)))

    def on_listed(self, message: Listed) -> None:
        """Here they are."""
        table = self.query_one(MigrationTable)
        if message.error:
            table.said = message.error
            table.repaint()
            return
        self._answered = True
        self._past = {migration.id: migration for migration in message.migrations}
        self.world_changed()

    def world_changed(self) -> None:
        """What is listed, with what was heard since."""
        rows = sorted((self._past | self.world.migrations).values(), key=lambda m: (-m.started, m.id))
        if rows or self._answered:
            self.query_one(MigrationTable).show(rows)
        self.tick()

    def tick(self) -> None:
        """The clock."""
        self.query_one(TopLine).repaint()

    def action_cursor(self, lines: int) -> None:
        """Up and down."""
        self.query_one(MigrationTable).step(lines)

    def on_migration_table_opened(self) -> None:
        """Clicked twice."""
        self.action_open()

    def action_open(self) -> None:
        """Its screen, live or as a report."""
        migration = self.query_one(MigrationTable).current
        if migration is not None:
            self.console.open_migration(migration.id)

    def action_close(self) -> None:
        """Back to the board."""
        self.dismiss(None)
