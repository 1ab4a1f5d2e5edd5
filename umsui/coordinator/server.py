"""The HTTP API (docs/api.md) on a Unix socket. Handlers are thin; what blocks runs in FastAPI's threads."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from umsui import __version__
from umsui.config import complaint
from umsui.coordinator.client import ServiceDetail
from umsui.coordinator.codec import encode
from umsui.coordinator.workflow import Engine
from umsui.decision import doctor, find_service
from umsui.documents import result_document
from umsui.errors import BadInput, UmsuiError
from umsui.interface.probe import Probes
from umsui.model import Cluster, Event, Exit, Finding, Migration, MigrationRequest, Place, Plan

DOCTORS = 16  # nodes that are examined at once
CONFLICTS = {"already-moving"}  # codes of bad input that would be right at another time
HEARTBEAT = 5.0  # seconds between two signs of life on a quiet stream

STATUS = {
    Exit.USAGE: 400,
    Exit.REFUSED: 422,
    Exit.UNREACHABLE: 502,
    Exit.UNKNOWN: 500,
    Exit.CANCELLED: 409,
    Exit.ROLLED_BACK: 409,
}


@dataclass(frozen=True)
class Start:
    """The body of ``POST /v1/migrations``."""

    request: MigrationRequest
    confirm: str = ""


def application(engine: Engine, shutdown: Callable[[], None]) -> FastAPI:
    """The API over an engine; ``shutdown`` ends the process."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.bus.attach(asyncio.get_running_loop())
        yield

    api = FastAPI(title="umsui coordinator", version=__version__, lifespan=lifespan)
    started = time.time()

    _errors(api)

    @api.get("/v1/info")
    def info() -> dict[str, Any]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started": started,
            "config": str(engine.config.path or ""),
            "data": str(engine.journal.recordings.parent),
            "recordings": str(engine.journal.recordings),
            "migrations_running": len(engine.running()),
        }

    @api.post("/v1/shutdown", status_code=202)
    def stop(force: bool = False) -> dict[str, str]:
        running = engine.running()
        if running and not force:
            message = f"{len(running)} migrations are running ({running[0].service})"
            raise UmsuiError(message, "wait for them, or --force: they are taken up at the next start", code="busy")
        shutdown()
        return {"state": "stopping"}

    _inventory(api, engine)
    _migrations(api, engine)
    return api


def _errors(api: FastAPI) -> None:
    """Every error has the one shape of docs/api.md, whoever raises it."""

    def answer(error: UmsuiError, status: int) -> JSONResponse:
        return JSONResponse({"error": encode(error.failure()), "exit": error.exit.value}, status)

    @api.exception_handler(UmsuiError)
    async def ours(_: Request, error: UmsuiError) -> JSONResponse:
        return answer(error, 409 if error.code in CONFLICTS else STATUS.get(error.exit, 500))

    @api.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return answer(BadInput(f"`{key}` {complaint(first)}", "docs/api.md has the shapes", code="bad-request"), 400)

    @api.exception_handler(HTTPException)
    async def missing(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
        return answer(BadInput(what, "docs/api.md lists the calls", code="unknown-call"), error.status_code)

    @api.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        words = f"a fault in the coordinator: {type(error).__name__}: {error}"
        return answer(UmsuiError(words, "its log has the details; please report it", code="coordinator-fault"), 500)


def _inventory(api: FastAPI, engine: Engine) -> None:
    @api.get("/v1/board")
    def board() -> list[Cluster]:
        return engine.inventory.clusters()

    @api.post("/v1/refresh")
    def refresh() -> list[Cluster]:
        return engine.inventory.refresh()

    @api.get("/v1/services/{cluster}/{name}")
    def service(cluster: str, name: str) -> ServiceDetail:
        found = find_service(engine.inventory.clusters(), f"{cluster}/{name}")
        end = engine.inventory.end(Place(found.cluster, found.node))
        spec = end.orchestrator.specification(end.transport, name)
        return ServiceDetail(found, spec, tuple(end.orchestrator.logs(end.transport, name, 100)))

    @api.get("/v1/doctor")
    def examine(node: str | None = None) -> list[Finding]:
        places = [place for place in engine.inventory.places() if node in (None, f"{place.cluster}/{place.node}")]
        if not places and node is not None:
            raise BadInput(f"there is no node {node}", "`umsui nodes` lists them (cluster/node)", code="unknown-node")
        with ThreadPoolExecutor(DOCTORS) as pool:
            return [finding for found in pool.map(lambda place: examined(engine, place), places) for finding in found]

    @api.get("/v1/watch")
    async def watch() -> StreamingResponse:
        return StreamingResponse(_watch(engine), media_type="text/event-stream")


def examined(engine: Engine, place: Place) -> list[Finding]:
    """What one node lacks; that it does not answer is a finding, too."""
    where = f"{place.cluster}/{place.node}"
    try:
        with Probes() as probes:
            return list(doctor(where, probes.node(engine.inventory.end(place))))
    except UmsuiError as error:
        why = "nothing can be moved from there or to there"
        return [Finding(error.code, ok=False, blocking=True, what=error.message, why=why, fix=error.fix, where=where)]


def _migrations(api: FastAPI, engine: Engine) -> None:
    @api.post("/v1/plans")
    def plan(request: MigrationRequest) -> Plan:
        return engine.plan(request)

    @api.post("/v1/migrations", status_code=202)
    def migrate(start: Start) -> Migration:
        return engine.migrate(start.request, start.confirm)

    @api.get("/v1/migrations")
    def migrations() -> list[Migration]:
        return engine.journal.all()

    @api.get("/v1/migrations/{migration_id}")
    def migration(migration_id: str) -> Migration:
        return engine.journal.migration(migration_id)

    @api.post("/v1/migrations/{migration_id}/cancel")
    def cancel(migration_id: str) -> Migration:
        return engine.cancel(migration_id)

    @api.get("/v1/migrations/{migration_id}/events")
    async def events(migration_id: str) -> StreamingResponse:
        found = await asyncio.to_thread(engine.journal.migration, migration_id)
        return StreamingResponse(_events(engine, found.id), media_type="text/event-stream")


def frame(name: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


async def _watch(engine: Engine) -> AsyncIterator[str]:
    """Everything as it is now, then everything that changes; a listener that lags gets everything again."""
    while True:
        queue = engine.bus.open()
        try:
            for cluster in engine.inventory.clusters():
                yield frame("cluster", encode(cluster))
            for migration in engine.running():
                yield frame("migration", encode(migration))
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), HEARTBEAT)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if message is None:
                    break
                yield frame(*message)
        finally:
            engine.bus.close(queue)


async def _events(engine: Engine, migration_id: str) -> AsyncIterator[str]:
    """The recording so far, then what comes, each event once, up to the outcome."""
    queue = engine.bus.open()
    try:
        ended = (await asyncio.to_thread(engine.journal.migration, migration_id)).finished is not None
        told = -1  # the number of the last one
        for event in await asyncio.to_thread(lambda: list(engine.journal.recording(migration_id))):
            told = event["n"]
            yield frame("event", event)
            if event["kind"] == "outcome":
                return
        if ended and not any(each.id == migration_id for each in engine.running()):
            yield frame("event", await asyncio.to_thread(_lost_outcome, engine, migration_id, told + 1))
            return
        while True:
            try:
                message = await asyncio.wait_for(queue.get(), HEARTBEAT)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if message is None:
                return  # too slow: the caller connects again and gets the recording
            name, data = message
            if name == "event" and data["migration"] == migration_id and data["n"] > told:
                yield frame("event", data)
                if data["kind"] == "outcome":
                    return
    finally:
        engine.bus.close(queue)


def _lost_outcome(engine: Engine, migration_id: str, number: int) -> dict[str, Any]:
    """The last event of a migration whose recording has none: the file is gone, or the disk was full."""
    migration = engine.journal.migration(migration_id)
    event = Event(migration.finished or 0.0, migration_id, "outcome", {"result": result_document(migration)})
    return {**event.flat(), "n": number}
