"""The config's ``[keys]``: which of a user's keys are taken, and what is wrong with the others, each by itself."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from textual.binding import Binding, InvalidBinding
from textual.keys import KEY_ALIASES, KEY_NAME_REPLACEMENTS, Keys

from umsui.console import keymap
from umsui.console.keymap import MIRRORED, UNBOUND

Place = tuple[str, ...]
"""Where something is in the config: ("keys", "board", "move")."""

_NAMES = {key.value for key in Keys} | set(KEY_ALIASES) | set(KEY_NAME_REPLACEMENTS.values()) | {"space"}
_MODIFIERS = {"ctrl", "shift", "alt", "meta", "super", "hyper"}


def accepted(table: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[Place, str]]]:
    """The keys that can be had, by action id, and complaints with their places. What is refused keeps its default."""
    known = {action.id: action for action in keymap.ACTIONS if action.scope not in MIRRORED}
    taken: dict[str, str] = {}
    complaints: list[tuple[Place, str]] = []
    places: dict[str, Place] = {}
    for place, name, value in _flat(table):
        if name not in known:
            complaints.append((place, _unknown(name, known)))
            continue
        try:
            taken[name] = _keys(value)
        except ValueError as error:
            complaints.append((place, f"{name}: {error}"))
            continue
        places[name] = place
    while clash := _clash(taken):
        name, key, other = clash
        complaints.append((places[name], f"{name}: {keymap.shown(key)} is already {other}; the default stays"))
        del taken[name]
    return taken, complaints


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[Place, str, Any]]:
    """``"board.move" = …`` and ``[keys.board] move = …`` alike."""
    for scope, value in table.items():
        if isinstance(value, Mapping):
            for word, inner in value.items():
                yield ("keys", scope, word), f"{scope}.{word}", inner
        else:
            yield ("keys", scope), scope, value


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    meant = f"; did you mean {near[0]}?" if near else "; `umsui` and `?` show all of them"
    return f"there is no action {name}{meant}"


def _keys(value: Any) -> str:
    """Textual's names, comma-separated. Raises ValueError for what is no key."""
    wanted = value if isinstance(value, list) else str(value).split(",") if value != "," else [","]
    if not isinstance(value, (str, list)) or not all(isinstance(key, str) for key in wanted):
        raise ValueError("keys are a text, or a list of texts")
    names = [_name(key.strip() or key) for key in wanted if key]
    return ",".join(names) or UNBOUND


def _name(key: str) -> str:
    try:
        (binding,) = Binding.make_bindings([Binding(key, "", "")])
    except InvalidBinding as error:
        raise ValueError(f"{key!r} is no key") from error
    *modifiers, plain = binding.key.split("+")
    if not set(modifiers) <= _MODIFIERS or not (len(plain) == 1 or plain in _NAMES or _is_character(plain)):
        near = difflib.get_close_matches(plain, _NAMES, 1)
        raise ValueError(f"there is no key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return binding.key


def _is_character(name: str) -> bool:
    """Textual calls the others by their Unicode names."""
    try:
        return len(unicodedata.lookup(name.replace("_", " "))) == 1
    except KeyError:
        return False


def _clash(taken: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The first of the user's actions whose key another action of its scope has: (action, key, the other)."""
    for name, keys in reversed(list(taken.items())):
        scope = name.partition(".")[0]
        for key in keys.split(","):
            for action in keymap.ACTIONS:
                near = action.scope in (scope, "app") if scope != "app" else action.scope not in MIRRORED
                if not near or action.id == name or action.scope in MIRRORED:
                    continue
                if key != UNBOUND and key in _names(taken.get(action.id, action.keys)):
                    return name, key, action.id
    return None


def _names(keys: str) -> set[str]:
    return {binding.key for binding in Binding.make_bindings([Binding(keys, "", "")])} if keys else set()
