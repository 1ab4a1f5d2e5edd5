"""The HTTP API (docs/api.md) on a Unix socket. Handlers are thin; what blocks runs in FastAPI's threads."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from umsui import __version__
from umsui.coordinator.client import ServiceDetail
from umsui.coordinator.codec import encode
from umsui.coordinator.workflow import Engine
from umsui.decision import doctor, find_service
from umsui.errors import BadInput, UmsuiError
from umsui.interface.probe import Probes
from umsui.interface.protocol import End
from umsui.model import Cluster, Exit, Finding, Migration, MigrationRequest, Plan

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

    @api.exception_handler(UmsuiError)
    async def tell(_: Request, error: UmsuiError) -> JSONResponse:
        body = {"error": encode(error.failure()), "exit": error.exit.value}
        return JSONResponse(body, STATUS.get(error.exit, 500))

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
        end = next(e for e in engine.inventory.ends() if (e.place.cluster, e.place.node) == (found.cluster, found.node))
        spec = end.orchestrator.specification(end.transport, name)
        return ServiceDetail(found, spec, tuple(end.orchestrator.logs(end.transport, name, 100)))

    @api.get("/v1/doctor")
    def examine(node: str | None = None) -> list[Finding]:
        ends = [end for end in engine.inventory.ends() if node in (None, name_of(end))]
        if not ends:
            raise BadInput(f"there is no node {node}", "`umsui nodes` lists them (cluster/node)", code="unknown-node")
        with Probes() as probes:
            return [finding for end in ends for finding in doctor(name_of(end), probes.node(end))]

    @api.get("/v1/watch")
    async def watch() -> StreamingResponse:
        return StreamingResponse(_watch(engine), media_type="text/event-stream")


def name_of(end: End) -> str:
    """``cluster/node``."""
    return f"{end.place.cluster}/{end.place.node}"


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
        told = -1.0
        for event in await asyncio.to_thread(lambda: list(engine.journal.recording(migration_id))):
            told = event["t"]
            yield frame("event", event)
            if event["kind"] == "outcome":
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
            if name == "event" and data["migration"] == migration_id and data["t"] > told:
                yield frame("event", data)
                if data["kind"] == "outcome":
                    return
    finally:
        engine.bus.close(queue)
