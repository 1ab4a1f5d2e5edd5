"""A recording, played as it happened: the migration screen with a playhead. Nothing is asked of any node."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from textual.app import ComposeResult

from umsui.console import keymap
from umsui.console.ears import TROUBLE
from umsui.console.messages import Answered, Told
from umsui.console.record import EPOCH, Record
from umsui.console.screens.migration import UPDATE, MigrationScreen
from umsui.console.widgets.lines import KeyLine, MoveTitle
from umsui.console.widgets.playhead import Playhead, Position
from umsui.console.world import World
from umsui.model import PHASE_OF, Event, Migration, Overhead, Step, Traffic

SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
STEP = 1.0
"""Seconds that an arrow key seeks, at a speed of 1."""


class ReplayScreen(MigrationScreen):
    """The panels show what was known at the playhead, and say that it is a recording."""

    SCOPE = "replay"
    BINDINGS = keymap.bindings("replay")

    def __init__(self, world: World, migration_id: str, speed: float = 1.0) -> None:
        super().__init__(world, migration_id)
        self.events: list[Event] = []
        self.at = 0.0
        self.speed = speed
        self.paused = False
        self._told = 0  # events before the playhead
        self._last_tick = 0.0
        self._whole = 0.0
        self._marks: tuple[float, ...] = ()

    def compose(self) -> ComposeResult:
        """The playhead below the title."""
        yield MoveTitle()
        yield Playhead(self.position)
        yield from self.content()
        yield KeyLine(self.SCOPE)

    async def _follow(self) -> None:
        try:
            await self._find()
            final = self._final
            if final is not None and final.outcome is None:
                answer = Answered("recording", None, "It is still running: watch it live instead.")
            else:
                answer = Answered("recording", [event async for event in self.console.feed.events(self.migration_id)])
        except TROUBLE as error:
            answer = Answered("recording", None, str(error))
        await asyncio.sleep(0)
        self.post_message(answer)

    def heard_recording(self, message: Answered) -> None:
        """All of it; play."""
        if message.value is None:
            self.app.post_message(Told(message.error, "No recording", "error"))
            self.leave()
            return
        self.events = message.value
        whole = Record()
        for event in self.events:
            whole.apply(event)
        outage = whole.outage
        self._marks = (outage[0], outage[1]) if outage is not None else ()
        self._whole = self._time(self.events[-1]) if self.events else 0.0
        self._last_tick = self.console.clock.steady()
        self.seek(self.at)

    @property
    def _final(self) -> Migration | None:
        return self.world.migrations.get(self.migration_id) or self._own

    @property
    def migration(self) -> Migration | None:
        """As it was known at the playhead."""
        final = self._final
        if final is None or self.record.result is not None:
            return final
        running = [name for name, run in self.record.steps.items() if run.state == "started"]
        step = Step(running[-1]) if running else Step.VERIFY
        return replace(
            final,
            outcome=None,
            downtime=None,
            overhead=Overhead(),
            bytes=Traffic(),
            error=None,
            finished=None,
            step=step,
            phase=PHASE_OF[step],
            cancellable=False,
        )

    # The playhead.

    def position(self) -> Position:
        """Where it is."""
        return Position(self.at, self._whole, self.speed, self.paused, self._marks)

    def _time(self, event: Event) -> float:
        origin = self.events[0].t if self.events[0].t > EPOCH else 0.0
        return event.t - origin if event.t > EPOCH else event.t

    def seek(self, at: float) -> None:
        """Put the playhead there."""
        at = min(max(at, 0.0), self._whole)
        if at < self.at or self._told == 0:
            self.record, self._told = Record(), 0
        self.at = at
        while self._told < len(self.events) and self._time(self.events[self._told]) <= at:
            self.record.apply(self.events[self._told])
            self._told += 1
        if at >= self._whole:
            self.paused = True
        self._show()

    def _update(self) -> None:
        now = self.console.clock.steady()
        passed, self._last_tick = now - self._last_tick, now
        if self.events and not self.paused and self.in_front:
            self.seek(self.at + min(passed, 4 * UPDATE) * self.speed)

    def _show(self) -> None:
        super()._show()
        if self.in_front:
            self.query_one(Playhead).repaint()

    def _now(self) -> float:
        return self.at

    def on_playhead_sought(self, message: Playhead.Sought) -> None:
        """Clicked."""
        self.seek(message.at)

    # Actions.

    def action_pause(self) -> None:
        """Stop, or go on; from the beginning when it is over."""
        if self.paused and self._told == len(self.events):
            self.seek(0.0)
        self.paused = not self.paused
        self._show()

    def action_seek(self, way: int) -> None:
        """A little back or on."""
        self.seek(self.at + way * STEP * max(self.speed, 1.0))

    def action_jump(self, where: str) -> None:
        """To its beginning, its freeze or its end."""
        freeze = max(self._marks[0] - 0.05, 0.0) if self._marks else 0.0
        self.seek({"start": 0.0, "end": self._whole}.get(where, freeze))

    def action_faster(self, way: int) -> None:
        """The next speed."""
        at = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - self.speed))
        self.speed = SPEEDS[min(max(at + way, 0), len(SPEEDS) - 1)]
        self._show()
