"""textual-serve behind a door: loopback only, a token that opens once, then a cookie for this browser alone.

textual-serve itself lets everybody in who reaches its port, and so every page that the operator's browser has open
(by DNS rebinding, or by a WebSocket, to which the same-origin policy does not apply). Hence the checks of Host and
Origin besides the cookie.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
TEMPLATES = Path(__file__).parent
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door(Server):
    """Serves what ``command`` draws, a process a browser tab; ``url`` is the address that opens, once."""

    def __init__(self, command: str, port: int = 0) -> None:
        self._socket = socket.create_server((HOST, port))
        port = self._socket.getsockname()[1]
        super().__init__(command, host=HOST, port=port, title="umsui", templates_path=str(TEMPLATES))
        self._token: str | None = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._cookie = f"umsui-{port}"  # cookies are not told apart by port

    @property
    def url(self) -> str:
        """With the token."""
        return f"{self.public_url}/?token={self._token}"

    async def on_startup(self, app: web.Application) -> None:
        """Nothing is printed here: the command line says where it is."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guarded)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        here = f"{HOST}:{self.port}"
        if request.host != here or request.headers.get("Origin", self.public_url) != self.public_url:
            raise web.HTTPForbidden(text=f"umsui answers at http://{here} only\n")
        if request.path == "/" and "token" in request.query:
            return self._enter(request.query["token"])
        if not hmac.compare_digest(request.cookies.get(self._cookie, ""), self._session):
            raise web.HTTPForbidden(text="the address with its token opens once; `umsui serve` prints a new one\n")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(self._headers())
        return response

    def _enter(self, token: str) -> web.StreamResponse:
        """The token for a cookie, once."""
        if self._token is None or not hmac.compare_digest(token, self._token):
            raise web.HTTPForbidden(text="this token is not good, or was used; `umsui serve` prints a new one\n")
        self._token = None
        response = web.Response(status=303, headers={"Location": "/", **self._headers()})
        response.set_cookie(self._cookie, self._session, httponly=True, samesite="Strict")
        return response

    def _headers(self) -> dict[str, str]:
        """Nothing is loaded from elsewhere, kept, framed, or told to others."""
        own = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:"
        return {
            "Content-Security-Policy": f"{own}; connect-src 'self' ws://{HOST}:{self.port}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    async def run(self, opened: Callable[[], None], stop: Callable[[], Awaitable[object]]) -> None:
        """Serve until ``stop`` comes back; ``opened`` is called when it answers."""
        runner = web.AppRunner(await self._make_app(), handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket).start()
            opened()
            await stop()
        finally:
            await runner.cleanup()


async def told_to_stop() -> None:
    """Until SIGINT or SIGTERM."""

    event, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    await event.wait()
