"""A log that follows: the newest line below, older ones by scrolling, matches of a search marked."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from textual import events

from umsui.console.text import Line
from umsui.console.widgets.canvas import Canvas

KEPT = 5000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Without anything that a terminal would obey: what a service prints is not to be trusted."""
    return _CONTROL.sub("", _ESCAPES.sub("", text).expandtabs(4))


class LogView(Canvas):
    """Keeps the last lines; long ones take several rows."""

    def __init__(self) -> None:
        super().__init__(classes="logview")
        self.lines: deque[str] = deque(maxlen=KEPT)
        self.dropped = 0
        self.back = 0  # lines that are newer than the one at the bottom
        self.wanted = ""
        self.said = "asking the coordinator …"

    def add(self, lines: Sequence[str], dropped: int) -> None:
        """New ones; one who has scrolled back stays where they are."""
        if self.back:
            self.back = min(self.back + len(lines), len(self.lines))
        self.lines.extend(clean(line) for line in lines)
        self.dropped = dropped
        self.said = "nothing logged yet"
        self.repaint()

    def clear(self, said: str) -> None:
        """From the beginning."""
        self.lines.clear()
        self.back, self.said = 0, said
        self.repaint()

    @property
    def matches(self) -> int:
        """Lines that the search finds."""
        return sum(1 for line in self.lines if self._found(line)) if self.wanted else 0

    def search(self, query: str) -> None:
        """Another search: from the newest line."""
        self.wanted = query.casefold()
        self.back = 0
        self.find(0)

    def find(self, way: int) -> None:
        """The next match, older (1) or newer (-1); 0 counts the line one is at."""
        if not self.wanted:
            return
        newest = len(self.lines) - 1
        at = newest - self.back + (-way)
        while 0 <= at <= newest:
            if self._found(self.lines[at]):
                self.back = newest - at
                break
            at += -1 if way >= 0 else 1
        self.repaint()

    def scroll_lines(self, count: int) -> None:
        """Positive is towards the newest."""
        self.back = min(max(self.back - count, 0), max(len(self.lines) - 1, 0))
        self.repaint()

    def follow(self) -> None:
        """The newest again, as they come."""
        self.back = 0
        self.repaint()

    def paint(self, width: int, height: int) -> list[Line]:
        """From the bottom up, as many as fit."""
        if not self.lines:
            return [[(f" {self.said}", "faint")]]
        rows: list[Line] = []
        index = len(self.lines) - 1 - self.back
        while index >= 0 and len(rows) < height:
            rows[:0] = self._rows(self.lines[index], max(width - 2, 8), marked=bool(self.back) and not rows)
            index -= 1
        return rows[-height:]

    def _rows(self, line: str, width: int, *, marked: bool) -> list[Line]:
        found = self._found(line)
        ink = "text drop" if found else "text"
        edge = ("▸", "accent") if found or (marked and self.wanted) else (" ", "")
        pieces = [line[at : at + width] for at in range(0, len(line), width)] or [""]
        return [[edge if index == 0 else (" ", ""), (piece, ink)] for index, piece in enumerate(pieces)]

    def _found(self, line: str) -> bool:
        return bool(self.wanted) and self.wanted in line.casefold()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Older."""
        event.stop()
        self.scroll_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Newer."""
        event.stop()
        self.scroll_lines(3)
