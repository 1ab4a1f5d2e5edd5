"""The card that follows the mouse, on a layer of its own; small, since each of its moves is sent to the terminal."""

from __future__ import annotations

from textual.geometry import Offset

from umsui.console import words
from umsui.console.drag import Drag
from umsui.console.text import Line, column, fit
from umsui.console.widgets.canvas import Canvas

WIDTH = 22


class Ghost(Canvas):
    """Name and memory of what is being carried."""

    def __init__(self, drag: Drag) -> None:
        super().__init__(classes="ghost")
        self.drag = drag

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line."""
        memory = words.size(sum(service.memory for service in self.drag.services))
        name = fit(self.drag.name, width - len(memory) - 4)
        return [[("⇄ ", "accent"), column(name, width - len(memory) - 3, "name"), (memory, "text"), (" ", "")]]

    def follow(self, pointer: Offset, bounds: tuple[int, int]) -> None:
        """Beside the pointer, inside the screen."""
        x = min(pointer.x + 1, bounds[0] - WIDTH)
        y = min(pointer.y + 1, bounds[1] - 1)
        self.styles.offset = (max(x, 0), max(y, 0))
