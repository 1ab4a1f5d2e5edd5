"""Google Compute Engine, version 1."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence, Set
from typing import Any, cast
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.clouds import fields, google_json
from tests.clouds.filters import parse
from tests.clouds.fleet import Fleet
from tests.clouds.google_login import assertion
from tests.clouds.machines import GOOGLE_SIZES, GOOGLE_ZONES
from tests.clouds.operations import Operation
from tests.clouds.pages import Pages, compact
from tests.clouds.refusals import Refused, google, refuse
from tests.clouds.serving import Handler, route
from tests.clouds.world import World

LIST = {"filter", "includeAllScopes", "maxResults", "orderBy", "pageToken", "serviceProjectNumber"}
COMMON = {"alt", "$alt", "fields", "$fields", "key", "prettyPrint", "quotaUser", "returnPartialSuccess", "requestId"}
WAIT = 2.0  # seconds that ``wait`` waits at most; Google's own waits two minutes


def guard(world: World, request: Request) -> None:
    """Only with a good token (or one that the service account signed itself), for a project that there is."""
    header = request.headers.get("Authorization", "")
    verdict, _ = world.google.tokens.judge(header, ())
    if verdict == "unknown" and not world.google.tokens.closed and assertion(world, header.partition(" ")[2]):
        verdict = "good"
    if verdict != "good":
        raise Refused(refuse("gce", 401, ""))
    fleet(world, request)


def fleet(world: World, request: Request) -> Fleet:
    """The project that is asked for. Raises Refused."""
    found = world.google.fleets.get(request.path_params["project"])
    if found is None:
        raise Refused(refuse("gce", 404, request.path_params["project"]))
    return found


def answer(content: Any) -> Response:
    """JSON."""
    body = content if isinstance(content, bytes) else compact(content)
    return Response(body, media_type="application/json; charset=UTF-8", headers={"Vary": "Origin, X-Origin, Referer"})


def partial(handler: Handler) -> Handler:
    """Honours ``fields``; such an answer is kept until something changes, for it is costly to make."""

    def handle(world: World, request: Request) -> Response:
        text = request.query_params.get("fields") or request.query_params.get("$fields")
        if not text:
            return cast("Response", handler(world, request))
        found = fleet(world, request)
        if str(request.url) not in found.answers:
            try:
                tree = fields.parse(text)
            except ValueError:
                raise Refused(google(400, f"Invalid field selection {text}", "invalidParameter", "")) from None
            whole = cast("Response", handler(world, request))
            found.answers[str(request.url)] = compact(fields.pick(tree, json.loads(bytes(whole.body))))
        return answer(found.answers[str(request.url)])

    return handle


def zones_of(found: Fleet) -> list[str]:
    """All zones, whether something is there or not."""
    return sorted({*GOOGLE_ZONES, *(machine.place for machine in found.machines)})


def _paging(request: Request) -> tuple[int, int]:
    """The page's size and number. Raises Refused."""
    unknown = set(request.query_params) - LIST - COMMON
    if unknown:
        raise Refused(refuse("gce", 400, ""))
    size = int(request.query_params.get("maxResults", "500"))
    token = request.query_params.get("pageToken", "page-0")
    if not 0 < size <= 500 or not token.startswith("page-"):
        message = f"Invalid value for field 'maxResults': '{size}'. Values must be within the following range: [0, 500]"
        raise Refused(google(400, message, "invalid", "INVALID_ARGUMENT"))
    return size, int(token.removeprefix("page-"))


def _matching(request: Request, found: Fleet, numbers: Sequence[int]) -> list[int]:
    text = request.query_params.get("filter", "")
    if not text:
        return list(numbers)
    try:
        holds = parse(text)
    except ValueError:
        message = "Invalid value for field 'filter'. Invalid list filter expression."
        raise Refused(google(400, message, "invalid", "INVALID_ARGUMENT")) from None
    return [each for each in numbers if holds(google_json.instance(found.account, found.machines[each]))]


def _by_zone(found: Fleet, chosen: Sequence[int]) -> Any:
    """Packs a page of an aggregated list: every zone is named on it, the empty ones with a warning."""
    names = zones_of(found)
    instances = found.items("instances", lambda number: google_json.instance(found.account, found.machines[number]))

    def pack(numbers: Sequence[int]) -> bytes:
        here: dict[str, list[bytes]] = {}
        for number in numbers:
            here.setdefault(found.machines[chosen[number]].place, []).append(instances.item(chosen[number]))
        parts = []
        for name in names:
            if name in found.silent:
                inside = compact({"warning": unreachable(name)})
            elif name in here:
                inside = b'{"instances":[' + b",".join(here[name]) + b"]}"
            else:
                inside = compact({"warning": nothing_here(name)})
            parts.append(compact(f"zones/{name}") + b":" + inside)
        return b",".join(parts)

    return pack


def nothing_here(zone: str) -> dict[str, Any]:
    """How an aggregated list says that a zone has nothing."""
    return {
        "code": "NO_RESULTS_ON_PAGE",
        "message": f"There are no results for scope 'zones/{zone}' on this page.",
        "data": [{"key": "scope", "value": f"zones/{zone}"}],
    }


def unreachable(zone: str) -> dict[str, Any]:
    """How an aggregated list says that a zone did not answer."""
    return {"code": "UNREACHABLE", "message": f"The zone '{zone}' could not be reached."}


def _aggregated(world: World, request: Request) -> Response:
    found = fleet(world, request)
    size, number = _paging(request)
    text = request.query_params.get("filter", "")
    if found.silent and request.query_params.get("returnPartialSuccess") != "true":
        raise Refused(refuse("gce.instances.aggregated", 503, found.account))

    def make() -> Pages:
        answering = [each for each, machine in enumerate(found.machines) if machine.place not in found.silent]
        order = sorted(answering, key=lambda each: found.machines[each].place)
        chosen = _matching(request, found, order)
        return Pages(len(chosen), size, _by_zone(found, chosen))

    pages = found.pages(f"instances {text}", size, make)
    return answer(_list(request, "compute#instanceAggregatedList", pages, number, b"{}", found.silent))


def _list(
    request: Request, kind: str, pages: Pages, number: int, around: bytes, silent: Set[str] = frozenset()
) -> bytes:
    head = {"kind": kind, "id": request.url.path.removeprefix("/compute/v1/")}
    tail: dict[str, Any] = {"selfLink": f"https://www.googleapis.com{request.url.path}"}
    if number + 1 < len(pages):
        tail["nextPageToken"] = f"page-{number + 1}"
    if silent:
        tail["unreachables"] = [f"{head['id'].rpartition('/aggregated')[0]}/zones/{zone}" for zone in sorted(silent)]
    return compact(head)[:-1] + b',"items":' + around[:1] + pages.get(number) + around[1:] + b"," + compact(tail)[1:]


def _instances(world: World, request: Request) -> Response:
    found, zone = fleet(world, request), request.path_params["zone"]
    size, number = _paging(request)
    here = [each for each, machine in enumerate(found.machines) if machine.place == zone]
    chosen = _matching(request, found, here)
    instances = found.items("instances", lambda each: google_json.instance(found.account, found.machines[each]))
    pages = Pages(len(chosen), size, lambda numbers: b",".join(instances.item(chosen[each]) for each in numbers))
    return answer(_list(request, "compute#instanceList", pages, number, b"[]"))


def _machine(world: World, request: Request) -> tuple[Fleet, int]:
    found = fleet(world, request)
    zone, name = request.path_params["zone"], unquote(request.path_params["instance"])
    number = found.in_place(zone, name)
    if number is None:
        message = f"The resource 'projects/{found.account}/zones/{zone}/instances/{name}' was not found"
        raise Refused(google(404, message, "notFound", "NOT_FOUND"))
    return found, number


def _instance(world: World, request: Request) -> Response:
    found, number = _machine(world, request)
    return answer(google_json.instance(found.account, found.machines[number]))


def _act(world: World, request: Request) -> Response:
    found, number = _machine(world, request)
    machine = found.machines[number]
    if world.google.operations.running(found.account, number) is not None:
        message = f"The resource 'projects/{found.account}/zones/{machine.place}/instances/{machine.name}' is not ready"
        raise Refused(google(400, message, "resourceNotReady", "INVALID_ARGUMENT"))
    action = request.url.path.rpartition("/")[2]
    operation = world.google.operations.begin(action, found.account, number, machine)
    return answer(google_json.operation(found.account, operation))


def _found_operation(world: World, request: Request) -> Operation:
    name = request.path_params["operation"]
    operation = world.google.operations.get(name.removeprefix("operation-"))
    if operation is None:
        raise Refused(google(404, f"The resource 'operations/{name}' was not found", "notFound", "NOT_FOUND"))
    return operation


def _operation(world: World, request: Request) -> Response:
    operation = _found_operation(world, request)
    return answer(google_json.operation(operation.account, operation))


async def _wait(world: World, request: Request) -> Response:
    operation, end = _found_operation(world, request), time.monotonic() + WAIT
    while operation.ended is None and time.monotonic() < end:
        await asyncio.sleep(0.02)
        world.settle()
    return answer(google_json.operation(operation.account, operation))


def _project(world: World, request: Request) -> Response:
    name = fleet(world, request).account
    link = f"{google_json.ROOT}/projects/{name}"
    return answer({"kind": "compute#project", "id": google_json.number(name), "name": name, "selfLink": link})


def _zones(world: World, request: Request) -> Response:
    found = fleet(world, request)
    size, number = _paging(request)
    names = zones_of(found)
    pages = Pages(
        len(names),
        size,
        lambda numbers: b",".join(compact(google_json.zone(found.account, names[each])) for each in numbers),
    )
    return answer(_list(request, "compute#zoneList", pages, number, b"[]"))


def _types(world: World, request: Request) -> Response:
    found, zone = fleet(world, request), request.path_params["zone"]
    size, number = _paging(request)
    names = [name for name in GOOGLE_SIZES if "custom" not in name]
    pages = Pages(
        len(names),
        size,
        lambda numbers: b",".join(
            compact(google_json.machine_type(found.account, zone, names[each])) for each in numbers
        ),
    )
    return answer(_list(request, "compute#machineTypeList", pages, number, b"[]"))


def _type(world: World, request: Request) -> Response:
    found, zone, name = fleet(world, request), request.path_params["zone"], request.path_params["type"]
    if zone not in zones_of(found) or name not in GOOGLE_SIZES or "custom" in name:
        message = f"The resource 'projects/{found.account}/zones/{zone}/machineTypes/{name}' was not found"
        raise Refused(google(404, message, "notFound", "NOT_FOUND"))
    return answer(google_json.machine_type(found.account, zone, name))


def _types_aggregated(world: World, request: Request) -> Response:
    found = fleet(world, request)
    size, number = _paging(request)
    names = [name for name in GOOGLE_SIZES if "custom" not in name]
    everything = [(zone, name) for zone in zones_of(found) for name in names]

    def pack(numbers: Sequence[int]) -> bytes:
        here: dict[str, Any] = {f"zones/{zone}": {"warning": nothing_here(zone)} for zone in zones_of(found)}
        for each in numbers:
            zone, name = everything[each]
            inside = here[f"zones/{zone}"]
            inside.pop("warning", None)
            inside.setdefault("machineTypes", []).append(google_json.machine_type(found.account, zone, name))
        return compact(here)[1:-1]

    pages = found.pages("types", size, lambda: Pages(len(everything), size, pack))
    return answer(_list(request, "compute#machineTypeAggregatedList", pages, number, b"{}"))


def _routes() -> list[Route]:
    root = "/compute/v1/projects/{project}"
    zone = root + "/zones/{zone}"
    instance = zone + "/instances/{instance}"
    operation = zone + "/operations/{operation}"
    return [
        route(root, "gce.project", partial(_project), guard),
        route(root + "/zones", "gce.zones.list", partial(_zones), guard),
        route(root + "/aggregated/instances", "gce.instances.aggregated", partial(_aggregated), guard),
        route(root + "/aggregated/machineTypes", "gce.types.aggregated", partial(_types_aggregated), guard),
        route(zone + "/machineTypes", "gce.types.list", partial(_types), guard),
        route(zone + "/machineTypes/{type}", "gce.types.get", partial(_type), guard),
        route(zone + "/instances", "gce.instances.list", partial(_instances), guard),
        route(instance, "gce.instances.get", partial(_instance), guard),
        route(instance + "/start", "gce.instances.start", _act, guard, ["POST"]),
        route(instance + "/stop", "gce.instances.stop", _act, guard, ["POST"]),
        route(operation, "gce.operation", _operation, guard),
        route(operation + "/wait", "gce.operation.wait", _wait, guard, ["POST"]),
    ]


ROUTES: list[Route] = _routes()
