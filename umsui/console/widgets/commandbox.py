"""The command line over the keys, with what it could become above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from umsui.console import commandline
from umsui.console.commandline import Completion
from umsui.console.keymap import Action
from umsui.console.text import Line, column, fit, inked, pad
from umsui.console.widgets.canvas import Canvas

if TYPE_CHECKING:
    from umsui.console.app import Console

ROWS = 8
"""Completions shown at a time."""


class Completions(Canvas):
    """Candidates, the chosen one marked."""

    def __init__(self) -> None:
        super().__init__(classes="completions")
        self.found: list[Completion] = []
        self.at = -1  # none is chosen yet

    def show(self, found: list[Completion]) -> None:
        """Others."""
        self.found, self.at = found, -1
        self.styles.height = max(min(len(found), ROWS), 1)
        self.repaint()

    def step(self, way: int) -> Completion | None:
        """The next one."""
        if not self.found:
            return None
        self.at = (self.at + way) % len(self.found) if self.at >= 0 else (0 if way > 0 else len(self.found) - 1)
        self.repaint()
        return self.found[self.at]

    def paint(self, width: int, height: int) -> list[Line]:
        """Some of them, around the chosen one."""
        if not self.found:
            return [[(" nothing fits; Esc closes", "dim")]]
        top = min(max(self.at - height + 1, 0), max(len(self.found) - height, 0))
        lines: list[Line] = []
        for index, each in enumerate(self.found[top : top + height], top):
            line: Line = [(" ", ""), column(each.shown, 30, "key"), (fit(each.help, max(width - 32, 0)), "dim")]
            lines.append(inked(pad(line, width), "selected") if index == self.at else line)
        return lines


class CommandBox(Vertical):
    """Mounted on the screen in front, gone when it is done."""

    def __init__(self) -> None:
        super().__init__(id="command")
        self._before: Widget | None = None

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Completions above the line."""
        yield Completions()
        yield Input(placeholder="a command; Tab completes, ↑ ↓ history, Enter runs it", compact=True, id="command-line")

    def on_mount(self) -> None:
        """Take the keys."""
        self._before = self.screen.focused
        self.console.history.begin()
        self.query_one(Input).focus()
        self._complete("")

    def _actions(self) -> tuple[Action, ...]:
        scope = str(getattr(self.screen, "SCOPE", ""))
        return tuple(action for action in self.console.keys.available(scope) if action.name != "command_line")

    def _complete(self, line: str) -> None:
        self.query_one(Completions).show(commandline.complete(line, self._actions(), self.console.candidates))

    @on(Input.Changed)
    def changed(self, event: Input.Changed) -> None:
        """Other candidates, unless it was one of them that was put there."""
        event.stop()
        chosen = self.query_one(Completions)
        if chosen.at < 0 or chosen.found[chosen.at].line != event.value:
            self._complete(event.value)

    def on_key(self, event: events.Key) -> None:
        """Completion and history."""
        box = self.query_one(Input)
        if event.key in ("tab", "shift+tab"):
            found = self.query_one(Completions).step(1 if event.key == "tab" else -1)
            if found is not None:
                self._put(box, found.line)
        elif event.key in ("up", "down"):
            self._put(box, self.console.history.step(-1 if event.key == "up" else 1, box.value))
        elif event.key == "escape":
            self.close()
        else:
            return
        event.stop()
        event.prevent_default()

    def _put(self, box: Input, line: str) -> None:
        box.value = line
        box.cursor_position = len(line)

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Run it."""
        event.stop()
        word, argument = commandline.parse(event.value)
        action = commandline.find(word, self._actions())
        self.close()
        if not word:
            return
        if action is None or (argument and not action.argument):
            why = f"{word} takes no argument" if action else f"there is no command {word} here"
            self.app.notify(why, severity="warning", markup=False)
            return
        self.console.history.add(event.value.strip())
        # Its owner runs it: this box is gone when a dialog that it opens has an answer to call back with.
        owner = self.app if action.scope == "app" else self.screen
        if argument:
            owner.call_later(getattr(owner, f"action_{action.name}"), argument)
        else:
            owner.call_later(self.screen.run_action, action.call)

    def close(self) -> None:
        """Give the keys back."""
        self.screen.set_focus(self._before)
        self.remove()
