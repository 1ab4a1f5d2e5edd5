"""Where a replay is in its recording: a line that is clicked to go elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.message import Message

from umsui.console import words
from umsui.console.text import Line, length
from umsui.console.widgets.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Position:
    """Seconds into a recording of ``whole`` seconds; the freeze and the first reply are landmarks."""

    at: float
    whole: float
    speed: float
    paused: bool
    marks: tuple[float, ...] = ()


class Playhead(Canvas):
    """``RECORDING  ▶ 2x  1.32 s ━━━━●──── 3.41 s``."""

    class Sought(Message):
        """Another place is wanted, in seconds."""

        def __init__(self, at: float) -> None:
            super().__init__()
            self.at = at

    def __init__(self, position: Callable[[], Position]) -> None:
        super().__init__(classes="playhead")
        self._position = position
        self._bar = (0, 0)

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line."""
        here = self._position()
        state = "‖ paused" if here.paused else "▶ playing"
        head: Line = [(" RECORDING ", "title drop"), (f" {state} ", "accent"), (f"{here.speed:g}x", "name")]
        head.append((f"  {words.duration(here.at)} ".rjust(11), "text"))
        tail: Line = [(f" {words.duration(here.whole)} ", "dim")]
        room = width - length(head) - length(tail)
        if room < 8 or not here.whole:
            return [head]
        self._bar = (length(head), room)
        gone = min(round(here.at / here.whole * (room - 1)), room - 1)
        cells = [("━", "bar")] * gone + [("●", "accent")] + [("─", "track")] * (room - gone - 1)
        for mark in here.marks:
            at = min(round(mark / here.whole * (room - 1)), room - 1)
            if at != gone:
                cells[at] = ("╂" if at < gone else "┼", "outage")
        return [[*head, *cells, *tail]]

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Go there."""
        start, room = self._bar
        if room and start <= event.x < start + room:
            self.post_message(self.Sought((event.x - start) / max(room - 1, 1) * self._position().whole))
