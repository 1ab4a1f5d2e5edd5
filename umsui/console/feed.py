"""What the console asks of the coordinator, as a protocol: the screens know nothing of HTTP.

``umsui.console.link`` speaks it over the coordinator's client; the tests speak it from a recorded list of events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from umsui.model import Cluster, Event, Migration, MigrationRequest, Plan, Service, Specification

Item = Cluster | Migration | Event
"""One thing that ``Feed.watch`` tells: a whole cluster, a migration's new state, or an event of any migration."""


@dataclass(frozen=True, slots=True)
class ServiceDetail:
    """All that is known of one service."""

    service: Service
    specification: Specification
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """Who answers: the coordinator's own account of itself."""

    version: str = ""
    pid: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


class Feed(Protocol):
    """The coordinator, as the console sees it. Every call may raise ``umsui.errors.UmsuiError`` or ``OSError``."""

    async def wake(self) -> None:
        """Start a coordinator where none runs."""

    async def info(self) -> Info:
        """The coordinator's version and process; the console times this call for its latency."""

    async def board(self) -> Sequence[Cluster]:
        """What is known now, without waiting for any node."""

    def watch(self) -> AsyncIterator[Item]:
        """Each cluster once, then whatever changes, for as long as one listens."""

    async def refresh(self) -> Sequence[Cluster]:
        """Poll all nodes now."""

    async def plan(self, request: MigrationRequest) -> Plan:
        """Dry run: what would be done, why, what it will cost. Probes both ends."""

    async def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it. ``confirm`` is the service's name when the source or the destination is protected."""

    async def migrations(self) -> Sequence[Migration]:
        """Running and past ones, newest first."""

    def events(self, migration: str) -> AsyncIterator[Event]:
        """From the first event of a migration, then live; ends after its outcome."""

    async def cancel(self, migration: str) -> Migration:
        """Give it up before its commit; the service stays where it is."""

    async def service(self, key: str) -> ServiceDetail:
        """Specification and last log lines of ``cluster/name``."""

    async def close(self) -> None:
        """Drop the connection."""
