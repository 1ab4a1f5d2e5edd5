"""What ``/`` understands: words for name and labels, ``state:up``, ``approach:o``, ``node:n1``, ``label:tier=db``;
all must fit, and ``-`` or ``!`` before a term turns it round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from umsui.console.words import BADGE, service_state, word_of
from umsui.model import Approach, Service, ServiceState

Term = Callable[[Service], bool]
STATES = tuple(word_of(state) for state in ServiceState)
FIELDS = ("state", "approach", "label", "node", "cluster", "name")


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter; the empty one passes everything. Two of the same text are equal."""

    text: str = ""

    def apply(self, services: Sequence[Service]) -> list[Service]:
        """Those that pass, in their order."""
        passing = list(services)
        for word in self.text.lower().split():
            term = _term(word)
            passing = [service for service in passing if term(service)]
        return passing

    @property
    def complaint(self) -> str:
        """What of it no service can ever pass, in words; "" when there is nothing of that kind."""
        for word in self.text.lower().split():
            field, _, value = word.lstrip("-!").partition(":")
            if field == "state" and not any(each.startswith(_state(value)) for each in STATES):
                return f"No service is ever “{value}”; there are: {', '.join(STATES)}."
            if field == "approach" and value and value[0].upper() not in BADGE.values():
                return f"There is no approach “{value}”; there are: {', '.join(Approach)}."
        return ""


def _term(word: str) -> Term:
    """One word of a filter as a question to a service."""
    if len(word) > 1 and word[0] in "-!":
        inner = _term(word[1:])
        return lambda service: not inner(service)
    field, colon, value = word.partition(":")
    if colon and field in FIELDS:
        return _field(field, value)
    if "=" in word:
        return _labelled(word)
    return lambda service: word in service.name.lower() or any(word == key.lower() for key in service.labels)


def _field(field: str, value: str) -> Term:
    if field == "state":
        return lambda service: service_state(service)[1].startswith(_state(value))
    if field == "approach":
        return lambda service: _badge(service).startswith(value[:1])
    if field == "label":
        return _labelled(value)
    if field == "node":
        return lambda service: value in service.node.lower()
    if field == "cluster":
        return lambda service: value in service.cluster.lower()
    return lambda service: value in service.name.lower()


def _state(value: str) -> str:
    """``running`` is what others call ``up``."""
    return "up" if value and "running".startswith(value) else value


def _labelled(text: str) -> Term:
    """``tier=db`` is that label, ``tier`` any of that key, ``tier=`` too."""
    key, _, value = text.partition("=")
    if value:
        return lambda service: any(f"{k}={v}".lower() == text for k, v in service.labels.items())
    return lambda service: any(k.lower().startswith(key) for k in service.labels)


def _badge(service: Service) -> str:
    return BADGE[service.approach].lower() if service.approach and not service.obstacle else ""
