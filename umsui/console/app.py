"""The app: the world, the ears towards the coordinator, and which screen is on top. Nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from rich.console import RenderableType
from textual._compositor import ChopsUpdate
from textual.app import App
from textual.filter import LineFilter
from textual.screen import Screen

from umsui.console import keymap, themes, words
from umsui.console.ascii import AsciiFilter
from umsui.console.clock import Clock, SystemClock
from umsui.console.commands import ActionCommands
from umsui.console.ears import Ears
from umsui.console.feed import Feed
from umsui.console.messages import Heard, Listening, Lost, Told
from umsui.console.tight import TightUpdate
from umsui.console.world import LinkState, World
from umsui.model import Migration, Outcome

SCREENS = ("board", "plan", "migration", "migrations", "service", "help", "confirm")
FRAME = 0.1
"""News is shown at most this often, in seconds; a quarter of that rate over SSH."""


@runtime_checkable
class Watcher(Protocol):
    """A screen that shows the world."""

    def world_changed(self) -> None:
        """Something was heard."""

    def tick(self) -> None:
        """A second has passed."""


class Console(App[None], inherit_bindings=False):
    """umsui's console."""

    TITLE = "umsui"
    # All of them at once: Textual parses everything again when a screen brings its own later.
    CSS_PATH = ["app.tcss", *(f"screens/{name}.tcss" for name in SCREENS)]  # noqa: RUF012  (Textual's type)
    BINDINGS = keymap.bindings("app")
    COMMANDS: ClassVar = {ActionCommands}
    ALLOW_SELECT = False

    def __init__(
        self, feed: Feed, *, start: str | None = None, clock: Clock | None = None, ascii_only: bool = False
    ) -> None:
        plain = os.environ.get("NO_COLOR") is not None
        super().__init__(ansi_color=True if plain else None)
        self.feed = feed
        self.clock: Clock = clock or SystemClock()
        self.world = World()
        self.start = start
        self._ascii = AsciiFilter() if ascii_only else None
        self._frame = FRAME * 4 if os.environ.get("SSH_CONNECTION") else FRAME
        self._shown = 0.0
        self._scheduled = False
        for theme in themes.load_all():
            self.register_theme(theme)
        self.theme = themes.PLAIN if plain else themes.DEFAULT

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for Textual's themes too."""
        return themes.load(themes.FOLDER / f"{themes.DEFAULT}.toml").variables

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and ASCII where it must be."""
        filters = super().get_line_filters()
        return [*filters, self._ascii] if self._ascii is not None else filters

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(screen, TightUpdate.of(renderable) if isinstance(renderable, ChopsUpdate) else renderable)

    async def on_mount(self) -> None:
        """The board's skeleton first; the coordinator is asked once that is painted."""
        from umsui.console.screens.board import Board  # noqa: PLC0415  (screens are made when they are needed)

        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in a test's other thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.hang_up)
        await self.push_screen(Board(self.world))
        if self.start:
            self.open_migration(self.start)
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._listen)

    def hang_up(self) -> None:
        """The terminal is gone: leave at once. Migrations are the coordinator's and go on."""
        self.exit()
        # Textual may wait for a terminal that no longer answers; nothing here needs saving.
        asyncio.get_running_loop().call_later(1.0, os._exit, 0)

    def _listen(self) -> None:
        # What is loaded by now stays: the collector need not look at it again, and its pauses are seen on screen.
        gc.freeze()
        ears = Ears(self.feed, self.clock, self.post_message, lambda: bool(self.world.running()))
        self.run_worker(ears.listen(), name="listen", exit_on_error=True)
        self.run_worker(ears.measure(), name="latency", exit_on_error=True)

    def _tick(self) -> None:
        if isinstance(self.screen, Watcher):
            self.screen.tick()

    def on_heard(self, message: Heard) -> None:
        """Into the world with it, and onto the screen within a frame."""
        before = self.world.migrations.get(message.item.id) if isinstance(message.item, Migration) else None
        if self.world.apply(message.item, self.clock.steady()):
            self.show_soon()
        if isinstance(message.item, Migration) and before is not None and before.outcome is None:
            self._announce(message.item)

    def on_listening(self, message: Listening) -> None:
        """The coordinator answers."""
        link = self.world.link
        if link.state is LinkState.LOST:
            self.notify("The coordinator answers again.")
        link.state = LinkState.UP
        link.latency = message.latency if message.latency is not None else link.latency
        self.show_soon()

    def on_lost(self, message: Lost) -> None:
        """It does not; what is shown grows old, and says so."""
        link = self.world.link
        link.state, link.reason = LinkState.LOST, message.reason
        link.retry_at = self.clock.steady() + message.retry
        self.show_soon()

    def on_told(self, message: Told) -> None:
        """A toast."""
        severity = message.severity
        kind = "error" if severity == "error" else "warning" if severity == "warning" else "information"
        self.notify(message.text, title=message.title, severity=kind, markup=False)  # type: ignore[arg-type]

    def show_soon(self) -> None:
        """Show the world now, or at the next frame."""
        wait = self._shown + self._frame - self.clock.steady()
        if wait <= 0:
            self._show()
        elif not self._scheduled:
            self._scheduled = True
            self.set_timer(wait, self._show)

    def _show(self) -> None:
        self._scheduled = False
        self._shown = self.clock.steady()
        # Only what is in front: a screen behind that changes has Textual send the one in front again, whole.
        front = self.screen_stack[-1] if self.screen_stack else None  # none yet, or none any more
        if isinstance(front, Watcher):
            front.world_changed()

    def _announce(self, migration: Migration) -> None:
        """A toast at the end, unless its report is in view."""
        from umsui.console.screens.migration import MigrationScreen  # noqa: PLC0415

        if migration.outcome is None:
            return
        if isinstance(self.screen, MigrationScreen) and self.screen.migration_id == migration.id:
            return
        name = words.name_of(migration.service)
        if migration.outcome is Outcome.COMMITTED:
            cost = f"{words.duration(migration.downtime)} down, {words.duration(migration.overhead.total)} in all"
            self.post_message(Told(cost, f"✓ {name} runs at {migration.destination.cluster}"))
            return
        glyph, word, _ = words.outcome(migration.outcome)
        text = migration.error.message if migration.error else f"It runs at {migration.source.cluster}."
        severity = "warning" if migration.outcome is Outcome.CANCELLED else "error"
        self.post_message(Told(text, f"{glyph} {name}: {word}", severity))

    def open_migration(self, migration: str) -> None:
        """Its screen, live or as a report."""
        from umsui.console.screens.migration import MigrationScreen  # noqa: PLC0415

        self.push_screen(MigrationScreen(self.world, migration))

    def action_help(self) -> None:
        """All keys, and what the signs mean."""
        from umsui.console.screens.help import Help  # noqa: PLC0415

        if not isinstance(self.screen, Help):
            self.push_screen(Help())

    def action_next_theme(self) -> None:
        """The next of ours."""
        names = [theme.name for theme in themes.load_all()]
        after = names.index(self.theme) + 1 if self.theme in names else 0
        self.theme = names[after % len(names)]
        self.notify(f"Theme: {self.theme}", timeout=2)

    async def action_quit(self) -> None:
        """Leave; running migrations go on."""
        await self.feed.close()
        self.exit()
