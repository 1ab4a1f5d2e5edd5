"""A value over time as an area, with its scale to the left and the time below."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from umsui.console import words
from umsui.console.text import Line, column
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.charts import EIGHTHS
from umsui.vitals import Points

AXIS = 11
SPANS = (60.0, 300.0, 900.0, 3600.0)


class Series(Canvas):
    """The last minutes of what ``points`` tells; ``said`` writes a value with its unit."""

    def __init__(self, points: Callable[[], Points], said: Callable[[float], str], wall: Callable[[], float]) -> None:
        super().__init__(classes="series")
        self._points, self._said, self._wall = points, said, wall

    def paint(self, width: int, height: int) -> list[Line]:
        """Area above, time axis below."""
        points, room, rows = self._points(), width - AXIS - 1, height - 1
        if not points or room < 8 or rows < 1:
            return [[(" nothing was measured yet", "faint")]]
        now = max(self._wall(), points[-1][0])
        span = next((span for span in SPANS if now - points[0][0] <= span), SPANS[-1])
        values = _columns(points, now, span, room)
        top = max((value for value in values if value is not None), default=1.0) * 1.05 or 1.0
        lines: list[Line] = []
        for y in range(rows):
            label = self._said(top) if y == 0 else "0" if y == rows - 1 and rows > 1 else ""
            cells = "".join(_cell(value, top, rows, y) for value in values)
            lines.append([column(label, AXIS - 2, "dim", right=True), (" │", "faint"), (cells, "wire")])
        return [*lines, _times(span, room)]


def _columns(points: Points, now: float, span: float, count: int) -> list[float | None]:
    """The last known value at the end of each column; None before the first."""
    times = [when for when, _ in points]
    out: list[float | None] = []
    for index in range(count):
        at = bisect_right(times, now - span + (index + 1) * span / count) - 1
        out.append(points[at][1] if at >= 0 else None)
    return out


def _cell(value: float | None, top: float, rows: int, y: int) -> str:
    if value is None:
        return " "
    level = round(value / top * rows * 8)
    return EIGHTHS[min(max(level - (rows - 1 - y) * 8, 0), 8)]


def _times(span: float, room: int) -> Line:
    left, right = f"{words.MINUS}{words.age(span)}", "now"
    return [(" " * AXIS, ""), (left + "─" * max(room - len(left) - len(right), 0) + right, "dim")]
