"""How a cluster's services are laid out: in which order, and under which headings. Pure; the columns show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umsui.console import words
from umsui.model import Service

SORTS: dict[str, Callable[[Service], Any]] = {
    "name": lambda service: service.name,
    "memory": lambda service: -service.memory,
    "processes": lambda service: -service.processes,
    "state": lambda service: words.service_state(service)[1],
    "node": lambda service: service.node,
}
GROUPS = ("none", "node", "state", "approach")
"""And any label's key."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Stands above some services."""

    title: str
    count: int


Row = Service | Heading


@dataclass(frozen=True, slots=True)
class View:
    """What the operator has chosen."""

    sort: str = "name"
    group: str = "none"
    dense: bool = False

    def order(self, service: Service) -> tuple[Any, ...]:
        """A key to sort by; the name decides between equals."""
        return SORTS[self.sort](service), service.name, service.node

    def title(self, service: Service) -> str:
        """The heading that a service belongs under."""
        if self.group == "node":
            return service.node or "no node"
        if self.group == "state":
            return words.service_state(service)[1]
        if self.group == "approach":
            return "cannot move" if service.obstacle else words.approach(service.approach)
        return f"{self.group}={service.labels[self.group]}" if self.group in service.labels else f"no {self.group}"

    def rows(self, services: Sequence[Service]) -> list[Row]:
        """Services in the order given, under headings where they are grouped."""
        if self.group == "none":
            return list(services)
        groups: dict[str, list[Service]] = {}
        for service in services:
            groups.setdefault(self.title(service), []).append(service)
        rows: list[Row] = []
        for title in sorted(groups):
            rows += [Heading(title, len(groups[title])), *groups[title]]
        return rows


def after(current: str, choices: Sequence[str]) -> str:
    """The next of some choices, the first after the last."""
    return choices[(choices.index(current) + 1) % len(choices)] if current in choices else choices[0]
