"""The coordinator's API for an event loop: HTTP/1.0 by hand over asyncio's streams, a connection a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from umsui import locations
from umsui.benchmarks import Benchmark
from umsui.coordinator.client import (
    PATIENCE,
    QUIET,
    ServiceDetail,
    as_error,
    gone,
    parsed,
    request_body,
    shaped,
    to_event,
)
from umsui.model import Cluster, Event, Finding, Migration, MigrationRequest, Operation, Plan
from umsui.vitals import LogLines, NodeDetail, Shell, Vitals

LARGE = 500  # services of a cluster that is taken in by a thread: it would hold the event loop up
LIMIT = 64 << 20  # bytes of one line of the event stream


async def _within(seconds: float, reader: asyncio.StreamReader) -> bytes:
    """The next line. Not by ``wait_for``: until Python 3.12 it swallows a cancellation that comes with the data."""
    async with asyncio.timeout(seconds):
        return await reader.readline()


class AsyncClient:
    """The same for an event loop: no call blocks it."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or locations.coordinator_socket()

    async def _open(
        self, method: str, target: str, body: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=LIMIT)
        head = [f"{method} {target} HTTP/1.0", "Host: umsui", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", "", ""]
        with ExitStack() as undo:
            undo.callback(writer.close)
            writer.write("\r\n".join(head).encode() + body)
            await writer.drain()
            status = int((await reader.readline()).split()[1])
            while (await reader.readline()).strip():
                pass
            undo.pop_all()
        return reader, writer, status

    async def _call(self, method: str, target: str, body: bytes = b"") -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer, status = await self._open(method, target, body)
                with closing(writer):
                    data = await reader.read()
        except (OSError, IndexError, ValueError, TimeoutError) as error:
            raise gone(error) from error
        if status >= 400:
            raise as_error(status, data)
        return parsed(data)

    async def _stream(self, target: str) -> AsyncIterator[tuple[str, Any]]:
        """Server-sent events as (name, parsed data)."""
        try:
            reader, writer, status = await self._open("GET", target, b"")
        except (OSError, IndexError, ValueError) as error:
            raise gone(error) from error
        try:
            if status >= 400:
                raise as_error(status, await reader.read())
            name = ""
            while line := await _within(QUIET, reader):
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line[6:])
        except (OSError, ValueError, TimeoutError) as error:  # ValueError: a line that was cut off
            raise gone(error) from error
        finally:
            writer.close()

    async def info(self) -> dict[str, Any]:
        """Version, pid, paths."""
        found: dict[str, Any] = await self._call("GET", "/v1/info")
        return found

    async def board(self) -> list[Cluster]:
        """What is known now."""
        return shaped(list[Cluster], await self._call("GET", "/v1/board?whole=false"))

    async def refresh(self) -> list[Cluster]:
        """Ask every node now."""
        return shaped(list[Cluster], await self._call("POST", "/v1/refresh?whole=false"))

    async def service(self, key: str) -> ServiceDetail:
        """Specification and last log lines of ``cluster/name``."""
        return shaped(ServiceDetail, await self._call("GET", f"/v1/services/{quote(key)}"))

    async def vitals(self, key: str, *, volumes: bool = False) -> Vitals:
        """What ``cluster/name`` is doing at this moment."""
        query = "?volumes=true" if volumes else ""
        return shaped(Vitals, await self._call("GET", f"/v1/services/{quote(key)}/vitals{query}"))

    async def logs(self, key: str, lines: int = 200) -> AsyncIterator[LogLines]:
        """The last ``lines`` lines that ``cluster/name`` wrote, then each new one, for as long as one listens."""
        async for _, data in self._stream(f"/v1/services/{quote(key)}/logs?lines={lines}"):
            yield shaped(LogLines, data)

    async def shell(self, key: str) -> Shell:
        """The local command that opens a shell in ``cluster/name``."""
        return shaped(Shell, await self._call("GET", f"/v1/services/{quote(key)}/shell"))

    async def node(self, key: str) -> NodeDetail:
        """``cluster/node`` in depth."""
        return shaped(NodeDetail, await self._call("GET", f"/v1/nodes/{quote(key)}"))

    async def measure_links(self, key: str) -> NodeDetail:
        """The same, once the ways from it to other nodes have been measured."""
        return shaped(NodeDetail, await self._call("POST", f"/v1/nodes/{quote(key)}/links"))

    async def doctor(self, node: str | None = None) -> list[Finding]:
        """What nodes lack; ``node`` is ``cluster/node``."""
        return shaped(list[Finding], await self._call("GET", "/v1/doctor" + (f"?node={quote(node)}" if node else "")))

    async def benchmarks(self) -> list[Benchmark]:
        """Newest first, without their rows."""
        return shaped(list[Benchmark], await self._call("GET", "/v1/benchmarks"))

    async def benchmark(self, name: str) -> Benchmark:
        """One with its rows so far."""
        return shaped(Benchmark, await self._call("GET", f"/v1/benchmarks/{quote(name)}"))

    async def plan(self, request: MigrationRequest) -> Plan:
        """What would be done."""
        return shaped(Plan, await self._call("POST", "/v1/plans", request_body(request)))

    async def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it."""
        return shaped(Migration, await self._call("POST", "/v1/migrations", request_body(request, confirm)))

    async def switch(self, node: str, action: str) -> Operation:
        """Begin to start or stop the machine of ``cluster/node``."""
        return shaped(Operation, await self._call("POST", f"/v1/nodes/{quote(node)}/{action}"))

    async def operation(self, number: str) -> Operation:
        """How far that is."""
        return shaped(Operation, await self._call("GET", f"/v1/operations/{quote(number)}"))

    async def migrations(self) -> list[Migration]:
        """Running and past ones, newest first."""
        return shaped(list[Migration], await self._call("GET", "/v1/migrations"))

    async def migration(self, migration_id: str) -> Migration:
        """One of them."""
        return shaped(Migration, await self._call("GET", f"/v1/migrations/{migration_id}"))

    async def cancel(self, migration_id: str) -> Migration:
        """Give it up before its commit."""
        return shaped(Migration, await self._call("POST", f"/v1/migrations/{migration_id}/cancel"))

    async def watch(self) -> AsyncIterator[Cluster | Migration | Event]:
        """Each cluster once, then whatever changes; ends when the coordinator goes."""
        async for name, data in self._stream("/v1/watch"):
            if name == "cluster":
                large = len(data.get("services", ())) > LARGE
                yield await asyncio.to_thread(shaped, Cluster, data) if large else shaped(Cluster, data)
            elif name == "migration":
                yield shaped(Migration, data)
            elif name == "event":
                yield to_event(data)

    async def events(self, migration_id: str) -> AsyncIterator[Event]:
        """From the first event of a migration, then live; ends after its outcome."""
        async for _, data in self._stream(f"/v1/migrations/{migration_id}/events"):
            yield to_event(data)
