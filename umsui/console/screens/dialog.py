"""What dialogs share: a scrolling middle that leaves room for what stands below it."""

from __future__ import annotations

from typing import Any, TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Region
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widget import Widget

T = TypeVar("T")

FRAME = 6
"""Rows of border, padding, key line and the margin above it."""


class Behind:
    """The screen below as grey text: a line is one segment, where Textual's own dimming costs one a word."""

    def __init__(self, screen: Screen[Any], style: Style) -> None:
        rows = [" " * screen.size.width] * screen.size.height
        _paste(screen, screen.region, rows)
        self._lines = [Segment(row, style) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's hook."""
        for line in self._lines:
            yield line
            yield Segment.line()


def _paste(parent: Widget, window: Region, rows: list[str]) -> None:
    """What the widgets below ``parent`` show, as far as it is inside of ``window``."""
    for widget in parent.children:
        region = widget.region
        seen = region.intersection(window)
        if not widget.display or not seen:
            continue
        inside = seen.translate((-region.x, -region.y))
        for y, strip in zip(range(seen.y, seen.bottom), widget.render_lines(inside), strict=True):
            rows[y] = rows[y][: seen.x] + _flat(strip) + rows[y][seen.right :]
        _paste(widget, seen, rows)


def _flat(strip: Strip) -> str:
    """A character a cell: it is only a shadow."""
    text = strip.text
    if len(text) == strip.cell_length:
        return text
    return "".join(character if cell_len(character) == 1 else " " * cell_len(character) for character in text)


class Dialog(ModalScreen[T]):
    """A modal screen with one ``.dialog`` in the middle of it."""

    _behind: Behind | None = None

    def render(self) -> RenderableType:
        """What is behind the dialog, as it was when the dialog came."""
        if self._behind is None:
            stack = self.app.screen_stack
            below = stack.index(self) - 1 if self in stack else -1
            if below < 0:
                return ""
            self._behind = Behind(stack[below], self.rich_style)
        return self._behind

    def on_mount(self) -> None:
        """Whatever changes the height of a part has the middle fitted again."""
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self.fit())

    def fit(self) -> None:
        """Give the middle what the rest leaves; without this a long text would push the keys off the screen."""
        below = sum(
            child.outer_size.height + child.styles.margin.height
            for child in self.query_one(".dialog", Vertical).children
            if child.display and not isinstance(child, VerticalScroll) and "keys" not in child.classes
        )
        middle = self.query_one(VerticalScroll) if self.query(VerticalScroll) else None
        if middle is None:
            return
        room = max(self.size.height - FRAME - below, 3)
        if middle.styles.max_height is None or middle.styles.max_height.value != room:
            middle.styles.max_height = room

    def on_resize(self) -> None:
        """The terminal has another size."""
        self._behind = None

    def action_page(self, way: int) -> None:
        """A page up or down."""
        middle = self.query_one(VerticalScroll)
        middle.scroll_relative(y=way * max(middle.size.height - 1, 1), animate=False)
