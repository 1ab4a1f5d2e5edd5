"""Only the cells that differ are sent. Textual knows which regions of the screen to paint again, but not what is there
already; over SSH that is most of what is sent. ``Lean`` keeps what the terminal shows, reads what Textual would write,
and writes the difference: shortest way for the cursor, and of a style only what changes."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from rich.cells import get_character_cell_size
from textual.drivers.linux_driver import LinuxDriver

GAP = 3
"""Cells that are sent again rather than jumped over: a jump costs four bytes."""
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
"""Of a synchronized update."""
_TOKEN = re.compile(
    r"\x1b\[(?P<y>\d+);(?P<x>\d+)H|\x1b\[(?P<sgr>[\d;:]*)m"
    r"|(?P<mode>\x1b\[[?<>=][\d;]*\$?[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP.*?\x1b\\)"
    r"|(?P<other>\x1b(?:\[[\d;]*[^\d;]|[^\[\]P])|[\x00-\x1f\x7f])|(?P<text>[^\x00-\x1f\x7f]+)",
    re.DOTALL,
)

Cell = tuple[str, str]
"""A character ("" for the right half of a wide one) and its style, as the parameters of an SGR sequence."""


class Lean:
    """What a terminal of some size shows, and the way from there to what it should show."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._rows: list[list[Cell | None]] = []
        self._x = self._y = 0  # where Textual believes the cursor to be
        self._style = ""
        self._at: tuple[int, int] | None = None  # where it is
        self._worn: str | None = None  # the style that the terminal has
        self._held = False  # the beginning of an update, until there is something in it
        self._out: list[str] = []
        self.forget()

    def forget(self) -> None:
        """What is shown is not known any more."""
        width, height = self.size
        self._rows = [[None] * width for _ in range(height)]
        self._at = self._worn = None

    def reduce(self, data: str) -> str:
        """What has to be written for ``data`` to be on screen."""
        self._out = []
        for token in _TOKEN.finditer(data):
            kind = token.lastgroup
            if kind == "text":
                self._put(token["text"])
            elif kind == "x":
                self._x, self._y = int(token["x"]) - 1, int(token["y"]) - 1
            elif kind == "sgr":
                self._wear(token["sgr"])
            elif kind == "mode":
                self._pass(token[0])
            elif token[0] == "\n":
                self._x, self._y = 0, self._y + 1
            else:
                self._say(token[0])
                self.forget()
        return "".join(self._out)

    def _wear(self, parameters: str) -> None:
        if parameters in ("", "0"):
            self._style = ""
        else:
            self._style = f"{self._style};{parameters}" if self._style else parameters

    def _pass(self, sequence: str) -> None:
        """What changes no cell; an update in which nothing changes is none."""
        if sequence == BEGIN:
            self._held = True
        elif sequence == END and self._held:
            self._held = False
        else:
            self._say(sequence)
            if "1049" in sequence:
                self.forget()

    def _say(self, text: str) -> None:
        if self._held:
            self._held = False
            self._out.append(BEGIN)
        self._out.append(text)

    def _put(self, text: str) -> None:
        """Characters at the cursor, those sent that are not there yet."""
        if not 0 <= self._y < self.size[1]:
            return
        row, width, style = self._rows[self._y], self.size[0], self._style
        x = self._x
        for character in text if text.isascii() else _clusters(text):
            wide = 1 if character.isascii() else get_character_cell_size(character[0])
            if x < 0 or x + wide > width:
                x += wide
                continue
            cell = (character, style)
            if row[x] != cell:
                self._send(row, x, cell, wide)
            x += wide
        self._x = x

    def _send(self, row: list[Cell | None], x: int, cell: Cell, wide: int) -> None:
        known = row[x]
        if known is not None and known[0] == "" and x:
            row[x - 1] = None  # half of a wide character is none
        after = row[x + wide] if x + wide < len(row) else None
        if after is not None and after[0] == "":
            row[x + wide] = None
        self._go(row, x)
        if self._worn != cell[1]:
            self._say(change(self._worn, cell[1]))
            self._worn = cell[1]
        self._say(cell[0])
        row[x] = cell
        if wide == 2:
            row[x + 1] = ("", cell[1])
        # In the last column terminals differ in where the cursor is.
        self._at = (x + wide, self._y) if x + wide < self.size[0] else None

    def _go(self, row: list[Cell | None], x: int) -> None:
        if self._at == (x, self._y):
            return
        if self._at is not None and self._at[1] == self._y and x > self._at[0]:
            between = row[self._at[0] : x]
            if len(between) <= GAP and all(cell and cell[0] and cell[1] == self._worn for cell in between):
                self._say("".join(cell[0] for cell in between if cell))
            else:
                self._say(f"\x1b[{len(between)}C" if len(between) > 1 else "\x1b[C")
        else:
            self._say(f"\x1b[{self._y + 1};{x + 1}H")


def _clusters(text: str) -> list[str]:
    """Characters with the marks that go on top of them."""
    found: list[str] = []
    for character in text:
        if found and not character.isascii() and get_character_cell_size(character) == 0:
            found[-1] += character
        else:
            found.append(character)
    return found


@lru_cache(maxsize=2048)
def change(old: str | None, new: str) -> str:
    """The shortest sequence from one style to another."""
    whole = f"\x1b[0;{new}m" if new else "\x1b[0m"
    if old is None:
        return whole
    before, after = _parts(old), _parts(new)
    if before.keys() - after.keys() - {"fg", "bg"}:
        return whole  # an attribute less
    steps = [value for key, value in after.items() if before.get(key) != value]
    steps += [{"fg": "39", "bg": "49"}[key] for key in before.keys() - after.keys()]
    return min(whole, f"\x1b[{';'.join(steps)}m", key=len) if steps else ""


def _parts(style: str) -> dict[str, str]:
    """Foreground, background and attributes by name."""
    parts: dict[str, str] = {}
    codes = style.split(";") if style else []
    while codes:
        code = codes.pop(0)
        if code in ("38", "48") and codes:
            length = 4 if codes[0] == "2" else 2
            parts["fg" if code == "38" else "bg"] = ";".join([code, *codes[:length]])
            del codes[:length]
        elif (number := int(code)) in range(30, 38) or number in range(90, 98) or number == 39:
            parts["fg"] = code
        elif number in range(40, 48) or number in range(100, 108) or number == 49:
            parts["bg"] = code
        else:
            parts[code] = code
    return parts


class LeanDriver(LinuxDriver):
    """Textual's driver for terminals, sending less."""

    _lean: Lean | None = None

    def write(self, data: str) -> None:
        """Textual's hook for all that goes to the terminal."""
        try:
            size = os.get_terminal_size(self.fileno)
        except OSError:
            size = os.terminal_size((80, 24))
        if self._lean is None or self._lean.size != size:
            # After a change of size terminals show what they think best.
            self._lean = Lean(*size)
        if reduced := self._lean.reduce(data):
            super().write(reduced)

    def forget(self) -> None:
        """Something else may have written to the terminal: send everything once more."""
        if self._lean is not None:
            self._lean.forget()
