"""What dialogs share: a scrolling middle that leaves room for what stands below it."""

from __future__ import annotations

from typing import TypeVar

from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

T = TypeVar("T")

FRAME = 6
"""Rows of border, padding, key line and the margin above it."""


class Dialog(ModalScreen[T]):
    """A modal screen with one ``.dialog`` and one VerticalScroll in it."""

    def fit(self) -> None:
        """Give the middle what the rest leaves; without this a long text would push the keys off the screen."""
        below = sum(
            child.outer_size.height + child.styles.margin.height
            for child in self.query_one(".dialog", Vertical).children
            if child.display and not isinstance(child, VerticalScroll) and "keys" not in child.classes
        )
        middle = self.query_one(VerticalScroll)
        room = max(self.size.height - FRAME - below, 3)
        if middle.styles.max_height is None or middle.styles.max_height.value != room:
            middle.styles.max_height = room

    def on_resize(self) -> None:
        """The terminal has another size."""
        self.call_after_refresh(self.fit)

    def action_page(self, way: int) -> None:
        """A page up or down."""
        middle = self.query_one(VerticalScroll)
        middle.scroll_relative(y=way * max(middle.size.height - 1, 1), animate=False)
