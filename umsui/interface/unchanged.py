"""Hands off, where only an orchestrator's API tells of a service: whether it is as it was at the first look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from umsui.errors import BadInput, UmsuiError


class Identified(Protocol):
    """An end of a move."""

    def identity(self) -> Mapping[str, str]:
        """What must stay as it is while it is moved, in words. Raises BadInput: it is gone."""


class Unchanged:
    """Both ends of one move; ``besides``: what of the destination changes by itself until it is restored."""

    def __init__(self, source: Identified, destination: Identified, *, besides: Sequence[str] = ()) -> None:
        self._ends = {"source": source, "destination": destination}
        self._besides = {"source": (), "destination": tuple(besides)}
        self._first: dict[str, dict[str, str]] = {}

    def look(self) -> None:
        """Compare with the first look. Raises UmsuiError with code "changed"."""
        for role, end in self._ends.items():
            try:
                now = dict(end.identity())
            except BadInput as error:
                what = f"somebody has removed the service's container at the {role}"
                raise UmsuiError(what, code="changed") from error
            before = self._first.setdefault(role, now)
            changed = [key for key in before if now.get(key) != before[key] and key not in self._besides[role]]
            if changed:
                what = f"somebody has changed the service's container at the {role}: {', '.join(changed)}"
                raise UmsuiError(what, "nothing was moved; look what happened there, and try again", code="changed")
