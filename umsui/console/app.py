"""The app: the world, the ears towards the coordinator, and which screen is on top. Nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Protocol, runtime_checkable

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.notifications import SeverityLevel

from umsui.console import clipboard, keymap, themes, words
from umsui.console.ascii import AsciiFilter
from umsui.console.batch import Batch, Turn
from umsui.console.clock import Clock, SystemClock
from umsui.console.commandline import History
from umsui.console.commands import ActionCommands
from umsui.console.ears import TROUBLE, Ears
from umsui.console.feed import Feed
from umsui.console.lean import LeanDriver
from umsui.console.messages import Begun, Heard, Listening, Lost, Told, Weighed
from umsui.console.runner import Runner
from umsui.console.settings import Settings
from umsui.console.typeahead import TypeAhead
from umsui.console.view import GROUPS, SORTS, after
from umsui.console.widgets.lines import KeyLine
from umsui.console.world import LinkState, World
from umsui.model import Migration, Outcome, ServiceState

SCREENS = (
    "board", "batch", "plan", "migration", "migrations", "compare", "service", "cluster", "benchmarks", "export",
    "help", "confirm",
)  # fmt: skip
NAP = 30.0
"""Seconds without a tick after which everything is asked again."""
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
        self, feed: Feed, *, start: str | None = None, replay: float | None = None, clock: Clock | None = None,
        ascii_only: bool = False,
        settings: Settings | None = None,
    ) -> None:  # fmt: skip
        plain = os.environ.get("NO_COLOR") is not None
        self.library = themes.Library()  # before Textual asks for variables
        _, problems = self.library.read()
        super().__init__(ansi_color=True if plain else None)
        self.feed = feed
        self.clock: Clock = clock or SystemClock()
        self.world = World()
        self.settings = settings or Settings()
        self.keys = keymap.Keymap(self.settings.keys)
        self.set_keymap(self.keys.overrides)
        self.many: Batch | None = None  # many moves, the last that were asked for
        self.runner = Runner(feed, self.post_message, lambda work: self.run_worker(work, group="batch"))
        self._ears = Ears(feed, self.clock, self.post_message, lambda: bool(self.world.running()))
        self._typeahead = TypeAhead(self, super().on_event)
        self.start = start
        self.replay = replay
        self._ascii = AsciiFilter() if ascii_only else None
        self._frame = FRAME * 4 if os.environ.get("SSH_CONNECTION") else FRAME
        self._shown = 0.0
        self._ticked = self.clock.steady()
        self._scheduled = False
        for theme in self.library.themes.values():
            self.register_theme(theme)
        self.settings.problems += problems
        wanted = self.settings.theme or (themes.PLAIN if plain else themes.DEFAULT)
        if wanted not in self.library.themes:
            known = ", ".join(sorted(self.library.themes))
            self.settings.problems.append(f"there is no theme {wanted}; there are: {known}")
            wanted = themes.PLAIN if plain else themes.DEFAULT
        self.theme = themes.PLAIN if plain else wanted

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for Textual's themes too."""
        return self.library.themes[themes.DEFAULT].variables

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and ASCII where it must be."""
        filters = super().get_line_filters()
        return [*filters, self._ascii] if self._ascii is not None else filters

    def get_driver_class(self) -> type[Driver]:
        """Textual's for terminals, made lean; another one where the environment asks for it (in a browser)."""
        found = super().get_driver_class()
        return LeanDriver if found is LinuxDriver else found

    async def on_mount(self) -> None:
        """The board's skeleton first; the coordinator is asked once that is painted."""
        from umsui.console.screens.board import Board  # noqa: PLC0415  (screens are made when they are needed)

        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in a test's other thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.hang_up)
        await self.push_screen(Board(self.world))
        if self.start and self.replay:
            self.open_replay(self.start, self.replay)
        elif self.start:
            self.open_migration(self.start)
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._listen)
        for problem in self.settings.problems:
            self.post_message(Told(problem, "Config", "warning"))

    async def on_event(self, event: events.Event) -> None:
        """Keys one after the other, the rest as Textual does it."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self._typeahead.take(event)
        else:
            await super().on_event(event)

    def hang_up(self) -> None:
        """The terminal is gone: leave at once. Migrations are the coordinator's and go on."""
        self.exit()
        # Textual may wait for a terminal that no longer answers; nothing here needs saving.
        asyncio.get_running_loop().call_later(1.0, os._exit, 0)

    def _listen(self) -> None:
        # What is loaded by now stays: the collector need not look at it again, and its pauses are seen on screen.
        gc.freeze()
        gc.enable()
        self.run_worker(self._ears.listen(), name="listen", exit_on_error=True)
        self.run_worker(self._ears.measure(), name="latency", exit_on_error=True)

    def _read_themes(self) -> None:
        """Those whose files were edited; the one in use at once."""
        new, problems = self.library.read()
        for theme in new:
            self.register_theme(theme)
            if theme.name == self.theme:
                self.theme = next(name for name in self.library.themes if name != theme.name)
                self.theme = theme.name
        for problem in problems:
            self.post_message(Told(problem, "Theme", "warning"))

    def ask_again(self) -> None:
        """Have all clusters asked now."""
        self.run_worker(self._ask_all(), group="refresh", exclusive=True)

    async def _ask_all(self) -> None:
        try:
            await self.feed.wake()
            clusters = await self.feed.refresh()
        except TROUBLE as error:
            self.post_message(Told(str(error), "Refresh", "error"))
            return
        self._ears.nudge()
        for cluster in clusters:
            self.post_message(Heard(cluster))

    def _tick(self) -> None:
        self._read_themes()
        now, away = self.clock.steady(), self.clock.steady() - self._ticked
        self._ticked = now
        if away > NAP:
            # The machine slept, or this process was stopped: what is on screen is as old as that.
            self.notify(f"Away for {words.age(away)}: all clusters are asked again.")
            self.ask_again()
        if (front := self._front()) is not None:
            front.tick()

    def _front(self) -> Watcher | None:
        """The screen in front, unless it is just being made or taken down."""
        front = self.screen_stack[-1] if self.screen_stack else None
        return front if isinstance(front, Watcher) and front.query(KeyLine) else None

    def on_heard(self, message: Heard) -> None:
        """Into the world with it, and onto the screen within a frame."""
        before = self.world.migrations.get(message.item.id) if isinstance(message.item, Migration) else None
        if self.world.apply(message.item, self.clock.steady()):
            self.show_soon()
        if self.many is not None and self.many.heard(self.world.migrations):
            self.runner.go_on(self.many)
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
        kind: SeverityLevel = "error" if severity == "error" else "warning" if severity == "warning" else "information"
        self.notify(message.text, title=message.title, severity=kind, markup=False)

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
        if (front := self._front()) is not None:
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

    # Many at once.

    def show_batch(self, batch: Batch) -> None:
        """Plan it, if that is not done, and show it."""
        from umsui.console.screens.batch import BatchScreen  # noqa: PLC0415

        if self.many is not batch:
            if self.many is not None and self.many.active:
                self.notify(f"{self.many.title} goes on: stop it first (b shows it).", severity="warning")
                return
            self.many = batch
            self.runner.plan(batch)
        self.push_screen(BatchScreen(batch))

    def start_batch(self, batch: Batch) -> None:
        """Begin the first ones."""
        batch.start()
        self.runner.go_on(batch)
        self.show_soon()

    def on_weighed(self, message: Weighed) -> None:
        """One more plan."""
        message.batch.learn(message.service, message.plan, message.error)
        self.show_soon()

    def on_begun(self, message: Begun) -> None:
        """One more is under way, or was refused."""
        if message.migration is None:
            message.batch.failed(message.move, message.error)
        else:
            message.batch.begun(message.move, message.migration)
            self.world.migrations.setdefault(message.migration.id, message.migration)
            message.batch.heard(self.world.migrations)
        self.runner.go_on(message.batch)
        self.show_soon()

    def open_migration(self, migration: str) -> None:
        """Its screen, live or as a report."""
        from umsui.console.screens.migration import MigrationScreen  # noqa: PLC0415

        self.push_screen(MigrationScreen(self.world, migration))

    def open_replay(self, migration: str, speed: float = 1.0) -> None:
        """Its recording."""
        from umsui.console.screens.replay import ReplayScreen  # noqa: PLC0415

        self.push_screen(ReplayScreen(self.world, migration, speed))

    def action_help(self) -> None:
        """All keys, and what the signs mean."""
        from umsui.console.screens.help import Help  # noqa: PLC0415

        if not isinstance(self.screen, Help):
            self.push_screen(Help(str(getattr(self.screen, "SCOPE", ""))))

    async def action_command_line(self) -> None:
        """Type a command."""
        from umsui.console.widgets.commandbox import CommandBox  # noqa: PLC0415

        if not self.screen.query("#command"):
            await self.screen.mount(CommandBox())  # what is typed next is for it

    @cached_property
    def history(self) -> History:
        """Commands typed before."""
        return History.load()

    def candidates(self, kind: str) -> Sequence[str]:
        """What there is of a kind of argument, for completion."""
        if kind == "theme":
            return sorted(self.library.themes)
        if kind == "service":
            return sorted(service.key for service in self.world.services())
        labels = sorted({key for service in self.world.services() for key in service.labels})
        known = {"cluster": sorted(self.world.clusters), "sort": list(SORTS), "group": [*GROUPS, *labels]}
        terms = [f"state:{words.word_of(state)}" for state in ServiceState]
        known["filter"] = [*terms, *(f"approach:{letter.lower()}" for letter in words.BADGE.values()),
                           *(f"label:{key}=" for key in labels)]  # fmt: skip
        return known.get(kind, [])

    def action_redraw(self) -> None:
        """All of the screen once more: something else has written on it."""
        if isinstance(self._driver, LeanDriver):
            self._driver.forget()
        self.screen.refresh(layout=True)

    def action_next_theme(self, name: str = "") -> None:
        """The next one, or the one named."""
        if os.environ.get("NO_COLOR") is not None:
            self.notify("NO_COLOR is set: there is only one without colours.", timeout=3)
            return
        names = sorted(self.library.themes)
        if name and name not in names:
            self.notify(f"There is no theme {name}; there are: {', '.join(names)}", severity="warning", markup=False)
            return
        self.theme = name or after(self.theme, names)
        self.notify(f"Theme: {self.theme}", timeout=2)

    async def action_quit(self) -> None:
        """Leave; running migrations go on. What waits in a batch would not: that is asked for."""
        waiting = self.many.count(Turn.WAITING) if self.many is not None else 0
        if not waiting:
            await self.leave(True)
            return
        from umsui.console.screens.confirm import Confirm  # noqa: PLC0415

        text = f"{words.plural(waiting, 'move')} would not be begun. Those under way go on without the console."
        self.push_screen(Confirm("Leave?", text), self.leave)

    async def leave(self, sure: bool | None) -> None:
        """Close the console."""
        if sure:
            await self.feed.close()
            self.exit()

    def copy_to_clipboard(self, text: str) -> None:
        """By OSC 52, through tmux and screen, too."""
        super().copy_to_clipboard(text)
        for sequence in clipboard.sequences(text):
            if self._driver is not None:
                self._driver.write(sequence)
