"""One question, yes or no."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from umsui.console import keymap
from umsui.console.screens.dialog import Dialog
from umsui.console.text import Line, wrap
from umsui.console.widgets.canvas import Sheet
from umsui.console.widgets.lines import KeyLine


class Question(Sheet):
    """What yes would do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Wrapped."""
        return [[(piece, "text")] for piece in wrap(self.text, width)]


class Confirm(Dialog[bool]):
    """Dismisses with the answer."""

    SCOPE = "confirm"
    CSS_PATH = "confirm.tcss"
    BINDINGS = keymap.bindings("confirm")
    AUTO_FOCUS = ""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Question and keys."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Question(self._text)
            yield KeyLine("confirm")

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(True)

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(False)
