"""The HTTP API (docs/api.md) on a Unix socket. Handlers are thin; what blocks runs in FastAPI's threads."""

from __future__ import annotations

import asyncio
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
from umsui.coordinator.details import benchmarks, first_container, node_details, service_details
from umsui.coordinator.engine import Engine
from umsui.coordinator.operations import machine_actions
from umsui.coordinator.picture import slim
from umsui.coordinator.streams import Messages, streamed, subscription
from umsui.decision import doctor, find_cluster, find_service
from umsui.decision.api_checks import rights
from umsui.decision.resolve import refuse_taken
from umsui.documents import result_document
from umsui.errors import BadInput, UmsuiError
from umsui.interface import composition, deployment_api
from umsui.interface.deployment import deploy
from umsui.interface.probe import Probes
from umsui.model import Cluster, Deployment, Event, Exit, Finding, Migration, MigrationRequest, Place, Plan

DOCTORS = 16  # nodes that are examined at once
CONFLICTS = {"already-moving", "busy", "in-use", "no-change"}  # codes of bad input that would be right at another time

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

    service_details(api, engine)  # first: a service's own path would take in theirs
    _inventory(api, engine)
    _migrations(api, engine)
    node_details(api, engine)
    benchmarks(api)
    machine_actions(api, engine)
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
    def board(whole: bool = True) -> list[Cluster]:
        found = engine.inventory.clusters()
        return found if whole else [slim(each) for each in found]

    @api.post("/v1/refresh")
    def refresh(whole: bool = True) -> list[Cluster]:
        found = engine.inventory.refresh()
        return found if whole else [slim(each) for each in found]

    @api.get("/v1/services/{cluster}/{name:path}")
    def service(cluster: str, name: str) -> ServiceDetail:
        found = find_service(engine.inventory.clusters(), f"{cluster}/{name}")
        end = engine.inventory.end(Place(found.cluster, found.node))
        spec = composition.specification(end, name, found.containers)
        return ServiceDetail(found, spec, tuple(end.orchestrator.logs(end.transport, first_container(found), 100)))

    @api.get("/v1/doctor")
    def examine(node: str | None = None) -> list[Finding]:
        places = [place for place in engine.inventory.places() if node in (None, f"{place.cluster}/{place.node}")]
        if not places and node is not None:
            cluster, _, name = node.partition("/")
            engine.inventory.watcher(Place(cluster, name))  # says why: unknown, switched off, without an address
        with ThreadPoolExecutor(DOCTORS) as pool:
            return [finding for found in pool.map(lambda place: examined(engine, place), places) for finding in found]

    @api.get("/v1/watch")
    async def watch() -> StreamingResponse:
        return streamed(_watch(engine))


def examined(engine: Engine, place: Place) -> list[Finding]:
    """What one node lacks; that it does not answer is a finding, too."""
    where = f"{place.cluster}/{place.node}"
    try:
        end = engine.inventory.end(place)
        with Probes() as probes:
            facts = probes.node(end)
            return list(rights(where, facts.lacking_rights) if end.through_api else doctor(where, facts))
    except UmsuiError as error:
        why = "nothing can be moved from there or to there"
        return [Finding(error.code, ok=False, blocking=True, what=error.message, why=why, fix=error.fix, where=where)]


def _migrations(api: FastAPI, engine: Engine) -> None:
    @api.post("/v1/services", status_code=201)
    def start_service(deployment: Deployment) -> Place:
        place, name = engine.place(deployment.cluster, deployment.node), deployment.specification.name
        engine.refuse_moving(f"{place.cluster}/{name}")
        try:
            refuse_taken(find_cluster(engine.inventory.clusters(), place.cluster), name)
        except BadInput:  # it may have gone since the board was seen
            refuse_taken(find_cluster(engine.inventory.refresh(), place.cluster), name)
        end = engine.inventory.end(place)
        (deployment_api.deploy if end.through_api else deploy)(end, deployment)
        engine.inventory.look(place)
        return place

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

    @api.post("/v1/migrations/{migration_id}/resolve", status_code=202)
    def resolve(migration_id: str) -> Migration:
        return engine.resolve(migration_id)

    @api.get("/v1/migrations/{migration_id}/events")
    async def events(migration_id: str) -> StreamingResponse:
        found = await asyncio.to_thread(engine.journal.migration, migration_id)
        return streamed(_events(engine, found.id))


async def _watch(engine: Engine) -> Messages:
    """Everything as it is now, then everything that changes; a listener that lags gets everything again."""
    while True:
        async with subscription(engine.bus) as changes:
            for cluster in engine.inventory.clusters():
                yield "cluster", encode(slim(cluster))
            for migration in engine.running():
                yield "migration", encode(migration)
            async for change in changes:
                yield change


async def _events(engine: Engine, migration_id: str) -> Messages:
    """The recording so far, then what comes, each event once, up to the outcome.

    A listener that is too slow is let go: it connects again and gets the recording.
    """
    async with subscription(engine.bus) as changes:
        ended = (await asyncio.to_thread(engine.journal.migration, migration_id)).finished is not None
        told = -1  # the number of the last one
        for event in await asyncio.to_thread(lambda: list(engine.journal.recording(migration_id))):
            told = event["n"]
            yield "event", event
            if event["kind"] == "outcome":
                return
        if ended and not any(each.id == migration_id for each in engine.running()):
            yield "event", await asyncio.to_thread(_lost_outcome, engine, migration_id, told + 1)
            return
        async for name, data in changes:
            if name == "event" and data["migration"] == migration_id and data["n"] > told:
                yield name, data
                if data["kind"] == "outcome":
                    return


def _lost_outcome(engine: Engine, migration_id: str, number: int) -> dict[str, Any]:
    """The last event of a migration whose recording has none: the file is gone, or the disk was full."""
    migration = engine.journal.migration(migration_id)
    event = Event(migration.finished or 0.0, migration_id, "outcome", {"result": result_document(migration)})
    return {**event.flat(), "n": number}
