"""Rows under a heading, one of them under the cursor; only what is in view is painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from textual import events
from textual.message import Message

from umsui.console.text import Line, crop, inked, pad, wrap
from umsui.console.widgets.canvas import Canvas

Item = TypeVar("Item")


class Opened(Message):
    """The row under the cursor was clicked again."""


class Moved(Message):
    """The cursor is on another row."""


class Table(Canvas, Generic[Item]):
    """Subclasses say what a row is; its first cell is the cursor's and the mark's."""

    def __init__(self, empty: str, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="table")
        self.rows: Sequence[Item] = ()
        self.said = "asking the coordinator …"
        self.marked: set[str] = set()
        self.at = 0
        self.top = 0
        self._empty = empty

    def key(self, item: Item) -> str:
        """What a row is known by while the rows change."""
        raise NotImplementedError

    def heading(self, width: int) -> Line:
        """The line above the rows."""
        raise NotImplementedError

    def row(self, item: Item, width: int) -> Line:
        """One line, from its second cell on."""
        raise NotImplementedError

    def show(self, rows: Sequence[Item]) -> None:
        """Others, the cursor staying on its own."""
        current = self.current
        self.rows = rows
        if current is not None:
            key = self.key(current)
            self.at = next((i for i, row in enumerate(rows) if self.key(row) == key), min(self.at, len(rows) - 1))
        self.at = max(self.at, 0)
        self.marked &= {self.key(row) for row in rows}
        self.said = self._empty
        self.repaint()

    def trouble(self, text: str) -> None:
        """There is no answer: say why."""
        self.rows, self.said = (), text
        self.repaint()

    @property
    def current(self) -> Item | None:
        """The one under the cursor."""
        return self.rows[self.at] if self.at < len(self.rows) else None

    def step(self, lines: int) -> None:
        """Move the cursor."""
        self._go(self.at + lines)

    def mark(self) -> None:
        """Mark the one under the cursor, or no longer, and go on."""
        current = self.current
        if current is not None:
            self.marked ^= {self.key(current)}
            self.step(1)
            self.repaint()

    def paint(self, width: int, height: int) -> list[Line]:
        """A heading, then lines."""
        if not self.rows:
            return [[(f" {piece}", "dim")] for piece in wrap(self.said, width - 2)]
        room = height - 1
        self.top = max(min(max(self.top, self.at - room + 1), self.at), 0)
        lines: list[Line] = [crop([("  ", ""), *self.heading(width - 2)], width)]
        for index in range(self.top, min(self.top + room, len(self.rows))):
            item = self.rows[index]
            mark = ("◆", "accent") if self.key(item) in self.marked else (" ", "")
            line = crop([("▌" if index == self.at else " ", "accent"), mark, *self.row(item, width - 2)], width)
            lines.append(inked(pad(line, width), "selected") if index == self.at else line)
        return lines

    def _go(self, index: int) -> None:
        index = min(max(index, 0), max(len(self.rows) - 1, 0))
        if index != self.at:
            self.at = index
            self.post_message(Moved())
        self.repaint()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Select; on the selected one: open."""
        index = self.top + event.y - 1
        if event.y < 1 or index >= len(self.rows):
            return
        if index == self.at:
            self.post_message(Opened())
        self._go(index)

    def on_mouse_scroll_down(self) -> None:
        """On."""
        self.step(3)

    def on_mouse_scroll_up(self) -> None:
        """Back."""
        self.step(-3)
