"""TOML files of users: read with errors that name file and line; cheap to import."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from umsui.errors import BadInput


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and what it says. Raises BadInput naming the line that is not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", code="config") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: {error.reason}", "save it as UTF-8", code="config") from error
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(found[2]) if found and found[2] else len(text.splitlines())
        words = found[1] if found else str(error)
        raise BadInput(
            f"{path}:{line}: this is not TOML: {words}", "correct the line (https://toml.io)", code="config"
        ) from error


def place(path: Path | None, text: str, location: Sequence[str | int]) -> str:
    """``file:line`` of a key, as near as it can be told."""
    line = find_line(text, location)
    return f"{path}:{line}" if line else str(path or "settings")


def find_line(text: str, location: Sequence[str | int]) -> int | None:
    """The line (from 1) of a key; of the table's first key, when the key itself is missing; None for neither.

    However the file is written (inline tables, sub-tables, quoted keys): the place is where another name of the key
    changes what the parser finds at ``location``.
    """
    location = tuple(location)
    while location and isinstance(location[-1], int):
        location = location[:-1]  # an item of a list: the list's key
    if not location:
        return None
    parent = _at(tomllib.loads(text), location[:-1])
    if not isinstance(parent, dict):
        return find_line(text, location[:-1])
    if location[-1] in parent:
        return _line_of(text, location)
    lines = [_line_of(text, (*location[:-1], key)) for key in parent]
    return min((line for line in lines if line), default=None) or find_line(text, location[:-1])


def _line_of(text: str, location: tuple[str | int, ...]) -> int | None:
    other = "renamed-to-find-it"
    for found in re.finditer(rf"(?<![\w-]){re.escape(str(location[-1]))}(?![\w-])", text):
        try:
            data = tomllib.loads(text[: found.start()] + other + text[found.end() :])
        except tomllib.TOMLDecodeError:
            continue
        table = _at(data, location[:-1])
        if isinstance(table, dict) and other in table:
            return text.count("\n", 0, found.start()) + 1
    return None


def _at(data: Any, location: Sequence[str | int]) -> Any:
    for part in location:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data
