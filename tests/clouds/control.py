"""What tests say to the server: over a Unix socket, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.clouds.faults import Fault
from tests.clouds.fleet import PAGE, Fleet
from tests.clouds.fleets import FLEETS
from tests.clouds.machines import Machine, Managed
from tests.clouds.world import HOME, World

DONE = JSONResponse({})


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


async def _reset(request: Request) -> Response:
    _world(request).reset()
    return DONE


async def _fleet(request: Request) -> Response:
    """``{"cloud", "account"?, "fleet": name, "count"}`` or ``"machines": […]``; also ``clusters`` and ``page``."""
    wanted: dict[str, Any] = await request.json()
    cloud = wanted["cloud"]
    if "fleet" in wanted:
        machines = FLEETS[wanted["fleet"]](cloud, wanted["count"])
    else:
        machines = [Machine(**each) for each in wanted.get("machines", [])]
    clusters = [Managed(**each) for each in wanted.get("clusters", [])]
    account = wanted.get("account") or HOME[cloud]
    _world(request).cloud(cloud).put(Fleet(account, machines, clusters, wanted.get("page") or PAGE))
    return JSONResponse({"machines": len(machines)})


async def _fault(request: Request) -> Response:
    _world(request).faults.add(Fault(**await request.json()))
    return DONE


async def _mend(request: Request) -> Response:
    """No more faults; every credential is good again."""
    world = _world(request)
    world.faults.clear()
    world.azure.tokens.closed = world.google.tokens.closed = False
    return DONE


async def _settings(request: Request) -> Response:
    """``{"cloud", …}`` and what is to be set: the keys below; times in seconds."""
    wanted: dict[str, Any] = await request.json()
    cloud = _world(request).cloud(wanted["cloud"])
    cloud.operations.seconds = wanted.get("seconds", cloud.operations.seconds)
    cloud.operations.retry_after = wanted.get("retry_after", cloud.operations.retry_after)
    cloud.tokens.lifetime = wanted.get("lifetime", cloud.tokens.lifetime)
    if "silent_zones" in wanted:
        for fleet in cloud.fleets.values():
            fleet.silent = set(wanted["silent_zones"])
            fleet.forget()
    if "fail_next" in wanted:
        cloud.operations.fail_next(*wanted["fail_next"])
    if wanted.get("finish"):
        cloud.operations.settle(now=True)
    return DONE


async def _requests(request: Request) -> Response:
    """Requests since the reset or the last DELETE: how many of each kind, and each; ``served``: of all times."""
    world = _world(request)
    shown = {
        "counts": dict(world.counts),
        "served": dict(world.served),
        "seen": [asdict(each) for each in world.seen],
    }
    if request.method == "DELETE":
        world.counts.clear()
        world.seen.clear()
    return JSONResponse(shown)


async def _machines(request: Request) -> Response:
    cloud = _world(request).cloud(request.path_params["cloud"])
    _world(request).settle()
    shown = {account: [asdict(each) for each in fleet.machines] for account, fleet in cloud.fleets.items()}
    return JSONResponse(shown)


ROUTES = [
    Route("/reset", _reset, methods=["POST"]),
    Route("/fleet", _fleet, methods=["PUT"]),
    Route("/fault", _fault, methods=["POST"]),
    Route("/mend", _mend, methods=["POST"]),
    Route("/settings", _settings, methods=["POST"]),
    Route("/requests", _requests, methods=["GET", "DELETE"]),
    Route("/machines/{cloud}", _machines, methods=["GET"]),
]
