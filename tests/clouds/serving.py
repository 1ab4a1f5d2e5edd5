"""What every request meets, whatever it asks for: it is counted, may be cut or silenced, and must be let in."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.clouds.faults import Fault
from tests.clouds.refusals import Refused, refuse
from tests.clouds.world import Seen, World

Handler = Callable[[World, Request], Response | Awaitable[Response]]
Kind = str | Callable[[Request], str]
Guard = Callable[[World, Request], None]

HOSTS = {
    "login.microsoftonline.com": ("entra",),
    "management.azure.com": ("arm",),
    "oauth2.googleapis.com": ("google",),
    "sts.googleapis.com": ("google",),
    "www.googleapis.com": ("google", "gce"),
    "compute.googleapis.com": ("gce",),
    "container.googleapis.com": ("gke",),
    "metadata.google.internal": ("metadata",),
    "169.254.169.254": ("metadata", "imds"),
}
"""What each of the clouds' own host names serves; any other name serves all."""

_connections: WeakValueDictionary[tuple[str, int], Protocol] = WeakValueDictionary()


class Protocol(H11Protocol):
    """uvicorn's, remembered by its client's address, so that a request can reset its connection."""

    def connection_made(self, transport: Any) -> None:
        """As uvicorn's."""
        super().connection_made(transport)
        if self.client is not None:
            _connections[self.client] = self


class Cut(Response):
    """Half of an answer, then a reset."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and half the body; drop the connection."""
        body = bytes(self._whole.body)
        await send({"type": "http.response.start", "status": 200, "headers": self._whole.raw_headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await asyncio.sleep(0.05)  # a reset also drops what has not been read yet
        transport: Any = _connections[tuple(scope["client"])].transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def account(request: Request) -> str:
    """The subscription or project that is asked for."""
    return str(request.path_params.get("subscription") or request.path_params.get("project") or "")


async def form(request: Request) -> dict[str, str]:
    """A form's fields."""
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


def route(
    path: str, kind: Kind, handler: Handler, guard: Guard | None = None, methods: Iterable[str] = ("GET",)
) -> Route:
    """A path that is answered by ``handler`` when ``guard`` lets the request in (it raises Refused)."""

    async def answer(request: Request) -> Response:
        world: World = request.app.state.world
        name = kind if isinstance(kind, str) else kind(request)
        seen = Seen(
            name, request.method, request.url.hostname or "", request.url.path, request.query_params.multi_items()
        )
        world.counts[name] += 1
        world.served[name.partition(".")[0]] += 1
        world.seen.append(seen)
        world.settle()
        response = await _answer(world, request, name, handler, guard)
        seen.status = response.status_code
        return response

    found = Route(path, answer, methods=list(methods))
    if path.startswith("/subscriptions"):
        found.path_regex = re.compile(found.path_regex.pattern, re.IGNORECASE)  # Azure's paths have no case
    return found


async def _answer(world: World, request: Request, kind: str, handler: Handler, guard: Guard | None) -> Response:
    if kind.partition(".")[0] not in HOSTS.get(request.url.hostname or "", (kind.partition(".")[0],)):
        return Response("this host serves nothing of the kind\n", 404)
    fault = world.faults.take(kind, account(request))
    world.served["faults"] += fault is not None
    if fault is not None and fault.how == "silent":
        return await _silence(request)
    if fault is not None and fault.how == "status":
        return refuse(kind, fault.status, account(request), fault.reason, fault.retry_after)
    if fault is not None and fault.how == "revoke":
        _revoke(world, kind, fault)
    try:
        if guard is not None:
            guard(world, request)
        found = handler(world, request)
        response = found if isinstance(found, Response) else await found
    except Refused as refusal:
        response = refusal.response
    return Cut(response) if fault is not None and fault.how == "cut" else response


def _revoke(world: World, kind: str, fault: Fault) -> None:
    cloud = world.azure if kind.partition(".")[0] in ("arm", "entra", "imds") else world.google
    cloud.tokens.revoke(credentials=fault.credentials)


async def _silence(request: Request) -> Response:
    while not await request.is_disconnected():
        await asyncio.sleep(0.05)
    return Response(status_code=499)
