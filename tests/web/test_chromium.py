"""The console in a real browser, driven over Chromium's own protocol: ``make test-web``."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.console.test_door import served

CHROMIUM = os.environ.get("UMSUI_CHROMIUM", "")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="make test-web runs it")


class Tab:
    """A tab, over the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.drawn = b""
        self.requested: list[str] = []
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data.get("result", data))
            elif data["method"] == "Network.webSocketFrameReceived":
                response = data["params"]["response"]
                if response["opcode"] == 2:
                    self.drawn += base64.b64decode(response["payloadData"])
            elif data["method"] == "Network.requestWillBeSent":
                self.requested.append(data["params"]["request"]["url"])

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return await asyncio.wait_for(self._answers[number], 20)

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **text)

    async def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def until(self, text: str) -> None:
        for _ in range(200):
            if text.encode() in self.drawn:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{text!r} was never drawn: {self.drawn[-1500:]!r}")


@asynccontextmanager
async def tab(folder: Path) -> AsyncIterator[Tab]:
    """A headless Chromium with one empty tab."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
               f"--user-data-dir={folder}", "--window-size=1300,800", "about:blank"]  # fmt: skip
    process = subprocess.Popen([CHROMIUM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = folder / "DevToolsActivePort"
        for _ in range(300):
            if port.exists() and port.read_text().count("\n"):
                break
            await asyncio.sleep(0.1)
        number = port.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{number}/json") as answer:
                page = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                made = Tab(socket)
                yield made
                made.reader.cancel()
    finally:
        process.terminate()
        process.wait(10)


async def test_the_console_in_chromium(tmp_path: Path) -> None:
    async with served() as door, tab(tmp_path / "profile") as page:
        await page.call("Network.enable")
        await page.call("Page.enable")
        await page.call("Page.navigate", url=door.url)
        await page.until("memhog")
        where = await page.call("Runtime.evaluate", expression="location.href")
        assert where["result"]["value"] == f"{door.public_url}/", "the token is gone from the address bar"
        cookie = await page.call("Runtime.evaluate", expression="document.cookie")
        assert cookie["result"]["value"] == "", "no script can read the cookie"
        await page.click(400, 300)  # into the terminal
        page.drawn = b""
        await page.press("2")
        await page.until("migrations:")
        page.drawn = b""
        await page.press("1")
        await page.until("azure-lab")
        picture = base64.b64decode((await page.call("Page.captureScreenshot"))["data"])
        (tmp_path / "console.png").write_bytes(picture)
        assert len(picture) > 20_000, "something is drawn"
        assert {url.split("/")[2] for url in page.requested if url.startswith("http")} == {f"127.0.0.1:{door.port}"}
        print(f"picture: {tmp_path}/console.png")
