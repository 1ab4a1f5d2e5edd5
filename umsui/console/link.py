"""The feed over the coordinator's client. Imported and connected only once the board's skeleton is painted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from umsui.console.feed import Info, Item, ServiceDetail
from umsui.errors import UmsuiError
from umsui.model import Cluster, Event, Migration, MigrationRequest, Plan

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

    async def close(self) -> None:
        """Each call has its own connection: nothing to drop."""
