"""The coordinator's API from the other side: for scripts and the CLI (``Client``), for the console (``AsyncClient``).

On the standard library alone: an HTTP library would cost a third of the console's first paint to import.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from umsui import errors, locations
from umsui.coordinator.codec import decode, encode
from umsui.model import Cluster, Event, Exit, Finding, Migration, MigrationRequest, Plan, Service, Specification

T = TypeVar("T")

PATIENCE = 120.0  # seconds for an answer: a plan probes both ends
LIMIT = 64 << 20  # bytes of one line of the event stream


@dataclass(frozen=True, slots=True)
class ServiceDetail:
    """All that is known of one service."""

    service: Service
    specification: Specification
    logs: tuple[str, ...] = ()


def ensure_running(timeout: float = 20.0) -> None:
    """Start a coordinator where none answers, detached, and wait for it. Raises Unreachable."""
    path = locations.coordinator_socket()
    if _answers(path):
        return
    log = locations.ensure(locations.data_dir()) / "coordinator.log"
    process = _start(log)
    end = time.monotonic() + timeout
    while not _answers(path):
        if process.poll() or time.monotonic() > end:
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise errors.Unreachable(
                f"the coordinator did not start: {' '.join(tail) or 'no answer'}", f"see {log}", code="no-coordinator"
            )
        time.sleep(0.02)
        # Ours ends with 0 when there is another one: which has won the race and will answer, or is just ending.
        if process.poll() == 0 and not _answers(path):
            time.sleep(0.2)
            process = _start(log)


def _start(log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "umsui.coordinator"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
        )


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _error(status: int, body: bytes) -> errors.UmsuiError:
    """The coordinator's error as the class that it was there."""
    try:
        document = json.loads(body)
        found, code = dict(document["error"]), Exit(document["exit"])
        message = str(found["message"])
    except (ValueError, KeyError, TypeError):
        return errors.UmsuiError(f"the coordinator answered {status}: {body[:200]!r}", code="coordinator-fault")
    classes = (errors.BadInput, errors.Refused, errors.Unreachable, errors.Cancelled, errors.Unknown)
    kind = next((each for each in classes if each.exit is code), errors.UmsuiError)
    return kind(message, found.get("fix", ""), step=found.get("step", ""), code=found.get("code", ""))


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError as error:
        raise _gone(error) from error


def _shaped(shape: type[T], data: Any) -> T:
    try:
        return decode(shape, data)
    except (KeyError, TypeError, ValueError) as error:
        raise errors.UmsuiError(
            f"the coordinator speaks another version: {error}",
            "`umsui coordinator stop`, then try again",
            code="other-version",
        ) from error


def _request_body(request: MigrationRequest, confirm: str | None = None) -> bytes:
    body = encode(request) if confirm is None else {"request": encode(request), "confirm": confirm}
    return json.dumps(body).encode()


def _gone(error: Exception) -> errors.Unreachable:
    return errors.Unreachable(
        f"the coordinator does not answer: {error}", "`umsui coordinator status`", code="no-coordinator"
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("umsui", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """Blocking calls, a connection each. All raise UmsuiError with the coordinator's own words, or Unreachable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or locations.coordinator_socket()

    def _call(self, method: str, target: str, body: bytes | None = None) -> Any:
        connection = _UnixConnection(self._path, PATIENCE)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise _gone(error) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _error(answer.status, data)
        return _parsed(data)

    def _get(self, shape: type[T], target: str, method: str = "GET", body: bytes | None = None) -> T:
        return _shaped(shape, self._call(method, target, body))

    def info(self) -> dict[str, Any]:
        """Version, pid, paths."""
        found: dict[str, Any] = self._call("GET", "/v1/info")
        return found

    def board(self) -> list[Cluster]:
        """What is known now."""
        return self._get(list[Cluster], "/v1/board")

    def refresh(self) -> list[Cluster]:
        """Ask every node now."""
        return self._get(list[Cluster], "/v1/refresh", "POST")

    def service(self, key: str) -> ServiceDetail:
        """Specification and last log lines of ``cluster/name``."""
        return self._get(ServiceDetail, f"/v1/services/{key}")

    def plan(self, request: MigrationRequest) -> Plan:
        """What would be done."""
        return self._get(Plan, "/v1/plans", "POST", _request_body(request))

    def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it."""
        return self._get(Migration, "/v1/migrations", "POST", _request_body(request, confirm))

    def migrations(self) -> list[Migration]:
        """All, newest first."""
        return self._get(list[Migration], "/v1/migrations")

    def migration(self, migration_id: str) -> Migration:
        """One of them."""
        return self._get(Migration, f"/v1/migrations/{migration_id}")

    def cancel(self, migration_id: str) -> Migration:
        """Call it off. Raises UmsuiError with code ``too-late`` after commit."""
        return self._get(Migration, f"/v1/migrations/{migration_id}/cancel", "POST")

    def doctor(self, node: str | None = None) -> list[Finding]:
        """What nodes lack; ``node`` is ``cluster/node``."""
        return self._get(list[Finding], "/v1/doctor" + (f"?node={node}" if node else ""))

    def shutdown(self, force: bool = False) -> None:
        """Stop the coordinator. Raises UmsuiError with code ``busy`` while migrations run."""
        self._call("POST", "/v1/shutdown" + ("?force=true" if force else ""))

    def events(self, migration_id: str) -> Iterator[Event]:
        """Its events from the first one, then live, up to its outcome."""
        connection = _UnixConnection(self._path, 30.0)  # heartbeats come each 5 s
        try:
            connection.request("GET", f"/v1/migrations/{migration_id}/events")
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _error(answer.status, answer.read())
            for line in answer:
                if line.startswith(b"data: "):
                    event = to_event(json.loads(line[6:]))
                    yield event
                    if event.kind == "outcome":
                        return
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a line that was cut off
            raise _gone(error) from error
        finally:
            connection.close()


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
        try:
            writer.write("\r\n".join(head).encode() + body)
            await writer.drain()
            status = int((await reader.readline()).split()[1])
            while (await reader.readline()).strip():
                pass
        except BaseException:
            writer.close()
            raise
        return reader, writer, status

    async def _call(self, method: str, target: str, body: bytes = b"") -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer, status = await self._open(method, target, body)
                with closing(writer):
                    data = await reader.read()
        except (OSError, IndexError, ValueError, TimeoutError) as error:
            raise _gone(error) from error
        if status >= 400:
            raise _error(status, data)
        return _parsed(data)

    async def _stream(self, target: str) -> AsyncIterator[tuple[str, Any]]:
        """Server-sent events as (name, parsed data)."""
        try:
            reader, writer, status = await self._open("GET", target, b"")
        except (OSError, IndexError, ValueError) as error:
            raise _gone(error) from error
        try:
            if status >= 400:
                raise _error(status, await reader.read())
            name = ""
            while line := await reader.readline():
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line[6:])
        except (OSError, ValueError) as error:  # ValueError: a line that was cut off
            raise _gone(error) from error
        finally:
            writer.close()

    async def info(self) -> dict[str, Any]:
        """Version, pid, paths."""
        found: dict[str, Any] = await self._call("GET", "/v1/info")
        return found

    async def board(self) -> list[Cluster]:
        """What is known now."""
        return _shaped(list[Cluster], await self._call("GET", "/v1/board"))

    async def refresh(self) -> list[Cluster]:
        """Ask every node now."""
        return _shaped(list[Cluster], await self._call("POST", "/v1/refresh"))

    async def service(self, key: str) -> ServiceDetail:
        """Specification and last log lines of ``cluster/name``."""
        return _shaped(ServiceDetail, await self._call("GET", f"/v1/services/{key}"))

    async def plan(self, request: MigrationRequest) -> Plan:
        """What would be done."""
        return _shaped(Plan, await self._call("POST", "/v1/plans", _request_body(request)))

    async def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it."""
        return _shaped(Migration, await self._call("POST", "/v1/migrations", _request_body(request, confirm)))

    async def migrations(self) -> list[Migration]:
        """Running and past ones, newest first."""
        return _shaped(list[Migration], await self._call("GET", "/v1/migrations"))

    async def cancel(self, migration_id: str) -> Migration:
        """Give it up before its commit."""
        return _shaped(Migration, await self._call("POST", f"/v1/migrations/{migration_id}/cancel"))

    async def watch(self) -> AsyncIterator[Cluster | Migration | Event]:
        """Each cluster once, then whatever changes; ends when the coordinator goes."""
        async for name, data in self._stream("/v1/watch"):
            if name == "cluster":
                yield _shaped(Cluster, data)
            elif name == "migration":
                yield _shaped(Migration, data)
            elif name == "event":
                yield to_event(data)

    async def events(self, migration_id: str) -> AsyncIterator[Event]:
        """From the first event of a migration, then live; ends after its outcome."""
        async for _, data in self._stream(f"/v1/migrations/{migration_id}/events"):
            yield to_event(data)


def to_event(data: Mapping[str, Any]) -> Event:
    """A flat event of the wire or of a recording."""
    rest = {key: value for key, value in data.items() if key not in ("t", "migration", "kind")}
    return Event(float(data["t"]), str(data["migration"]), str(data["kind"]), rest)
