"""Many moves at once: planned together, confirmed once, followed, stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from umsui.console import keymap, words
from umsui.console.batch import Batch, Turn
from umsui.console.messages import Told
from umsui.console.screens.dialog import FRAME, Dialog
from umsui.console.screens.plan import command
from umsui.console.widgets.batchsheet import BatchFoot, BatchSheet
from umsui.console.widgets.lines import KeyLine
from umsui.console.widgets.plansheet import Trouble

if TYPE_CHECKING:
    from umsui.console.app import Console


class BatchScreen(Dialog[None]):
    """Enter starts; Escape closes it: what has been started goes on."""

    SCOPE = "batch"
    CSS_PATH = "batch.tcss"
    BINDINGS = keymap.bindings("batch")
    AUTO_FOCUS = ""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.many = batch

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Moves, what they come to, the protected cluster's question, trouble, keys."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self.many.title
            yield BatchSheet(self.many)
            yield BatchFoot(self.many)
            yield Input(classes="confirm", compact=True)
            yield Trouble(classes="trouble")
            yield KeyLine("batch")

    def on_mount(self) -> None:
        """Plan what is not planned."""
        self.world_changed()

    def fit(self) -> None:
        """As many lines as there are moves, or as there is room for."""
        room = self.size.height - FRAME - 7
        self.query_one(BatchSheet).styles.height = max(min(len(self.many.moves) + 1, room), 3)

    def world_changed(self) -> None:
        """Something about the moves."""
        batch = self.many
        self.query_one(BatchSheet).repaint()
        self.query_one(BatchFoot).repaint()
        box = self.query_one(".confirm", Input)
        asked = bool(batch.unnamed) and not batch.started  # while they are planned, too: one may type ahead
        if asked:
            box.placeholder = self._question()
        if box.has_class("-asked") != asked:
            box.set_class(asked, "-asked")
            if asked:
                box.focus()
            else:
                self.set_focus(None)
        keys = self.query_one(KeyLine)
        can_start = batch.planned and not batch.started and batch.count(Turn.READY) > 0
        keys.disabled_names = frozenset({"stop"} if not batch.active else set()) | frozenset(
            set() if can_start else {"start"}
        )
        keys.repaint()

    def tick(self) -> None:
        """Nothing here ages."""

    def _say(self, text: str) -> None:
        trouble = self.query_one(Trouble)
        trouble.text = text
        trouble.set_class(bool(text), "-said")
        trouble.repaint()

    def action_start(self) -> None:
        """All that can move, a few at a time."""
        batch = self.many
        if batch.started:
            return
        if not batch.planned:
            self._say("Not all plans are there yet.")
        elif not batch.count(Turn.READY):
            self._say("None of them can move: what is marked ✕ says why.")
        elif batch.unnamed:
            self._take_names()
        else:
            self._say("")
            self.console.start_batch(batch)
            self.world_changed()

    def _question(self) -> str:
        left = self.many.unnamed
        first = left[0].service
        more = f", then {words.plural(len(left) - 1, 'more name')}" if len(left) > 1 else ""
        return f"{self.many.guarded[first.key]} is protected: type {first.name} to confirm{more}"

    def _take_names(self) -> None:
        """One name after the other, or several at once; the last one starts them."""
        box = self.query_one(".confirm", Input)
        typed, box.value = box.value, ""
        strange = self.many.name(typed)
        if not self.many.unnamed and not strange:
            self.action_start()
            return
        self._say(f"none of them that waits for its name is called {strange[0]}" if strange else "")
        if not typed.strip():
            self._say(self._question())
        self.world_changed()

    @on(Input.Submitted)
    def confirmed(self) -> None:
        """Enter in the protected cluster's question."""
        self.action_start()

    def action_stop(self) -> None:
        """Begin no further one; those under way go on."""
        if self.many.active:
            self.many.stop("stopped by you")
            self.world_changed()

    def action_scroll_moves(self, lines: int) -> None:
        """Up and down."""
        self.query_one(BatchSheet).scroll_lines(lines)

    def action_copy(self) -> None:
        """The same as commands."""
        text = "\n".join(command(request) for request in self.many.requests())
        self.app.copy_to_clipboard(text)
        self.app.post_message(Told(text.partition("\n")[0] + " …", "Copied"))

    def action_close(self) -> None:
        """Back to the board; ``b`` there shows it again."""
        self.dismiss(None)
