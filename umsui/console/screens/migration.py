"""One migration, live, and its report when it is over: the same screen."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer

from umsui.console import keymap, words
from umsui.console.documents import finished
from umsui.console.ears import FIRST_RETRY, LONGEST_RETRY, TROUBLE
from umsui.console.messages import Recorded, Restarted, Told
from umsui.console.record import Record
from umsui.console.screens.page import Page, panel
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.charts import LatencyChart, WireChart
from umsui.console.widgets.lines import KeyLine, MoveTitle
from umsui.console.widgets.panels import LAZY, LogPanel, Moment, OverheadPanel, StepsPanel
from umsui.console.world import World
from umsui.model import Migration, Step

UPDATE = 0.25
"""Seconds between two paintings while it runs."""
PANELS = (MoveTitle, StepsPanel, LatencyChart, WireChart, OverheadPanel, LogPanel)


class MigrationScreen(Page[None]):
    """Phases and steps, what a client sees, the wire, the cost, the log."""

    SCOPE = "migration"
    CSS_PATH = "migration.tcss"
    BINDINGS = keymap.bindings("migration")

    def __init__(self, world: World, migration_id: str) -> None:
        super().__init__(world)
        self.migration_id = migration_id
        self.record = world.fresh_record(migration_id)
        self._own: Migration | None = None  # as its own events tell it, when the board has not
        self._heard_at = 0.0
        self._cancelling = False  # asked for, and taken
        self._timer: Timer | None = None

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
        yield from self.content()
        yield KeyLine(self.SCOPE)

    def content(self) -> ComposeResult:
        """The panels."""
        with Horizontal(id="body"):
            yield panel("phases", StepsPanel(self.moment), classes="left")
            with Vertical(id="right"):
                yield panel(
                    "what a client sees: reply time", LatencyChart(lambda: self.record, self._witness), id="latency"
                )
                with Horizontal(id="cost"):
                    yield panel("wire", WireChart(lambda: self.record), id="wire")
                    yield panel("overhead", OverheadPanel(self.moment), id="overhead")
                yield panel("log", LogPanel(self.moment), id="log")

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
    def told(self) -> bool:
        """Whether all is on screen that has happened: to its end, or something at least of one that runs."""
        migration = self.migration
        return self._over if migration is not None and migration.outcome is not None else bool(self.record.steps)

    @property
    def _over(self) -> bool:
        return self.record.result is not None

    def _update(self) -> None:
        if self._over and self._timer is not None:
            self._timer.pause()
        self._show()

    def _show(self) -> None:
        if not self.in_front:
            return
        if not self.record.expected:
            self.record.expected = self.world.fresh_record(self.migration_id).expected
        if self.migration is not None:
            self.record.lazy = self.migration.strategy in LAZY
        title = self.query_one(MoveTitle)
        title.migration, title.elapsed, title.cancelling = self.migration, self._now(), self._cancelling
        keys = self.query_one(KeyLine)
        impossible = {"cancel": not self._cancellable, "replay": not self._over}
        keys.disabled_names = frozenset(name for name, cannot in impossible.items() if cannot)
        self.query_one("#latency", Vertical).border_subtitle = _window(self.record)
        for each in PANELS:
            self.query_one(cast("type[Canvas]", each)).repaint()
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
            and not self._cancelling
            and not committed
            and (migration is None or (migration.cancellable and not migration.outcome))
        )

    def action_cancel(self) -> None:
        """Asks first."""
        migration = self.migration
        if not self._cancellable or migration is None:
            why = "It has committed: it can no longer be cancelled."
            if self._over or self._cancelling:
                why = "It is over." if self._over else "It is being cancelled: what was done is undone."
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
        else:
            self._cancelling = True
            self._show()

    def action_replay(self) -> None:
        """Its recording, from the beginning."""
        if self._over:
            self.console.open_replay(self.migration_id)
        else:
            self.notify("It is still running: what you see is live.")

    def action_export(self) -> None:
        """Take it away: picture, table, document."""
        from umsui.console.screens.export import export  # noqa: PLC0415

        migration = self.migration
        if migration is not None:
            export(self, f"umsui-{migration.id}", partial(self._export, migration))

    async def _export(self, migration: Migration, form: str) -> str:
        from umsui import exports  # noqa: PLC0415

        found = [event async for event in self.console.feed.events(migration.id)] if self._over else []
        return exports.migration(migration, found, form)

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
        self.leave()


def _window(record: Record) -> str:
    """What the marked part of the time axis is."""
    if record.exposure is None:
        return ""
    begin, end, over = record.exposure
    return f"━ post-copy window {words.duration(end - begin)}{'' if over else ' …'}"
