"""`umsui serve`: who gets in, and who does not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from umsui.console.web.door import Door

DEMO = f"{sys.executable} -m tests.console.demo"


@asynccontextmanager
async def served() -> AsyncIterator[Door]:
    door, up, stop = Door(DEMO), asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(door.run(up.set, stop.wait))
    await asyncio.wait_for(up.wait(), 10)
    try:
        yield door
    finally:
        stop.set()
        await running


@asynccontextmanager
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def test_the_token_opens_once_and_for_one_browser() -> None:
    async with served() as door, browser() as ours, browser() as theirs:
        url = door.url
        assert url.startswith("http://127.0.0.1:")
        for path in ("", "/ws", "/static/js/textual.js", "/?token=guessed"):
            async with theirs.get(f"{door.public_url}{path}") as answer:
                assert answer.status == 403, path
        async with ours.get(url) as answer:
            assert answer.status == 200
            assert answer.url.query_string == "", "the token does not stay in the address"
            page = await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "https://" not in page, "nothing is loaded from elsewhere"
        async with theirs.get(url) as answer:
            assert answer.status == 403
            assert "was used" in await answer.text()
        async with ours.get(door.public_url) as answer:
            assert answer.status == 200, "the browser that was let in may load again"


async def test_other_pages_of_the_browser_get_nothing() -> None:
    async with served() as door, browser() as ours:
        async with ours.get(door.url) as answer:
            assert answer.status == 200
        async with ours.get(door.public_url, headers={"Host": f"evil.example:{door.port}"}) as answer:
            assert answer.status == 403, "DNS rebinding"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await ours.ws_connect(f"{door.public_url}/ws", origin="http://evil.example")


async def test_the_console_is_behind_it() -> None:
    async with served() as door, browser() as ours:
        async with ours.get(door.url):
            pass
        socket = await ours.ws_connect(f"{door.public_url}/ws?width=120&height=36", origin=door.public_url)
        await until(socket, "memhog")
        await socket.send_json(["stdin", "2"])
        await until(socket, "migrations:")
        await socket.close()


async def until(socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
    """What the browser would draw, until there is a text in it."""
    drawn = b""
    async with asyncio.timeout(30):
        async for message in socket:
            drawn += message.data if isinstance(message.data, bytes) else b""
            if text.encode() in drawn:
                return
    raise AssertionError(drawn[-2000:])
