"""One migration, live, and its report when it is over: the same screen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from umsui.console import keymap, words
from umsui.console.documents import finished
from umsui.console.ears import FIRST_RETRY, LONGEST_RETRY, TROUBLE
from umsui.console.messages import Recorded, Restarted, Told
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.charts import LatencyChart, WireChart
from umsui.console.widgets.lines import KeyLine, MoveTitle
from umsui.console.widgets.panels import LogPanel, Moment, OverheadPanel, StepsPanel
from umsui.console.world import World
from umsui.model import Migration, Step

if TYPE_CHECKING:
    from umsui.console.app import Console

UPDATE = 0.25
"""Seconds between two paintings while it runs."""
PANELS = (MoveTitle, StepsPanel, LatencyChart, WireChart, OverheadPanel, LogPanel)


class MigrationScreen(Screen[None]):
    """Phases and steps, what a client sees, the wire, the cost, the log."""

    SCOPE = "migration"
    CSS_PATH = "migration.tcss"
    BINDINGS = keymap.bindings("migration")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  (Textual's type)
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]  # noqa: RUF012  (Textual's type)
    AUTO_FOCUS = ""

    def __init__(self, world: World, migration_id: str) -> None:
        super().__init__()
        self.world = world
        self.migration_id = migration_id
        self.record = world.fresh_record(migration_id)
        self._own: Migration | None = None  # as its own events tell it, when the board has not
        self._heard_at = 0.0
        self._timer: Timer | None = None

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    @property
    def migration(self) -> Migration | None:
        """As last heard, from whatever told last."""
        known = self.world.migrations.get(self.migration_id)
        own = self._own
        newer = own is not None and (known is None or (known.outcome is None and own.outcome is not None))
        return own if newer else known

    def compose(self) -> ComposeResult:
        """Title, panels, keys."""
        yield MoveTitle()
        with Horizontal(id="body"):
            yield _panel("phases", StepsPanel(self.moment), classes="left")
            with Vertical(id="right"):
                yield _panel(
                    "what a client sees: reply time", LatencyChart(lambda: self.record, self._witness), id="latency"
                )
                with Horizontal(id="cost"):
                    yield _panel("wire", WireChart(lambda: self.record), id="wire")
                    yield _panel("overhead", OverheadPanel(self.moment), id="overhead")
                yield _panel("log", LogPanel(self.moment), id="log")
        yield KeyLine("migration")

    def on_mount(self) -> None:
        """Its events from the first one, wherever it was started."""
        self._heard_at = self.console.clock.steady()
        self.run_worker(self._follow(), name="follow")
        self._timer = self.set_interval(UPDATE, self._update)
        self._show()

    def on_screen_resume(self) -> None:
        """Back from a dialog."""
        self._show()

    # Listening.

    async def _follow(self) -> None:
        wait = FIRST_RETRY
        while True:
            try:
                await self._find()
                self.post_message(Restarted())
                async for event in self.console.feed.events(self.migration_id):
                    wait = FIRST_RETRY
                    self.post_message(Recorded(event))
                    if event.kind == "outcome":
                        return
            except TROUBLE as error:
                if getattr(error, "code", "") in ("bad-input", "not-found"):
                    self.post_message(Told(str(error), "No such migration", "error"))
                    return
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_RETRY)

    async def _find(self) -> None:
        """A past migration is not on the board: look it up."""
        if self.migration is None:
            for migration in await self.console.feed.migrations():
                if migration.id == self.migration_id:
                    self._own = migration
                    return

    def on_restarted(self) -> None:
        """The recording comes from its beginning (again, after a lost connection)."""
        self.record = self.world.fresh_record(self.migration_id)

    def on_recorded(self, message: Recorded) -> None:
        """Fold it in; the timer paints, an ending at once."""
        self.record.apply(message.event)
        self._heard_at = self.console.clock.steady()
        if message.event.kind == "outcome":
            base = self.migration
            if base is not None:
                self._own = finished(base, self.record.result or {})
            self._show()

    # Showing.

    def moment(self) -> Moment:
        """What the panels paint."""
        return Moment(self.record, self.migration, self._now())

    def _now(self) -> float:
        """Seconds into the migration: its events' time, carried on by our own clock while it runs."""
        if self._over:
            migration = self.migration
            return (migration.overhead.total if migration else 0.0) or self.record.last
        if self.record.origin is None:
            return 0.0
        return self.record.last + max(self.console.clock.steady() - self._heard_at, 0.0)

    @property
    def _over(self) -> bool:
        return self.record.result is not None

    def _update(self) -> None:
        if self._over and self._timer is not None:
            self._timer.pause()
        self._show()

    def _show(self) -> None:
        if not self.is_current:
            return
        if not self.record.expected:
            self.record.expected = self.world.fresh_record(self.migration_id).expected
        title = self.query_one(MoveTitle)
        title.migration, title.elapsed = self.migration, self._now()
        keys = self.query_one(KeyLine)
        keys.disabled_names = frozenset() if self._cancellable else frozenset({"cancel"})
        for panel in PANELS:
            self.query_one(cast("type[Canvas]", panel)).repaint()
        keys.repaint()

    def _witness(self) -> str:
        """Who measured the outage."""
        migration = self.migration
        frozen = migration is not None and migration.downtime_source == "freeze"
        return "freeze to thaw" if frozen else "as a client saw it"

    def world_changed(self) -> None:
        """The board heard of a new state; while it runs the timer paints soon enough."""
        if self._over:
            self._show()

    def tick(self) -> None:
        """Nothing to do: the timer paints while it runs."""

    # Actions.

    @property
    def _cancellable(self) -> bool:
        migration = self.migration
        committed = self.record.step(Step.COMMIT).state in ("started", "done")
        return (
            not self._over
            and not committed
            and (migration is None or (migration.cancellable and not migration.outcome))
        )

    def action_cancel(self) -> None:
        """Asks first."""
        migration = self.migration
        if not self._cancellable or migration is None:
            why = "It is over." if self._over else "It has committed: it can no longer be cancelled."
            self.notify(why, severity="warning")
            return
        from umsui.console.screens.confirm import Confirm  # noqa: PLC0415

        name = words.name_of(migration.service)
        self.app.push_screen(
            Confirm(f"Cancel moving {name}?", f"It stays at {migration.source.cluster}, running, with its memory."),
            self._cancel_decided,
        )

    def _cancel_decided(self, yes: bool | None) -> None:
        if yes:
            self.run_worker(self._cancel(), group="cancel", exclusive=True)

    async def _cancel(self) -> None:
        try:
            await self.console.feed.cancel(self.migration_id)
        except TROUBLE as error:
            self.app.post_message(Told(str(error), "Not cancelled", "error"))

    def action_copy(self) -> None:
        """The command that follows it."""
        migration = self.migration
        over = migration is not None and migration.outcome is not None
        command = f"umsui {'migrations' if over else 'watch'} {self.migration_id}"
        self.app.copy_to_clipboard(command)
        self.app.post_message(Told(command, "Copied"))

    def action_scroll_log(self, lines: int) -> None:
        """Older or newer lines."""
        self.query_one(LogPanel).scroll_lines(lines)

    def action_close(self) -> None:
        """Back; it goes on without us."""
        self.dismiss(None)


def _panel(title: str, content: Widget, *, id: str | None = None, classes: str = "") -> Vertical:
    panel = Vertical(content, id=id, classes=f"panel {classes}".strip())
    panel.border_title = title
    return panel
