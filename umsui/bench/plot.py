"""Small SVG charts, made by hand: grouped bars with whiskers, or lines; one panel below another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 330  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 46, 68  # margins
COLOURS = ("#0b6bcb", "#d1622b", "#3a8f5c", "#8250b0", "#8a8a00", "#777777")
LEGEND = 3  # names in a line
INK, GRID = "#222222", "#dddddd"
LOGARITHMIC = 30.0  # the largest value over the smallest from which on the scale is logarithmic


@dataclass(frozen=True, slots=True)
class Series:
    """Values by their place on the x axis; ``high`` (if any) ends a whisker. ``foreign``: not ours, drawn dashed."""

    name: str
    values: dict[int, float]
    high: dict[int, float] | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. ``bars`` or lines; the x axis is of categories, evenly spaced."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    bars: bool = True


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float  # the value at the bottom; 0 for a linear scale
    high: float

    def y(self, value: float) -> float:
        """Pixels from the panel's top."""
        share = value / self.high
        if self.low:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Where grid lines go."""
        if self.low:
            low, high = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**power for power in range(low, high + 1)]
        step = 10.0 ** math.floor(math.log10(self.high))
        step *= next(part for part in (0.1, 0.2, 0.5, 1.0) if self.high / (step * part) <= 6 or part == 1.0)
        return [step * number for number in range(int(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where one series of a panel is drawn."""

    number: int  # of the series
    of: int  # series
    places: Sequence[int]
    scale: _Scale
    colour: str

    @property
    def slot(self) -> float:
        """Pixels between two places."""
        return (WIDTH - LEFT - RIGHT) / max(1, len(self.places))


def _scale(series: Iterable[Series], *, bars: bool) -> _Scale:
    """The length of a bar must mean something: bars are linear."""
    every = [value for each in series for value in (*each.values.values(), *(each.high or {}).values()) if value > 0]
    if not every:
        return _Scale(0.0, 1.0)
    low, high = min(every), max(every)
    if bars or high / low < LOGARITHMIC:
        return _Scale(0.0, high * 1.08)
    return _Scale(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)))


def svg(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The whole picture, as an SVG document; ``note`` stands at its bottom."""
    height = HEIGHT * len(panels) + 56
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(WIDTH / 2, 24, title, "middle", size=16),
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {32 + number * HEIGHT})">{"".join(_panel(panel))}</g>')
    parts.append(_text(WIDTH / 2, height - 8, note, "middle", size=10))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {where} fill="{INK}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _panel(panel: Panel) -> Iterable[str]:
    places = sorted({place for each in panel.series for place in each.values})
    scale, slot = _scale(panel.series, bars=panel.bars), (WIDTH - LEFT - RIGHT) / max(1, len(places))
    yield _text(LEFT, 18, panel.title, size=13)
    for tick in scale.ticks():
        yield _line(LEFT, scale.y(tick), WIDTH - RIGHT, scale.y(tick), GRID)
        yield _text(LEFT - 6, scale.y(tick) + 4, f"{tick:g}", "end")
    for number, place in enumerate(places):
        yield _text(LEFT + (number + 0.5) * slot, HEIGHT - BOTTOM + 16, str(place), "middle")
    yield _text(WIDTH - RIGHT, HEIGHT - BOTTOM + 32, panel.x, "end")
    yield _text(LEFT, 34, panel.y + (" (logarithmic)" if scale.low else ""), size=11)
    draw = _bars if panel.bars else _curve
    for number, each in enumerate(panel.series):
        colour = COLOURS[number % len(COLOURS)]
        yield from draw(each, _Frame(number, len(panel.series), places, scale, colour))
        left, top = LEFT + number % LEGEND * 230, HEIGHT - 28 + number // LEGEND * 15
        yield f'<rect x="{left}" y="{top}" width="11" height="11" {_paint(each, colour)}/>'
        yield _text(left + 17, top + 10, each.name, size=11)


def _paint(each: Series, colour: str) -> str:
    return f'fill="{"white" if each.foreign else colour}" stroke="{colour}"' + (
        ' stroke-dasharray="3 2"' if each.foreign else ""
    )


def _bars(each: Series, frame: _Frame) -> Iterable[str]:
    scale, slot, colour = frame.scale, frame.slot, frame.colour
    width, floor = slot * 0.78 / frame.of, HEIGHT - BOTTOM
    for index, place in enumerate(frame.places):
        if place not in each.values:
            continue
        left, top = LEFT + index * slot + slot * 0.11 + frame.number * width, scale.y(each.values[place])
        box = f'x="{left:.1f}" y="{top:.1f}" width="{width * 0.92:.1f}" height="{max(floor - top, 0):.1f}"'
        yield f"<rect {box} {_paint(each, colour)}/>"
        middle, end = left + width * 0.46, top
        if each.high and place in each.high:
            end = scale.y(each.high[place])
            yield _line(middle, top, middle, end, INK) + _line(middle - 4, end, middle + 4, end, INK)
        yield _text(middle, end - 4, f"{each.values[place]:.3g}", "middle", size=10)


def _curve(each: Series, frame: _Frame) -> Iterable[str]:
    places, scale, slot, colour = frame.places, frame.scale, frame.slot, frame.colour
    known = [place for place in places if place in each.values]
    points = [(LEFT + (places.index(place) + 0.5) * slot, scale.y(each.values[place])) for place in known]
    dashes = ' stroke-dasharray="5 4"' if each.foreign else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    for x, y, place in [(*points[at], known[at]) for at in sorted({0, len(known) - 1}) if known]:
        shift = -8 if frame.number % 2 == 0 else 16  # a number at each point would hide the lines
        yield _text(x, y + shift, f"{each.values[place]:.3g}", "middle", size=10)
