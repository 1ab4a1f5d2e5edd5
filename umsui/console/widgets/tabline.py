"""Tabs on one line, each with a count; clicked or stepped through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.message import Message

from umsui.console.text import Line, length
from umsui.console.widgets.canvas import Canvas


class TabLine(Canvas):
    """``labels`` tells each tab's name and what is written on it."""

    class Chosen(Message):
        """Another tab is wanted."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, labels: Callable[[], Sequence[tuple[str, str]]], active: str) -> None:
        super().__init__(classes="tabline")
        self._labels = labels
        self.active = active
        self._spans: list[tuple[int, int, str]] = []

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line."""
        line: Line = []
        self._spans = []
        for name, label in self._labels():
            text = f"[{label}]" if name == self.active else f" {label} "
            self._spans.append((length(line), len(text), name))
            line += [(text, "title selected" if name == self.active else "dim"), (" ", "")]
        return [line]

    def step(self, way: int) -> None:
        """The next one, around the end."""
        names = [name for name, _ in self._labels()]
        self.post_message(self.Chosen(names[(names.index(self.active) + way) % len(names)]))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A tab was pressed."""
        for start, width, name in self._spans:
            if start <= event.x < start + width:
                self.post_message(self.Chosen(name))
