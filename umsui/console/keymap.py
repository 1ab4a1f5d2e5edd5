"""The one registry of actions: bindings, footer, help screen and command palette are all made from it.

An action's method on its screen is ``action_<name>``; a test holds that each exists. ``keys`` are the defaults;
Textual's keymap can rebind each by its id, ``scope.name``.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Action:
    """Something an operator can do."""

    scope: str
    name: str
    keys: str  # comma-separated, the first is the one shown
    short: str  # in the footer
    help: str  # in help and palette; empty when another line speaks for it
    footer: bool = True
    label: str = ""  # how the key is shown, where its name isn't plain

    @property
    def id(self) -> str:
        """What a keymap names it by."""
        return f"{self.scope}.{self.name}"

    @property
    def call(self) -> str:
        """The action as Textual runs it from a screen."""
        return f"app.{self.name}" if self.scope == "app" else self.name

    @property
    def key(self) -> str:
        """The key as it is shown."""
        return self.label or self.keys.partition(",")[0]


def _a(scope: str, name: str, keys: str, short: str, text: str, *, footer: bool = True, label: str = "") -> Action:
    return Action(scope, name, keys, short, text, footer, label)


SCOPES = {
    "board": "Board",
    "drag": "While a card is picked up",
    "plan": "Plan",
    "migration": "Migration",
    "migrations": "Migrations",
    "service": "Service",
    "help": "Help",
    "confirm": "Question",
    "app": "Everywhere",
}

ACTIONS: tuple[Action, ...] = (
    _a("board", "move", "m", "move", "Pick the service up to move it"),
    _a("board", "open", "enter", "open", "Open the service, or its migration", label="Enter"),
    _a("board", "logs", "l", "logs", "The service's last log lines"),
    _a("board", "filter", "/", "filter", "Filter: name, state:, approach:, label="),
    _a("board", "migrations", "2", "migrations", "Migrations, running and past"),
    _a("board", "refresh_now", "r", "refresh", "Ask all clusters now, and sort", footer=False),
    _a(
        "board",
        "cursor('up')",
        "up,k",
        "up",
        "The cards and clusters around",
        footer=False,
        label="arrows",
    ),
    _a("board", "cursor('down')", "down,j", "down", "", footer=False, label="↓"),
    _a("board", "cursor('left')", "left,h", "left", "", footer=False, label="←"),
    _a("board", "cursor('right')", "right", "right", "", footer=False, label="→"),
    _a("board", "cursor('home')", "home", "first", "", footer=False),
    _a("board", "cursor('end')", "end", "last", "", footer=False, label="End"),
    _a(
        "board",
        "escape",
        "escape",
        "clear",
        "Clear the filter",
        footer=False,
        label="Esc",
    ),
    _a("drag", "cursor('left')", "left", "where it goes", "Choose where it goes", label="← →"),
    _a("drag", "cursor('right')", "right", "", "", footer=False),
    _a("drag", "open", "enter", "drop", "Drop it: shows the plan, starts nothing", label="Enter"),
    _a("drag", "escape", "escape", "put back", "Put it back where it was", label="Esc"),
    _a("plan", "start", "enter", "start", "Start the migration as planned", label="Enter"),
    _a("plan", "choose(-1)", "up", "choose", "", footer=False, label="↑"),
    _a("plan", "choose(1)", "down", "another way", "Plan it another way", label="↑ ↓"),
    _a("plan", "copy", "c", "copy as command", "Copy it as a command line"),
    _a("plan", "page(-1)", "pageup", "page up", "", footer=False),
    _a("plan", "page(1)", "pagedown", "page down", "", footer=False),
    _a("plan", "close", "escape", "put back", "Close; nothing was touched", label="Esc"),
    _a("migration", "cancel", "x", "cancel", "Give it up: possible until its commit"),
    _a("migration", "copy", "c", "copy command", "Copy the command that follows it"),
    _a("migration", "scroll_log(-1)", "up,k", "log up", "Scroll the log", footer=False, label="↑ ↓"),
    _a("migration", "scroll_log(1)", "down,j", "log down", "", footer=False, label="↓"),
    _a("migration", "close", "escape", "board", "Back; the migration goes on", label="Esc"),
    _a("migrations", "open", "enter", "open", "Follow it, or read its report", label="Enter"),
    _a("migrations", "cursor(-1)", "up,k", "up", "Choose one", footer=False, label="↑ ↓"),
    _a("migrations", "cursor(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("migrations", "refresh_now", "r", "refresh", "", footer=False),
    _a("migrations", "close", "escape,1", "board", "", label="Esc"),
    _a("service", "move", "m", "move", "Pick it up on the board"),
    _a("service", "copy", "c", "copy name", "Copy cluster/name"),
    _a("service", "refresh_now", "r", "refresh", "Ask again"),
    _a("service", "scroll(-1)", "up,k", "up", "Scroll the log", footer=False, label="↑ ↓"),
    _a("service", "scroll(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("service", "close", "escape", "board", "", label="Esc"),
    _a("help", "page(-1)", "pageup,up,k", "", "Scroll", footer=False, label="PgUp PgDn"),
    _a("help", "page(1)", "pagedown,down,j,space", "scroll", "", label="PgDn"),
    _a("help", "close", "escape,?,q", "close", "Close help", label="Esc"),
    _a("confirm", "yes", "y,enter", "yes", "Do it", label="y"),
    _a("confirm", "no", "n,escape", "no", "Leave it", label="n"),
    _a("app", "command_palette", ":,ctrl+p", "command", "Find any action by its words", label=":"),
    _a("app", "help", "?,f1", "help", "All keys, and what the signs mean", label="?"),
    _a("app", "next_theme", "ctrl+t", "theme", "The next theme", footer=False, label="Ctrl+T"),
    _a("app", "suspend_process", "ctrl+z", "suspend", "Back to the shell; fg returns", footer=False, label="Ctrl+Z"),
    _a("app", "quit", "q,ctrl+c", "quit", "Leave; running migrations go on", footer=False),
)


def of(scope: str) -> tuple[Action, ...]:
    """The actions of a scope, in the registry's order."""
    return tuple(action for action in ACTIONS if action.scope == scope)


def bindings(scope: str) -> list[BindingType]:
    """A scope's bindings for Textual."""
    return [
        Binding(action.keys, action.name, action.short, show=False, id=action.id, tooltip=action.help)
        for action in of(scope)
    ]


def footer(scope: str) -> tuple[Action, ...]:
    """What the key line shows in a scope."""
    everywhere = of("app") if scope in ("board", "migration", "migrations", "service") else ()
    return tuple(action for action in (*of(scope), *everywhere) if action.footer)
