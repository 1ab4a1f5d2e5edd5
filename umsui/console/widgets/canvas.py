"""A widget that paints inked lines and repaints only the cells that changed.

Textual repaints dirty regions whole; over SSH that is what costs. A canvas keeps what it painted last, compares cell
by cell, and marks only the spans that differ: a clock's tick costs its last digit, a chart's step one column.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from umsui.console.inks import palette
from umsui.console.text import Line, changed_span, merged, pad

_PALETTES: WeakKeyDictionary[App[object], tuple[Theme, dict[str, Style]]] = WeakKeyDictionary()


def _palette_of(app: App[object]) -> dict[str, Style]:
    """The theme's inks, made once a theme."""
    known = _PALETTES.get(app)
    if known is None or known[0] is not app.current_theme:
        known = _PALETTES[app] = app.current_theme, palette(app.theme_variables)
    return known[1]


class Canvas(Widget):
    """Paints ``paint(width, height)``; call ``repaint`` when something may have changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._painted = Size(0, 0)
        self._styles_by_ink: dict[str, Style] = {}

    def paint(self, width: int, height: int) -> list[Line]:
        """The lines to show; cropped and padded by the canvas."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paint again and mark what differs."""
        size = self.content_size
        if not size or not self.is_attached:
            self._painted = Size(0, 0)  # not in view: what was painted is out of date when it comes back
            return
        old, before = self._lines, self._painted
        self._compute(size)
        if before != size:
            self.refresh()
            return
        regions = [
            Region(span[0], y, span[1], 1)
            for y, (was, now) in enumerate(zip(old, self._lines, strict=True))
            if (span := changed_span(was, now)) is not None
        ]
        if regions:
            self.refresh(*regions)

    def _compute(self, size: Size) -> None:
        width, height = size
        lines = [merged(pad(line, width)) for line in self.paint(width, height)[:height]]
        lines += [[(" " * width, "")] for _ in range(height - len(lines))]
        self._lines, self._painted = lines, size

    def render_line(self, y: int) -> Strip:
        """One line for Textual."""
        size = self.content_size
        if self._painted != size:
            self._compute(size)
        if y >= len(self._lines):
            return Strip.blank(size.width, self.rich_style)
        return Strip([Segment(text, self.style_of(ink)) for text, ink in self._lines[y] if text], size.width)

    def style_of(self, inks: str) -> Style:
        """The style of one or several inks on this widget's background; the later ones add to the first."""
        style = self._styles_by_ink.get(inks)
        if style is None:
            known = _palette_of(self.app)
            style = self.rich_style
            for ink in inks.split():
                style += known[ink]
            self._styles_by_ink[inks] = style
        return style

    def notify_style_update(self) -> None:
        """A theme or a class changed: the inks with it."""
        super().notify_style_update()
        self._styles_by_ink.clear()


class Sheet(Canvas):
    """A canvas as high as its text; for dialogs and pages that scroll."""

    DEFAULT_CSS = "Sheet { height: auto; width: 1fr; }"

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """As many rows as there are lines."""
        return max(len(self.paint(width, 10_000)), 1)

    def repaint(self) -> None:
        """Paint again; the page's height may change with it."""
        width, height = self.content_size
        if not width or not self.is_attached:
            return  # the first layout reads what is newest
        if len(self.paint(width, 10_000)) != height:
            self._painted = Size(0, 0)
            self.refresh(layout=True)
            return
        super().repaint()

    def on_resize(self) -> None:
        """The text may have changed between its measuring and its placing."""
        self.repaint()
