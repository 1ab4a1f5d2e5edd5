"""What ``:`` understands: the word of an action, and perhaps its argument. Made from the registry; pure but for the
history, which is a file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from umsui import locations
from umsui.console.keymap import Action

HISTORY = 200
"""Lines that are kept."""

Candidates = Callable[[str], Sequence[str]]
"""From a kind of argument (cluster, service, theme, …) to what there is of it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One thing that the line could become."""

    line: str
    shown: str
    help: str


def parse(line: str) -> tuple[str, str]:
    """The word and its argument."""
    word, _, argument = line.strip().removeprefix(":").strip().partition(" ")
    return word, argument.strip()


def find(word: str, actions: Iterable[Action]) -> Action | None:
    """The action of that word, or the only one whose word begins so."""
    actions = list(actions)
    exact = next((action for action in actions if action.word == word), None)
    close = [action for action in actions if action.word.startswith(word)] if word else []
    return exact or (close[0] if len(close) == 1 else None)


def complete(line: str, actions: Iterable[Action], candidates: Candidates) -> list[Completion]:
    """What fits what has been typed, those that begin so first."""
    actions = list(actions)
    if " " not in line.lstrip():
        typed = line.strip().lower()
        fitting = [action for action in actions if typed in action.word or typed in action.help.lower()]
        fitting.sort(key=lambda action: (not action.word.startswith(typed), typed not in action.word))
        return [Completion(f"{a.word} " if a.argument else a.word, _usage(a), a.help) for a in fitting]
    word, argument = parse(line)
    action = find(word, actions)
    if action is None or not action.argument:
        return []
    known = candidates(action.argument)
    fitting_names = [name for name in known if argument.lower() in name.lower()]
    fitting_names.sort(key=lambda name: not name.lower().startswith(argument.lower()))
    return [Completion(f"{action.word} {name}", name, action.help) for name in fitting_names]


def _usage(action: Action) -> str:
    return f"{action.word} [{action.argument}]" if action.argument else action.word


@dataclass(slots=True)
class History:
    """Lines typed before, the oldest first."""

    path: Path | None = None
    lines: list[str] = field(default_factory=list)
    _at: int = 0
    _draft: str = ""

    @classmethod
    def load(cls) -> History:
        """From the data folder; none where it cannot be read."""
        path = locations.data_dir() / "console-history"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return cls(path, path.read_text(encoding="utf-8").splitlines()[-HISTORY:])
        return cls(path)

    def begin(self) -> None:
        """A new line is typed."""
        self._at, self._draft = len(self.lines), ""

    def step(self, way: int, current: str) -> str:
        """An older (-1) or a newer (1) one; below the newest is what was being typed."""
        if self._at == len(self.lines):
            self._draft = current
        self._at = min(max(self._at + way, 0), len(self.lines))
        return self._draft if self._at == len(self.lines) else self.lines[self._at]

    def add(self, line: str) -> None:
        """Keep it, unless it is the last one again. A history that cannot be written is none: the console goes on."""
        if self.lines[-1:] != [line]:
            self.lines = [*self.lines, line][-HISTORY:]
            if self.path is not None:
                with contextlib.suppress(OSError):
                    locations.ensure(self.path.parent)
                    self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        self.begin()
