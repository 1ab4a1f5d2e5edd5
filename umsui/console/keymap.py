"""The one registry of actions: bindings, footer, help screen, command palette and command line are all made from it.

An action's method on its screen is ``action_<name>``; a test holds that each exists. ``keys`` are the defaults; users
rebind each by its id, ``scope.word``, in the config's ``[keys]`` (``rebinding.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType

_WAYS = {"-1": "back", "1": "on"}
UNBOUND = "unbound"
"""Stands for no key at all: Textual takes an empty one for none given."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something an operator can do."""

    scope: str
    name: str
    keys: str  # comma-separated, the first is the one shown; "" for what only the command line can do
    short: str  # in the footer
    help: str  # in help and palette; empty when another line speaks for it
    footer: bool = True
    label: str = ""  # how the key is shown, where its name isn't plain
    argument: str = ""  # what the command line completes after the word: cluster, service, theme, …
    alias: str = ""  # its word, where the name makes none

    @property
    def word(self) -> str:
        """What config and command line call it: ``cursor('up')`` is ``cursor-up``."""
        base, _, rest = self.name.partition("(")
        way = rest.rstrip(")").strip("'")
        return self.alias or (base + (f"-{_WAYS.get(way, way)}" if way else "")).replace("_", "-")

    @property
    def id(self) -> str:
        """What a keymap names it by."""
        return f"{self.scope}.{self.word}"

    @property
    def call(self) -> str:
        """The action as Textual runs it from a screen."""
        return f"app.{self.name}" if self.scope == "app" else self.name

    @property
    def key(self) -> str:
        """The key as it is shown."""
        return self.label or self.keys.partition(",")[0]


def _a(scope: str, name: str, keys: str, short: str, text: str, *, footer: bool = True, label: str = "",
       argument: str = "", alias: str = "") -> Action:  # fmt: skip
    return Action(scope, name, keys, short, text, footer, label, argument, alias)


SCOPES = {
    "board": "Board",
    "drag": "While a card is picked up",
    "batch": "Many at once",
    "plan": "Plan",
    "limits": "In one of its fields",
    "migration": "Migration",
    "migrations": "Migrations",
    "replay": "Replay",
    "compare": "Compare",
    "cluster": "Cluster and nodes",
    "benchmarks": "Benchmarks",
    "export": "Export",
    "service": "Service",
    "help": "Help",
    "confirm": "Question",
    "app": "Everywhere",
}

FULL_SCREENS = ("board", "migration", "migrations", "replay", "compare", "cluster", "benchmarks", "service")
"""Scopes whose key line also shows the app's keys."""

ACTIONS: tuple[Action, ...] = (
    _a("board", "move", "m", "move", "Pick it up to move it, or all that are selected", argument="cluster"),
    _a("board", "open", "enter", "open", "Open the service, or its migration", label="Enter"),
    _a("board", "logs", "l", "logs", "The service's last log lines"),
    _a("board", "filter", "/", "filter", "Filter: name, state:, approach:, label:, node:", argument="filter"),
    _a("board", "mark", "space", "select", "Select it, or not any more", label="Space"),
    _a("board", "drain", "d", "drain", "Move all of a cluster's services", argument="cluster"),
    _a("board", "migrations", "2", "migrations", "Migrations, running and past"),
    _a("board", "extend('up')", "shift+up", "", "Select while walking", footer=False, label="Shift+↑ ↓"),
    _a("board", "extend('down')", "shift+down", "", "", footer=False),
    _a("board", "mark_shown", "*", "select all", "Select all that this cluster shows", footer=False),
    _a("board", "sort", "s", "sort", "Sort by name, memory, processes, state, node", footer=False, argument="sort"),
    _a("board", "group", "g", "group", "Group by node, state, approach, a label", footer=False, argument="group"),
    _a("board", "dense", "v", "dense", "Cards of one line, or of two", footer=False),
    _a("board", "find", "", "find", "Go to a service", footer=False, argument="service"),
    _a("board", "batch", "b", "batch", "The moves of many that were asked for last", footer=False),
    _a("board", "copy", "c", "copy name", "Copy cluster/name, of all that are selected", footer=False),
    _a("board", "benchmarks", "3", "bench", "Benchmarks, running and past", footer=False),
    _a("board", "nodes", "n", "nodes", "The cluster's nodes: doctor, load, links"),
    _a("board", "export", "e", "export", "What runs where, as SVG, CSV or JSON", footer=False),
    _a("board", "refresh_now", "r", "refresh", "Ask all clusters now, and sort", footer=False, alias="refresh"),
    _a("board", "cursor('up')", "up,k", "up", "The cards and clusters around", footer=False, label="arrows"),
    _a("board", "cursor('down')", "down,j", "down", "", footer=False, label="↓"),
    _a("board", "cursor('left')", "left,h", "left", "", footer=False, label="←"),
    _a("board", "cursor('right')", "right", "right", "", footer=False, label="→"),
    _a("board", "cursor('pageup')", "pageup", "page up", "", footer=False),
    _a("board", "cursor('pagedown')", "pagedown", "page down", "", footer=False),
    _a("board", "cursor('home')", "home", "first", "", footer=False),
    _a("board", "cursor('end')", "end", "last", "", footer=False, label="End"),
    _a("board", "escape", "escape", "clear", "Let go of the selection, then of the filter", footer=False, label="Esc"),
    _a("drag", "cursor('left')", "left", "where it goes", "Choose where it goes", label="← →"),
    _a("drag", "cursor('right')", "right", "", "", footer=False),
    _a("drag", "open", "enter", "drop", "Drop it: shows the plan, starts nothing", label="Enter"),
    _a("drag", "escape", "escape", "put back", "Put it back where it was", label="Esc"),
    _a("batch", "start", "enter", "start", "Start all that can move, a few at a time", label="Enter"),
    _a("batch", "stop", "x", "stop", "Begin no further one; those under way go on"),
    _a("batch", "copy", "c", "copy as commands", "Copy them as command lines"),
    _a("batch", "scroll_moves(-1)", "up,k", "up", "Scroll the moves", footer=False, label="↑ ↓"),
    _a("batch", "scroll_moves(1)", "down,j", "down", "", footer=False),
    _a("batch", "close", "escape", "close", "Back; what was started goes on", label="Esc"),
    _a("plan", "start", "enter", "start", "Start the migration as planned", label="Enter"),
    _a("plan", "choose(-1)", "up", "choose", "", footer=False, label="↑"),
    _a("plan", "choose(1)", "down", "way", "Plan it another way", label="↑ ↓"),
    _a("plan", "limits", "tab,e", "limits", "Longest downtime, bandwidth, node: Enter plans within them", label="Tab"),
    _a("plan", "checks", "v", "checks", "Every check and every fix, or only what is not good"),
    _a("plan", "copy", "c", "copy", "Copy it as a command line"),
    _a("plan", "page(-1)", "pageup", "page up", "", footer=False),
    _a("plan", "page(1)", "pagedown", "page down", "", footer=False),
    _a("plan", "close", "escape", "put back", "Close; nothing was touched", label="Esc"),
    _a("plan", "help", "?,f1", "help", "All keys, and what the signs mean", label="?"),  # a dialog hides the app's
    _a("limits", "start", "enter", "take it", "", label="Enter"),
    _a("limits", "limits", "tab", "next field", "", label="Tab"),
    _a("limits", "choose(1)", "down", "choose", "", label="↑ ↓"),
    _a("limits", "close", "escape", "as it was", "", label="Esc"),
    _a("migration", "cancel", "x", "cancel", "Give it up: possible until its commit"),
    _a("migration", "replay", "p", "replay", "Play its recording, once it is over"),
    _a("migration", "export", "e", "export", "As SVG, CSV or JSON"),
    _a("migration", "copy", "c", "copy command", "Copy the command that follows it"),
    _a("migration", "scroll_log(-1)", "up,k", "log up", "Scroll the log", footer=False, label="↑ ↓"),
    _a("migration", "scroll_log(1)", "down,j", "log down", "", footer=False, label="↓"),
    _a("migration", "close", "escape", "board", "Back; the migration goes on", label="Esc"),
    _a("replay", "pause", "space", "pause", "Stop, or go on", label="Space"),
    _a("replay", "seek(-1)", "left,h", "seek", "A second back or on, times the speed", label="← →"),
    _a("replay", "seek(1)", "right", "on", "", footer=False, label="→"),
    _a("replay", "faster(-1)", "minus,comma", "speed", "Slower or faster, 0.5x to 20x", label="- +"),
    _a("replay", "faster(1)", "plus,equals_sign,full_stop", "faster", "", footer=False, label="+"),
    _a("replay", "jump('freeze')", "f", "freeze", "Just before the outage"),
    _a("replay", "jump('start')", "home", "start", "", footer=False, label="Home"),
    _a("replay", "jump('end')", "end", "end", "To its beginning or its end", footer=False, label="Home End"),
    _a("replay", "export", "e", "export", "As SVG, CSV or JSON", footer=False),
    _a("replay", "copy", "c", "copy command", "Copy the command that tells of it", footer=False),
    _a("replay", "scroll_log(-1)", "up,k", "log up", "Scroll the log", footer=False, label="↑ ↓"),
    _a("replay", "scroll_log(1)", "down,j", "log down", "", footer=False, label="↓"),
    _a("replay", "close", "escape", "back", "", label="Esc"),
    _a("migrations", "open", "enter", "open", "Follow it, or read its report", label="Enter"),
    _a("migrations", "replay", "p", "replay", "Play its recording"),
    _a("migrations", "filter", "/", "filter", "Filter: words, outcome:, to:, from:, strategy:"),
    _a("migrations", "sort(1)", "s", "sort", "By the next column; S turns it around"),
    _a("migrations", "sort(0)", "S", "reverse", "", footer=False),
    _a("migrations", "mark", "space", "mark", "Mark it, for comparing and exporting", label="Space"),
    _a("migrations", "compare", "c", "compare", "Those marked, beside each other"),
    _a("migrations", "export", "e", "export", "Those marked, or all, as SVG, CSV or JSON"),
    _a("migrations", "cursor(-1)", "up,k", "up", "Choose one", footer=False, label="↑ ↓"),
    _a("migrations", "cursor(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("migrations", "refresh_now", "r", "refresh", "", footer=False),
    _a("migrations", "close", "escape,1", "board", "", label="Esc"),
    _a("compare", "export", "e", "export", "As SVG, CSV or JSON"),
    _a("compare", "scroll(-1)", "up,k", "up", "Scroll", footer=False, label="↑ ↓"),
    _a("compare", "scroll(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("compare", "close", "escape", "back", "", label="Esc"),
    _a("cluster", "tab(1)", "tab", "next tab", "Doctor, links, facts", label="Tab"),
    _a("cluster", "tab(-1)", "shift+tab", "tab before", "", footer=False, label="Shift+Tab"),
    _a("cluster", "links", "t", "test links", "Measure the ways to the other nodes: 0.2 s of traffic each"),
    _a("cluster", "copy", "c", "copy fixes", "Copy the commands that mend the node"),
    _a("cluster", "refresh_now", "r", "examine", "Examine the node again"),
    _a("cluster", "cursor(-1)", "up,k", "up", "Choose a node", footer=False, label="↑ ↓"),
    _a("cluster", "cursor(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("cluster", "page(-1)", "pageup", "page up", "Page what the tab shows", footer=False, label="PgUp PgDn"),
    _a("cluster", "page(1)", "pagedown", "page down", "", footer=False, label="PgDn"),
    _a("cluster", "close", "escape", "board", "", label="Esc"),
    _a("benchmarks", "cursor(-1)", "up,k", "up", "Choose a run", footer=False, label="↑ ↓"),
    _a("benchmarks", "cursor(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("benchmarks", "page(-1)", "pageup", "page up", "Page its rows", footer=False, label="PgUp PgDn"),
    _a("benchmarks", "page(1)", "pagedown", "page down", "", footer=False, label="PgDn"),
    _a("benchmarks", "refresh_now", "r", "refresh", "Look now"),
    _a("benchmarks", "close", "escape,1", "board", "", label="Esc"),
    _a("export", "choose('svg')", "s", "SVG", "A picture"),
    _a("export", "choose('csv')", "c", "CSV", "A table"),
    _a("export", "choose('json')", "j", "JSON", "A document"),
    _a("export", "close", "escape", "leave it", "", label="Esc"),
    _a("service", "move", "m", "move", "Pick it up on the board"),
    _a("service", "shell", "s", "shell", "A shell in it; the console steps aside"),
    _a("service", "tab(1)", "tab", "next tab", "Log, processes, sockets, ways to move", label="Tab"),
    _a("service", "tab(-1)", "shift+tab", "tab before", "", footer=False, label="Shift+Tab"),
    _a("service", "show('log')", "l", "log", "The log alone", footer=False),
    _a("service", "show('ways')", "w", "ways", "How it could move, and what stands against it", footer=False),
    _a("service", "filter", "/", "search", "Search the log"),
    _a("service", "find(1)", "n", "older", "The next match, older; N newer", footer=False, label="n N"),
    _a("service", "find(-1)", "N", "newer", "", footer=False),
    _a("service", "follow", "f,end", "follow", "The newest line, as they come", footer=False),
    _a("service", "page_log(-1)", "pageup", "page up", "Page the log", footer=False, label="PgUp PgDn"),
    _a("service", "page_log(1)", "pagedown", "page down", "", footer=False, label="PgDn"),
    _a("service", "copy", "c", "copy name", "Copy cluster/name"),
    _a("service", "refresh_now", "r", "refresh", "Ask again"),
    _a("service", "scroll(-1)", "up,k", "up", "Scroll what the tab shows", footer=False, label="↑ ↓"),
    _a("service", "scroll(1)", "down,j", "down", "", footer=False, label="↓"),
    _a("service", "close", "escape", "board", "", label="Esc"),
    _a("help", "page(-1)", "pageup,up,k", "", "Scroll", footer=False, label="PgUp PgDn"),
    _a("help", "page(1)", "pagedown,down,j,space", "scroll", "", label="PgDn"),
    _a("help", "every", "a", "all screens", "The keys of all screens, or of this one"),
    _a("help", "close", "escape,?,q", "close", "Close help", label="Esc"),
    _a("confirm", "yes", "y,enter", "yes", "Do it", label="y"),
    _a("confirm", "no", "n,escape", "no", "Leave it", label="n"),
    _a("app", "command_line", ":", "command", "Type a command: Tab completes it, ↑ has older ones", alias="command"),
    _a(
        "app",
        "command_palette",
        "ctrl+p",
        "palette",
        "Find any action by its words",
        footer=False,
        label="Ctrl+P",
        alias="palette",
    ),
    _a("app", "help", "?,f1", "help", "All keys, and what the signs mean", label="?"),
    _a(
        "app",
        "next_theme",
        "ctrl+t",
        "theme",
        "The next theme, or one by name",
        footer=False,
        label="Ctrl+T",
        argument="theme",
        alias="theme",
    ),
    _a("app", "redraw", "ctrl+l", "redraw", "Paint the screen again", footer=False, label="Ctrl+L"),
    _a(
        "app",
        "suspend_process",
        "ctrl+z",
        "suspend",
        "Back to the shell; fg returns",
        footer=False,
        label="Ctrl+Z",
        alias="suspend",
    ),
    _a("app", "quit", "q,ctrl+c", "quit", "Leave; running migrations go on", footer=False),
)


MIRRORED = {"drag": "board", "limits": "plan"}
"""Scopes without bindings of their own, and whose keys they tell the meaning of for a while."""


def of(scope: str) -> tuple[Action, ...]:
    """The actions of a scope, in the registry's order, with their default keys."""
    return tuple(action for action in ACTIONS if action.scope == scope)


def bindings(scope: str) -> list[BindingType]:
    """A scope's bindings for Textual."""
    return [
        Binding(action.keys, action.name, action.short, show=False, id=action.id, tooltip=action.help)
        for action in of(scope)
        if action.keys
    ]


class Keymap:
    """The registry with a user's own keys in it."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self.overrides = dict(keys or {})  # id -> comma-separated keys; UNBOUND for none

    def of(self, scope: str) -> tuple[Action, ...]:
        """The actions of a scope."""
        return tuple(self.bound(action) for action in of(scope))

    def bound(self, action: Action) -> Action:
        """The same action with the keys that it has."""
        owner = f"{MIRRORED.get(action.scope, action.scope)}.{action.word}"
        keys = self.overrides.get(owner)
        if keys is None:
            return action
        return replace(action, keys="" if keys == UNBOUND else keys, label=shown(keys))

    def footer(self, scope: str) -> tuple[Action, ...]:
        """What the key line shows in a scope."""
        everywhere = self.of("app") if scope in FULL_SCREENS else ()
        return tuple(action for action in (*self.of(scope), *everywhere) if action.footer and action.keys)

    def available(self, scope: str) -> tuple[Action, ...]:
        """What the palette and the command line can do there, those of the app last."""
        return tuple(action for name in (scope, "app") for action in self.of(name) if action.help)


_SHOWN = {"escape": "Esc", "enter": "Enter", "space": "Space", "pageup": "PgUp", "pagedown": "PgDn", "up": "↑",
          "down": "↓", "left": "←", "right": "→", "home": "Home", "end": "End", "delete": "Del"}  # fmt: skip


def shown(keys: str) -> str:
    """The first of some keys, as it is printed on a keyboard."""
    first = keys.partition(",")[0] if keys != "," else keys
    if first == UNBOUND:
        return ""
    *modifiers, key = first.split("+") if len(first) > 1 else [first]
    name = _SHOWN.get(key, key.upper() if re.fullmatch(r"f\d+", key) or modifiers else key)
    return "+".join([*(modifier.capitalize() for modifier in modifiers), name])
