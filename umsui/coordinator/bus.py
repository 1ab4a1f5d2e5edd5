"""From the coordinator's threads to everyone who listens: bounded, so that a slow console costs nobody anything."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

BACKLOG = 2000  # messages; a subscriber that is further behind is told to start over

Message = tuple[str, Any]
"""(name, data ready for JSON): ``cluster``, ``migration`` or ``event``."""


class Bus:
    """Publish from any thread; listen in the event loop: ``None`` in a queue says that its listener was too slow."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._queues: set[asyncio.Queue[Message | None]] = set()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that subscribers live in."""
        self._loop = loop

    @property
    def watched(self) -> bool:
        """Whether anyone listens."""
        return bool(self._queues)

    def publish(self, name: str, data: Any) -> None:
        """Tell everyone. Never blocks."""
        loop = self._loop
        if loop is not None and self._queues and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop was closed just now: nobody listens any more
                loop.call_soon_threadsafe(self._spread, (name, data))

    def _spread(self, message: Message) -> None:
        for queue in list(self._queues):
            if queue.qsize() >= BACKLOG:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
                self._queues.discard(queue)
            else:
                queue.put_nowait(message)

    def open(self) -> asyncio.Queue[Message | None]:
        """A queue that is filled from now on."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._queues.add(queue)
        return queue

    def close(self, queue: asyncio.Queue[Message | None]) -> None:
        """Fill it no more."""
        self._queues.discard(queue)
