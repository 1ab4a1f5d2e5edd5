"""What the console asks of the coordinator, as a protocol: the screens know nothing of HTTP.

``umsui.console.link`` speaks it over the coordinator's client; the tests speak it from a recorded list of events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from umsui.benchmarks import Benchmark
from umsui.model import Cluster, Event, Finding, Migration, MigrationRequest, Operation, Plan, Service, Specification
from umsui.vitals import LogLines, NodeDetail, Shell, Vitals

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

    async def switch(self, node: str, action: str) -> Operation:
        """Begin to start or stop the machine of ``cluster/node``."""

    async def operation(self, number: str) -> Operation:
        """How far that is."""

    async def migrations(self) -> Sequence[Migration]:
        """Running and past ones, newest first."""

    def events(self, migration: str) -> AsyncIterator[Event]:
        """From the first event of a migration, then live; ends after its outcome."""

    async def cancel(self, migration: str) -> Migration:
        """Give it up before its commit; the service stays where it is."""

    async def service(self, key: str) -> ServiceDetail:
        """Specification and last log lines of ``cluster/name``."""

    async def vitals(self, key: str, *, volumes: bool = False) -> Vitals:
        """What ``cluster/name`` is doing at this moment; with ``volumes``, how much each of them holds."""

    def logs(self, key: str, lines: int = 200) -> AsyncIterator[LogLines]:
        """The last ``lines`` lines that ``cluster/name`` wrote, then each new one, for as long as one listens."""

    async def shell(self, key: str) -> Shell:
        """The local command that opens a shell in ``cluster/name``."""

    async def node(self, key: str) -> NodeDetail:
        """``cluster/node``: its load until now, and the links that were measured."""

    async def measure_links(self, key: str) -> NodeDetail:
        """The same, once the ways from it to other nodes have been measured."""

    async def doctor(self, node: str | None = None) -> Sequence[Finding]:
        """What a node lacks, with the fixes. Starts an agent there."""

    async def benchmarks(self) -> Sequence[Benchmark]:
        """Running and past ones, newest first, without their rows."""

    async def benchmark(self, name: str) -> Benchmark:
        """One with its rows so far."""

    async def close(self) -> None:
        """Drop the connection."""
