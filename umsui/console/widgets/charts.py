"""The live charts: columns of fixed time, pages that turn instead of scrolling: a step costs one column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from umsui.console import words
from umsui.console.record import Record
from umsui.console.text import Line, column, spread
from umsui.console.widgets.canvas import Canvas

AXIS = 9
FLOOR = 0.001
"""Replies faster than this are drawn at the bottom: their differences say nothing."""
TALLEST = 4
"""Rows of the throughput's bars: each costs some bytes with each new column."""
_BRAILLE = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""Braille bits of a cell's two columns, from the lowest dot up."""
EIGHTHS = " ▁▂▃▄▅▆▇█"


def page(last: float, span: float) -> float:
    """The left end of a window of ``span`` that turns by halves: what is new appears in its right half."""
    half = span / 2
    return max(math.floor(last / half) - 1, 0) * half


def window(record: Record, live: float = 4.0) -> tuple[float, float]:
    """Left end and span of the latency chart: live until the freeze, then held on the outage, its picture's centre."""
    frozen, outage = record.frozen_at, record.outage
    if frozen is None:
        return page(record.last, live), live
    if outage is not None and outage[2]:
        begin, end, _ = outage
        span = max(0.5, 3.2 * (end - begin))
        if record.last >= end + 0.3 * span or record.result is not None:
            return begin - 0.34 * span, span
    span = live
    while record.last > frozen + 0.6 * span:
        span *= 2
    return frozen - 0.4 * span, span


class LatencyChart(Canvas):
    """What a client of the service sees: its reply times, the outage marked, time zero at the freeze."""

    def __init__(self, record: Callable[[], Record], witness: Callable[[], str]) -> None:
        super().__init__(classes="chart")
        self._record = record
        self._witness = witness

    def paint(self, width: int, height: int) -> list[Line]:
        """Plot above, time axis below."""
        record = self._record()
        plot_width, plot_height = width - AXIS - 1, height - 1
        if plot_width < 8 or plot_height < 2:
            return []
        if not record.samples:
            text = "waiting for the first probe …" if record.result is None else "no client could be asked: no port"
            return [[]] * (height // 2) + [[(text.center(width), "faint")]]
        left, span = window(record)
        values = _columns(record.samples, left, span, plot_width * 2)
        low, high = _scale([value for value in values if value is not None])
        grid = _plot(values, plot_height, low, high)
        lines: list[Line] = []
        blank = _blank(record, left, span, plot_width)
        for y in range(plot_height):
            cells: Line = [(cell, "wire") for cell in grid[y]]
            if blank is not None:
                begin, end, label, ink = blank
                cells[begin:end] = _mark(y, end - begin, plot_height, label, ink)
            if y == 0 and (said := _corner(record, self._witness())):
                cells[-len(said) :] = [(said, "dim")]
            lines.append([*_axis(y, plot_height, low, high), *cells])
        return [*lines, _times(record, left, span, plot_width)]


def _corner(record: Record, witness: str) -> str:
    """The last reply's time while it runs; afterwards who measured the outage."""
    outage = record.outage
    if outage is not None and outage[2]:
        return f"  {witness}"
    if record.result is not None or not record.samples:
        return ""
    reply = record.samples[-1][1]
    return "  no reply" if reply is None else f"  now {words.duration(reply)}"


def _columns(samples: Sequence[tuple[float, float | None]], left: float, span: float, count: int) -> list[float | None]:
    """The slowest reply in each column; a column without a sample between two that have one takes its left one's."""
    out: list[float | None] = [None] * count
    lost = [False] * count
    for t, reply in samples:
        index = math.floor((t - left) / span * count)
        if 0 <= index < count:
            if reply is None:
                lost[index] = True
            else:
                out[index] = max(out[index] or 0.0, reply)
    known = [i for i, value in enumerate(out) if value is not None]
    for a, b in pairwise(known):
        # Bridge only gaps as short as the probe's own pace, never an outage.
        if b - a <= max(3, count * 0.012 / span + 2) and not any(lost[a:b]):
            out[a:b] = [out[a]] * (b - a)
    return out


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """From 1 ms on, in whole decades: a scale that stays is a chart that stays."""
    high = 10 ** math.ceil(math.log10(max(max(values, default=0.01), 0.01) * 1.0001))
    return FLOOR, max(high, 100 * FLOOR)


def _plot(values: Sequence[float | None], height: int, low: float, high: float) -> list[list[str]]:
    """Braille cells, a line through the values."""
    rows = height * 4
    dots = [[0] * (len(values) // 2) for _ in range(height)]
    before: int | None = None
    for x, value in enumerate(values):
        if value is None:
            before = None
            continue
        level = math.log10(max(value, low) / low) / math.log10(high / low)
        y = min(int(level * (rows - 1) + 0.5), rows - 1)
        start, stop = sorted((y, before if before is not None else y))
        for dot in range(start, stop + 1):
            dots[height - 1 - dot // 4][x // 2] |= _BRAILLE[x % 2][dot % 4]
        before = y
    return [[chr(0x2800 + cell) if cell else " " for cell in row] for row in dots]


def _axis(y: int, height: int, low: float, high: float) -> Line:
    """A label at each decade."""
    decades = round(math.log10(high / low))
    for decade in range(decades + 1):
        if round((height - 1) * (1 - decade / decades)) == y:
            return [column(words.duration(low * 10**decade), AXIS - 2, "dim", right=True), (" ┤", "faint"), (" ", "")]
    return [(" " * (AXIS - 1), ""), ("│", "faint"), (" ", "")]


def _blank(record: Record, left: float, span: float, width: int) -> tuple[int, int, str, str] | None:
    """The outage's cells and its label."""
    outage = record.outage
    if outage is None or outage[1] <= outage[0]:
        return None
    begin, end, over = outage
    first = math.floor((begin - left) / span * width)
    last = math.ceil((end - left) / span * width)
    first, last = max(first, 0), min(max(last, first + 1), width)
    if first >= last:
        return None
    label = words.duration(end - begin) + ("" if over else " …")
    return first, last, label, "outage"


def _mark(y: int, width: int, height: int, label: str, ink: str) -> Line:
    """One row of the outage: a measured bracket on top, shade below."""
    if y == 0 and width >= len(label) + 4:
        return [(f" {label} ".center(width - 2, "─").join("├┤"), "label")]
    if y == min(1, height - 1) and 2 <= width < len(label) + 4 and width >= len(label):
        return [(label.center(width), "label")]
    return [("░" * width, ink)]


def _times(record: Record, left: float, span: float, width: int) -> Line:
    """The time axis: seconds since the start, or around the freeze once there is one."""
    zero = record.frozen_at or 0.0
    row = ["─"] * width
    step = next(
        (s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300, 900) if span / s <= max(width / 12, 2)), 3600
    )
    tick = math.ceil((left - zero) / step) * step
    while tick <= left + span - zero:
        label = _signed(tick, bool(record.frozen_at))
        at = int((tick + zero - left) / span * width)
        start = at - len(label) // 2
        if start >= 0 and start + len(label) <= width:
            row[start : start + len(label)] = label
        tick = round(tick + step, 6)
    edge: Line = [(" " * (AXIS - 1) + "└", "faint"), ("─", "faint")]
    if record.exposure is None:
        return [*edge, ("".join(row), "dim")]
    begin, end, _ = record.exposure
    first, last = (min(max(round((t - left) / span * width), 0), width) for t in (begin, end))
    exposed = "".join(row[first:last]).replace("─", "━")
    return [*edge, ("".join(row[:first]), "dim"), (exposed, "warn"), ("".join(row[last:]), "dim")]


def _signed(seconds: float, relative: bool) -> str:
    if abs(seconds) < 1e-9:
        return " 0 freeze " if relative else " 0 "
    text = words.duration(abs(seconds))
    return f" {words.MINUS if seconds < 0 else '+' if relative else ''}{text} "


class WireChart(Canvas):
    """Throughput over time, and how many bytes are left."""

    def __init__(self, record: Callable[[], Record]) -> None:
        super().__init__(classes="chart")
        self._record = record

    def paint(self, width: int, height: int) -> list[Line]:
        """Bars above, numbers below."""
        record = self._record()
        amounts = [(what, amount) for what, amount in record.amounts.items() if amount.total or amount.done]
        if not amounts:
            text = "nothing sent yet" if record.result is None else "nothing was sent"
            return [[]] * (height // 2) + [[(text.center(width), "faint")]]
        detail = amounts if height >= len(amounts) + 4 else []
        bars = min(max(height - 1 - len(detail), 1), TALLEST)
        lines = self._bars(record, width, bars)
        lines.append(self._sum(record, width))
        for what, amount in detail:
            total = max(amount.total or 0, amount.done)
            done = words.part(amount.done, total) if record.result is None else words.size(amount.done)
            lines.append(spread([(f" {what}", "dim")], [(f"{done} ", "dim")], width))
        return lines

    def _bars(self, record: Record, width: int, height: int) -> list[Line]:
        span = 8.0 if record.result is None else max(record.last, 1.0)
        left = page(record.last, span) if record.result is None else 0.0
        room = width - 2
        peaks = [0.0] * room
        for t, value in record.rates:
            index = int((t - left) / span * room)
            if 0 <= index < room:
                peaks[index] = max(peaks[index], value)
        _hold(peaks, int(0.3 / span * room) + 1)
        top = max((value for _, value in record.rates), default=1.0) or 1.0
        levels = [round(value / top * height * 8) if value else 0 for value in peaks]
        rows = [
            "".join(EIGHTHS[min(max(level - (height - 1 - y) * 8, 0), 8)] for level in levels) for y in range(height)
        ]
        return [[(" ", ""), (row, "wire"), (" ", "")] for row in rows]

    def _sum(self, record: Record, width: int) -> Line:
        over = record.result is not None
        said = f"{words.size(record.done)} sent" if over else words.part(record.done, record.total)
        left: Line = [(f" {said}", "text")]
        if not over and record.done < record.total and record.left is not None:
            left.append((f" · left {words.coarse(record.left)}", "text"))
        top = max((value for _, value in record.rates), default=0.0)
        rate = (
            words.rate(record.rate)
            if record.result is None and record.done < record.total
            else f"peak {words.rate(top)}"
        )
        return spread(left, [(f"{rate} ", "wire")], width)


def _hold(values: list[float], longest: int) -> None:
    """A rate holds until the next one is told, for a little while."""
    last, ago = 0.0, longest + 1
    for index, value in enumerate(values):
        if value:
            last, ago = value, 0
        else:
            ago += 1
            if ago <= longest and any(values[index : index + longest]):
                values[index] = last
