"""Server-sent events: the one way in which the coordinator tells what happens, whatever it is that happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from umsui.adapters import Stream
from umsui.coordinator.bus import Bus, Message
from umsui.errors import UmsuiError

HEARTBEAT = 5.0  # seconds between two signs of life on a quiet stream
WAITING = 2000  # lines of a log that wait for a slow reader; then the oldest are dropped
LONGEST = 4000  # bytes of a line


Messages = AsyncGenerator[Message, None]


def frame(name: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def streamed(messages: Messages) -> StreamingResponse:
    """Messages as they come, with signs of life in between, for as long as one listens."""
    return StreamingResponse(_frames(messages), media_type="text/event-stream")


async def _frames(messages: Messages) -> AsyncIterator[str]:
    following: asyncio.Future[Message | None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(messages, None))
            if not (await asyncio.wait({following}, timeout=HEARTBEAT))[0]:
                yield ": still here\n\n"
                continue
            message, following = following.result(), None
            if message is None:
                return
            yield frame(*message)
    finally:
        if following is not None:
            following.cancel()  # ends the messages, where they wait
        else:
            await messages.aclose()


@contextlib.asynccontextmanager
async def subscription(bus: Bus) -> AsyncIterator[AsyncIterator[Message]]:
    """What the bus says from now on; it ends when its reader was too slow."""
    queue = bus.open()

    async def messages() -> AsyncIterator[Message]:
        while (message := await queue.get()) is not None:
            yield message

    try:
        yield messages()
    finally:
        bus.close(queue)


class Lines:
    """A stream's lines, read by a thread of its own. What nobody takes in time is dropped, and counted."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._over = False
        self._some = asyncio.Event()
        threading.Thread(target=self._read, name="log", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(UmsuiError, OSError):  # the link is gone: so is what it told
            while chunk := self._stream.read(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                self._put(lines)
                if len(rest) > LONGEST:
                    self._put([rest])
                    rest = b""
        self._put([rest] if rest else [], over=True)

    def _put(self, lines: list[bytes], *, over: bool = False) -> None:
        with self._lock:
            self._waiting.extend(line[:LONGEST].decode("utf-8", "replace").rstrip("\r") for line in lines)
            while len(self._waiting) > WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._over = over
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._some.set)

    async def messages(self) -> Messages:
        """``lines`` messages, until the stream ends; the remote command ends with this."""
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                with self._lock:
                    lines, dropped, over = list(self._waiting), self._dropped, self._over
                    self._waiting.clear()
                if lines:
                    yield "lines", {"lines": lines, "dropped": dropped}
                if over:
                    return
        finally:
            # Not awaited: who listens may be gone, and this with it, at any await.
            threading.Thread(target=self._stream.close, name="log's end", daemon=True).start()
