"""What full screens share: the lines above and below, questions to the coordinator, and a line to type into."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from umsui.console.ears import TROUBLE
from umsui.console.messages import Answered
from umsui.console.widgets.lines import KeyLine, TopLine
from umsui.console.world import World

if TYPE_CHECKING:
    from umsui.console.app import Console

T = TypeVar("T")


class Page(Screen[T]):
    """A full screen. ``heard_<what>`` gets the answers of ``ask``; nothing is asked while another is in front."""

    SCOPE: ClassVar[str] = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  (Textual's type)
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]  # noqa: RUF012  (Textual's type)
    AUTO_FOCUS = ""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    # From top to bottom.

    def compose(self) -> ComposeResult:
        """The lines around what ``content`` yields."""
        clock = self.console.clock
        yield TopLine(self.world, clock.wall, clock.steady)
        yield from self.content()
        yield Input(classes="filter", compact=True)
        yield KeyLine(self.SCOPE)

    def content(self) -> ComposeResult:
        """What is between them."""
        raise NotImplementedError

    @property
    def in_front(self) -> bool:
        """Whether it is what one sees; never when the app is closing."""
        stack = self.app.screen_stack
        return bool(stack) and stack[-1] is self

    # Asking.

    def ask(self, what: str, call: Callable[[], Awaitable[Any]], every: float | None = None) -> None:
        """Have ``heard_<what>`` called with the answer, ``every`` so many seconds. Replaces the question before."""
        self.run_worker(self._asking(what, call, every), group=what, exclusive=True)

    async def _asking(self, what: str, call: Callable[[], Awaitable[Any]], every: float | None) -> None:
        while True:
            if self.in_front:
                try:
                    self.post_message(Answered(what, await call()))
                except TROUBLE as error:
                    self.post_message(Answered(what, None, str(error), getattr(error, "fix", "")))
            if every is None:
                return
            await asyncio.sleep(every)

    def on_answered(self, message: Answered) -> None:
        """To the method that waits for it."""
        message.stop()
        getattr(self, f"heard_{message.what}")(message)

    # What the app tells.

    def on_screen_resume(self) -> None:
        """Back from another screen, under which nothing was painted."""
        if self.query(KeyLine):  # not when the app is closing
            self.world_changed()

    def world_changed(self) -> None:
        """Something was heard."""
        self.tick()

    def tick(self) -> None:
        """A second has passed."""
        for line in self.query(TopLine):  # none any more when the app is closing
            line.repaint()

    # A line to type into, for a filter or a search.

    def action_filter(self) -> None:
        """Type into it."""
        self.add_class("-filtering")
        self.query_one(".filter", Input).focus()

    def typed(self, text: str) -> None:
        """With each keystroke."""

    @on(Input.Changed, ".filter")
    def _typed(self, event: Input.Changed) -> None:
        self.typed(event.value)

    @on(Input.Submitted, ".filter")
    def _kept(self) -> None:
        self.remove_class("-filtering")
        self.set_focus(None)

    def action_close(self) -> None:
        """What was typed goes first, then the screen."""
        box = self.query_one(".filter", Input)
        if box.value or self.has_class("-filtering"):
            box.value = ""
            self._kept()
        else:
            self.leave()

    def leave(self) -> None:
        """Back to the screen before."""
        self.dismiss(None)


def panel(title: str, content: Widget, *, id: str | None = None, classes: str = "") -> Vertical:
    """A widget in a frame with a title."""
    framed = Vertical(content, id=id, classes=f"panel {classes}".strip())
    framed.border_title = title
    return framed
