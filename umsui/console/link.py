"""The feed over the coordinator's client. Imported and connected only once the board's skeleton is painted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from umsui.benchmarks import Benchmark
from umsui.console.feed import Info, Item, ServiceDetail
from umsui.errors import UmsuiError
from umsui.model import Cluster, Event, Finding, Migration, MigrationRequest, Operation, Plan
from umsui.vitals import LogLines, NodeDetail, Shell, Vitals

if TYPE_CHECKING:
    from umsui.coordinator.client import AsyncClient

T = TypeVar("T")


def _load() -> AsyncClient:
    from umsui.coordinator.client import AsyncClient  # noqa: PLC0415  (off the event loop: importing takes time)

    return AsyncClient()


def _wake() -> None:
    from umsui.coordinator.client import ensure_running  # noqa: PLC0415

    ensure_running()


@contextmanager
def _understood() -> Iterator[None]:
    """A coordinator of another version may say things that this console cannot read."""
    try:
        yield
    except (ValueError, TypeError, KeyError, StopIteration) as error:
        raise UmsuiError(
            f"the coordinator's answer makes no sense here: {error}",
            "it may be of another version: `umsui coordinator stop`, then open the console again",
            code="version",
        ) from error


class CoordinatorFeed:
    """``umsui.console.feed.Feed`` over the Unix socket."""

    def __init__(self) -> None:
        self._client: AsyncClient | None = None
        self._loading = asyncio.Lock()

    async def _ready(self) -> AsyncClient:
        async with self._loading:
            if self._client is None:
                self._client = await asyncio.to_thread(_load)
        return self._client

    async def _call(self, ask: Callable[[AsyncClient], Awaitable[T]]) -> T:
        client = await self._ready()
        with _understood():
            return await ask(client)

    async def wake(self) -> None:
        """Start a coordinator where none runs."""
        await asyncio.to_thread(_wake)

    async def info(self) -> Info:
        """Version and process."""
        facts = await self._call(lambda client: client.info())
        return Info(str(facts.get("version", "")), int(facts.get("pid") or 0), facts)

    async def board(self) -> Sequence[Cluster]:
        """What is known now."""
        return await self._call(lambda client: client.board())

    async def watch(self) -> AsyncIterator[Item]:
        """Each cluster once, then whatever changes."""
        client = await self._ready()
        with _understood():
            async for item in client.watch():
                yield item

    async def refresh(self) -> Sequence[Cluster]:
        """Poll all nodes now."""
        return await self._call(lambda client: client.refresh())

    async def plan(self, request: MigrationRequest) -> Plan:
        """Dry run."""
        return await self._call(lambda client: client.plan(request))

    async def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it."""
        return await self._call(lambda client: client.migrate(request, confirm))

    async def switch(self, node: str, action: str) -> Operation:
        """Through the node's provider."""
        return await self._call(lambda client: client.switch(node, action))

    async def operation(self, number: str) -> Operation:
        """As it is now."""
        return await self._call(lambda client: client.operation(number))

    async def migrations(self) -> Sequence[Migration]:
        """Newest first."""
        return await self._call(lambda client: client.migrations())

    async def events(self, migration: str) -> AsyncIterator[Event]:
        """From the first one, then live."""
        client = await self._ready()
        with _understood():
            async for event in client.events(migration):
                yield event

    async def cancel(self, migration: str) -> Migration:
        """Before its commit."""
        return await self._call(lambda client: client.cancel(migration))

    async def service(self, key: str) -> ServiceDetail:
        """Specification and logs."""
        found = await self._call(lambda client: client.service(key))
        return ServiceDetail(found.service, found.specification, found.logs)

    async def vitals(self, key: str, *, volumes: bool = False) -> Vitals:
        """At this moment."""
        return await self._call(lambda client: client.vitals(key, volumes=volumes))

    async def logs(self, key: str, lines: int = 200) -> AsyncIterator[LogLines]:
        """The last ones, then each new one."""
        client = await self._ready()
        with _understood():
            async for some in client.logs(key, lines):
                yield some

    async def shell(self, key: str) -> Shell:
        """The command for it."""
        return await self._call(lambda client: client.shell(key))

    async def node(self, key: str) -> NodeDetail:
        """In depth."""
        return await self._call(lambda client: client.node(key))

    async def measure_links(self, key: str) -> NodeDetail:
        """Now."""
        return await self._call(lambda client: client.measure_links(key))

    async def doctor(self, node: str | None = None) -> Sequence[Finding]:
        """Findings with fixes."""
        return await self._call(lambda client: client.doctor(node))

    async def benchmarks(self) -> Sequence[Benchmark]:
        """Without rows."""
        return await self._call(lambda client: client.benchmarks())

    async def benchmark(self, name: str) -> Benchmark:
        """With rows."""
        return await self._call(lambda client: client.benchmark(name))

    async def close(self) -> None:
        """Each call has its own connection: nothing to drop."""
