"""The part of Google's list filters that people write: labels and fields compared with values, joined by AND."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

TERM = re.compile(r'(?P<key>[\w.\-]+)\s*(?P<how>!=|=|:)\s*(?P<value>"[^"]*"|[^\s()]+)')
JOIN = re.compile(r"\s+AND\s+|\s+", re.ASCII)


def parse(text: str) -> Callable[[dict[str, Any]], bool]:
    """A filter as a predicate of a resource's JSON. Raises ValueError for what it does not know."""
    terms, rest = [], text.replace("(", " ").replace(")", " ").strip()
    if re.search(r"\bOR\b|\bNOT\b", rest):
        raise ValueError(text)
    while rest:
        found = TERM.match(rest)
        if found is None:
            raise ValueError(text)
        terms.append((found["key"], found["how"], found["value"].strip('"')))
        rest = rest[found.end() :]
        joined = JOIN.match(rest)
        rest = rest[joined.end() :] if joined else rest
    return lambda resource: all(_holds(resource, *term) for term in terms)


def _holds(resource: Any, key: str, how: str, value: str) -> bool:
    here = resource
    for part in key.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    if how == ":":
        return here is not None and (value == "*" or value in str(here))
    same = here is not None and str(here) == value
    return same if how == "=" else not same
