"""Google's partial responses: ``fields=nextPageToken,items/*/instances(name,zone)``."""

from __future__ import annotations

import re
from typing import Any

Tree = dict[str, "Tree"]
TOKEN = re.compile(r"[\w.$-]+|[*,/()]")


def parse(text: str) -> Tree:
    """What is asked for, as a tree; an empty one means all below. Raises ValueError."""
    tokens = TOKEN.findall(text)
    if "".join(tokens) != text:
        raise ValueError(text)
    tree, rest = _list(tokens)
    if rest:
        raise ValueError(text)
    return tree


def _list(tokens: list[str]) -> tuple[Tree, list[str]]:
    tree: Tree = {}
    while True:
        tokens = _one(tree, tokens)
        if tokens[:1] != [","]:
            return tree, tokens
        tokens = tokens[1:]


def _one(tree: Tree, tokens: list[str]) -> list[str]:
    if not tokens or tokens[0] in ",/()":
        raise ValueError(tokens)
    below = tree.setdefault(tokens[0], {})
    tokens = tokens[1:]
    if tokens[:1] == ["/"]:
        return _one(below, tokens[1:])
    if tokens[:1] == ["("]:
        inside, tokens = _list(tokens[1:])
        if tokens[:1] != [")"]:
            raise ValueError(tokens)
        below.update(inside)
        return tokens[1:]
    return tokens


def pick(tree: Tree, value: Any) -> Any:
    """What the tree asks for; lists are gone through, ``*`` is every key."""
    if not tree or not isinstance(value, (dict, list)):
        return value
    if isinstance(value, list):
        return [pick(tree, each) for each in value]
    found = {}
    for key, inside in value.items():
        below = tree.get(key, tree.get("*"))
        if below is not None:
            picked = pick(below, inside)
            if picked != {}:  # nothing of it was asked for
                found[key] = picked
    return found
