"""What ``/`` understands: words for the name, and ``state:up``, ``approach:o``, ``label=value``; all must fit."""

from __future__ import annotations

from collections.abc import Sequence

from umsui.console.words import BADGE, service_state
from umsui.model import Service


class Filter:
    """A parsed filter; the empty one passes everything."""

    def __init__(self, text: str = "") -> None:
        self.terms = text.lower().split()

    def apply(self, services: Sequence[Service]) -> list[Service]:
        """Those that pass, by name: a list that never jumps when states change."""
        passing = [s for s in services if self.passes(s)] if self.terms else services
        return sorted(passing, key=lambda s: (s.name, s.node))

    def passes(self, service: Service) -> bool:
        """Whether all terms fit."""
        return all(self._fits(term, service) for term in self.terms)

    def _fits(self, term: str, service: Service) -> bool:
        field, colon, value = term.partition(":")
        if colon and field == "state":
            return service_state(service)[1].startswith(value)
        if colon and field == "approach":
            badge = BADGE[service.approach] if service.approach and not service.obstacle else ""
            return badge.lower().startswith(value[:1])
        if "=" in term:
            return any(f"{key}={label}".lower() == term for key, label in service.labels.items())
        return term in service.name.lower() or any(term == key.lower() for key in service.labels)
