"""What workers tell the app and its screens. Workers only post these; they never touch a widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from umsui.console.feed import Item
from umsui.model import Event, Migration, Plan

if TYPE_CHECKING:
    from umsui.console.batch import Batch, Move


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
class Weighed(Message):
    """One plan of a batch."""

    batch: Batch
    service: str
    plan: Plan | None
    error: str = ""


@dataclass
class Begun(Message):
    """One move of a batch was accepted, or refused."""

    batch: Batch
    move: Move
    migration: Migration | None
    error: str = ""


@dataclass
class Started(Message):
    """A migration was accepted, or refused."""

    migration: Migration | None
    error: str = ""
    fix: str = ""


@dataclass
class Waking(Message):
    """The destination's machine is being started; ``over`` when that has ended, ``error`` when not well."""

    text: str = ""
    over: bool = False
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
class Answered(Message):
    """What a screen has asked for, or why there is no answer."""

    what: str
    value: Any
    error: str = ""
    fix: str = ""


@dataclass
class Logged(Message):
    """New lines of the service on screen; ``restart`` when they begin anew."""

    lines: Sequence[str]
    dropped: int = 0
    restart: str = ""


@dataclass
class Told(Message):
    """Something that a toast says."""

    text: str
    title: str = ""
    severity: str = "information"
