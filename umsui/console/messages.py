"""What workers tell the app and its screens. Workers only post these; they never touch a widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.message import Message

from umsui.console.feed import Item, ServiceDetail
from umsui.model import Event, Migration, Plan


@dataclass
class Heard(Message):
    """The coordinator said something."""

    item: Item


@dataclass
class Listening(Message):
    """The coordinator answers; ``latency`` in seconds when it was measured."""

    latency: float | None = None


@dataclass
class Lost(Message):
    """The coordinator does not answer; it is asked again in ``retry`` seconds."""

    reason: str
    retry: float


@dataclass
class Planned(Message):
    """A plan is there, or the reason why there is none."""

    service: str
    to: str
    plan: Plan | None
    error: str = ""
    fix: str = ""
    ticket: int = 0


@dataclass
class Started(Message):
    """A migration was accepted, or refused."""

    migration: Migration | None
    error: str = ""
    fix: str = ""


@dataclass
class Recorded(Message):
    """An event of the migration on screen."""

    event: Event


@dataclass
class Restarted(Message):
    """The recording comes again from its first event."""


@dataclass
class Listed(Message):
    """The list of migrations."""

    migrations: Sequence[Migration]
    error: str = ""


@dataclass
class Detailed(Message):
    """A service's specification and logs."""

    detail: ServiceDetail | None
    error: str = ""


@dataclass
class Told(Message):
    """Something that a toast says."""

    text: str
    title: str = ""
    severity: str = "information"
