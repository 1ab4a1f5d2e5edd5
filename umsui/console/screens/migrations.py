"""Migrations, running and past: sorted, filtered, and several beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from umsui.console import keymap, words
from umsui.console.messages import Answered, Told
from umsui.console.screens.page import Page, panel
from umsui.console.text import Line, column
from umsui.console.widgets.table import Table
from umsui.console.world import World
from umsui.model import Migration

MOST = 6
"""That are compared at once."""

Order = Callable[[Migration], Any]
ORDERS: dict[str, Order] = {
    "started": lambda m: -m.started,
    "service": lambda m: words.name_of(m.service),
    "outcome": lambda m: m.outcome.value if m.outcome else "",
    "downtime": lambda m: -(m.downtime if m.downtime is not None else -1.0),
    "total": lambda m: -m.overhead.total,
    "against prediction": lambda m: -_excess(m),
}


class MigrationTable(Table[Migration]):
    """One a line."""

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__("No migration yet. On the board: drag a card, or press m.")
        self._wall = wall

    def key(self, item: Migration) -> str:
        """Its id."""
        return item.id

    def heading(self, width: int) -> Line:
        """With all columns where there is room."""
        service, way, wide = _columns(width)
        line: Line = [column("started", 13, "dim"), column("service", service, "dim"), column("way", way, "dim")]
        line += [column("how", 13, "dim")] if wide else []
        line += [column("outcome", 14, "dim"), column("downtime", 10, "dim", right=True)]
        line.append(column("total", 10, "dim", right=True))
        return [*line, column("   prediction", 18, "dim")] if wide else line

    def row(self, item: Migration, width: int) -> Line:
        """The downtime is what was measured, the judgement what had been said."""
        service, way, wide = _columns(width)
        glyph, word, ink = words.outcome(item.outcome)
        line: Line = [column(_started(item.started, self._wall()), 13, "dim")]
        line += [column(words.name_of(item.service), service - 1, "name"), (" ", "")]
        line += [column(f"{item.source.cluster} → {item.destination.cluster}", way - 1, "text"), (" ", "")]
        line += [column(_how(item), 13, "dim")] if wide else []
        line += [column(f"{glyph} {word}", 14, ink), column(words.duration(item.downtime), 10, "text", right=True)]
        total = item.overhead.total
        line.append(column(words.duration(total) if total else words.NOTHING, 10, "text", right=True))
        return [*line, ("   ", ""), judgement(item)] if wide else line


def _how(migration: Migration) -> str:
    how = words.how(migration)
    return how if how == words.NOTHING else f"{words.BADGE[migration.approach]} {how}"


def _columns(width: int) -> tuple[int, int, bool]:
    """Widths of service and way, and whether everything has room."""
    wide = width >= 104
    rest = width - (13 + 14 + 10 + 10 + (13 + 18 if wide else 0))
    service = max(rest // 3, 10)
    return service, max(rest - service, 10), wide


def _excess(migration: Migration) -> float:
    """The downtime as a share of what had been said; -1 where one of them is missing."""
    said = migration.predicted.get("downtime")
    return migration.downtime / said[1] if said and said[1] and migration.downtime is not None else -1.0


def judgement(migration: Migration) -> tuple[str, str]:
    """Whether the downtime was what had been said."""
    said = migration.predicted.get("downtime")
    if not said or migration.downtime is None or migration.outcome is None:
        return column(words.NOTHING, 15, "faint")
    low, _, high = said
    if migration.downtime > high:
        return column("▲ above", 15, "warn")
    return column("▼ below" if migration.downtime < low else "✓ within", 15, "ok")


def _started(started: float, now: float) -> str:
    """Time today, else the date."""
    then, today = time.localtime(started), time.localtime(now)
    same = then[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same else "%d %b %H:%M", then)


def fits(migration: Migration, text: str) -> bool:
    """Whether all words are found in what is known of it; ``outcome:``, ``to:`` and ``from:`` name where."""
    fields = {
        "outcome": words.outcome(migration.outcome)[1],
        "to": migration.destination.cluster,
        "from": migration.source.cluster,
        "strategy": migration.strategy.value,
        "approach": migration.approach.value,
    }
    everything = " ".join((migration.id, migration.service, *fields.values())).casefold()
    for word in text.casefold().split():
        name, colon, value = word.partition(":")
        if colon and name in fields:
            if value not in fields[name].casefold():
                return False
        elif word not in everything:
            return False
    return True


class MigrationsScreen(Page[None]):
    """All of them."""

    SCOPE = "migrations"
    CSS_PATH = "migrations.tcss"
    BINDINGS = keymap.bindings("migrations")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._past: dict[str, Migration] = {}
        self._answered = False
        self._wanted = ""
        self.order = "started"
        self.reverse = False

    def content(self) -> ComposeResult:
        """The table."""
        yield panel("migrations", MigrationTable(self.console.clock.wall))

    def on_mount(self) -> None:
        """Ask for those before our time."""
        self.action_refresh_now()
        self.query_one(".filter", Input).placeholder = "words, outcome:committed, to:gcp-lab, from:, strategy:"

    def action_refresh_now(self) -> None:
        """Ask again."""
        self.ask("list", self.console.feed.migrations)

    def heard_list(self, message: Answered) -> None:
        """Here they are."""
        if message.value is None:
            self.query_one(MigrationTable).trouble(message.error)
            return
        self._answered = True
        self._past = {migration.id: migration for migration in message.value}
        self.world_changed()

    def world_changed(self) -> None:
        """What is listed, with what was heard since."""
        known = (self._past | self.world.migrations).values()
        rows = sorted(
            (m for m in known if fits(m, self._wanted)),
            key=lambda m: (ORDERS[self.order](m), -m.started, m.id),
            reverse=self.reverse,
        )
        if known or self._answered:
            self.query_one(MigrationTable).show(rows)
            self._label(len(known), rows)
        self.tick()

    def _label(self, known: int, rows: Sequence[Migration]) -> None:
        table = self.query_one(MigrationTable)
        if known and not rows:
            table.trouble("None fits the filter. Esc clears it.")
        parts = [f"{len(rows)} of {known}" if self._wanted else str(known), f"by {self.order}"]
        parts += ["reversed"] if self.reverse else []
        parts += [f"{len(table.marked)} marked"] if table.marked else []
        self.query_one(".panel", Vertical).border_title = "migrations: " + " · ".join(parts)

    def typed(self, text: str) -> None:
        """Filter as one types."""
        self._wanted = text
        self.world_changed()

    def on_opened(self) -> None:
        """Clicked twice."""
        self.action_open()

    # Actions.

    def action_cursor(self, lines: int) -> None:
        """Up and down."""
        self.query_one(MigrationTable).step(lines)

    def action_sort(self, way: int) -> None:
        """By the next column; 0 turns it around."""
        if way:
            names = list(ORDERS)
            self.order = names[(names.index(self.order) + way) % len(names)]
        self.reverse = not self.reverse if not way else False
        self.world_changed()

    def action_mark(self) -> None:
        """For comparing and exporting."""
        self.query_one(MigrationTable).mark()
        self.world_changed()

    def chosen(self) -> list[Migration]:
        """Those marked, as they stand in the list; without marks, the one under the cursor."""
        table = self.query_one(MigrationTable)
        marked = [row for row in table.rows if row.id in table.marked]
        return marked or ([table.current] if table.current is not None else [])

    def action_compare(self) -> None:
        """Beside each other."""
        from umsui.console.screens.compare import CompareScreen  # noqa: PLC0415

        chosen = self.chosen()
        if len(chosen) < 2:
            self.notify("Mark two or more with Space first.", severity="warning")
            return
        if len(chosen) > MOST:
            self.app.post_message(Told(f"The first {MOST} of {len(chosen)} are compared.", "Many", "warning"))
        self.app.push_screen(CompareScreen(self.world, chosen[:MOST]))

    def action_export(self) -> None:
        """Those marked; without marks, all that are listed."""
        from umsui.console.screens.export import export  # noqa: PLC0415

        table = self.query_one(MigrationTable)
        chosen = self.chosen() if table.marked else list(table.rows)
        export(self, "umsui-migrations", partial(_text, chosen))

    def action_open(self) -> None:
        """Its screen, live or as a report."""
        migration = self.query_one(MigrationTable).current
        if migration is not None:
            self.console.open_migration(migration.id)

    def action_replay(self) -> None:
        """Its recording."""
        migration = self.query_one(MigrationTable).current
        if migration is not None and migration.outcome is not None:
            self.console.open_replay(migration.id)
        elif migration is not None:
            self.console.open_migration(migration.id)


async def _text(chosen: Sequence[Migration], form: str) -> str:
    from umsui import exports  # noqa: PLC0415

    return exports.migrations(chosen, form)
