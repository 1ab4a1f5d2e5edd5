"""Keys one after the other: what comes at once (a fast typist, a paste into the terminal, a slow line) goes where it
would have gone had one waited.

Textual decides where a key goes when it arrives, while what the key before it does is still on its way through the
queues: of ``/name`` in one packet all would go to the board. So a key waits here until the one before it has gone all
the way from the widget that had the focus up to the app, and then what it has set off there once more: a message to a
screen, another focus, another screen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

ROUNDS = 2
PATIENCE = 1.0
"""Seconds for a queue to come round: one of a widget that was just removed never may, and keys must not wait for it."""

Typed = events.Key | events.Paste
Route = Callable[[Typed], Awaitable[None]]


class TypeAhead:
    """The keys of an app that wait for their turn; ``route`` is how a key goes where the focus is."""

    def __init__(self, app: App[None], route: Route) -> None:
        self._app = app
        self._route = route
        self._waiting: deque[Typed] = deque()
        self._under_way: asyncio.Task[None] | None = None

    async def take(self, event: Typed) -> None:
        """A key; to be called by the app's own queue only."""
        for each in self._parted(event):
            if self._under_way is not None:
                self._waiting.append(each)
            else:
                await self._send(each)

    def _parted(self, event: Typed) -> list[Typed]:
        """Esc and a letter in one packet arrive as Alt and that letter. Where nobody has bound that, they are two."""
        if not (isinstance(event, events.Key) and event.key.startswith("alt+") and event.character):
            return [event]
        if event.key in self._app.screen.active_bindings:
            return [event]
        return [events.Key("escape", "\x1b"), events.Key(event.character, event.character)]

    async def _send(self, event: Typed) -> None:
        target = self._target()
        await self._route(event)
        self._under_way = asyncio.create_task(self._settle(target))

    async def _next(self) -> None:
        self._under_way = None
        if self._waiting:
            await self._send(self._waiting.popleft())

    def _target(self) -> MessagePump:
        return self._app.focused or self._app.screen

    async def _settle(self, target: MessagePump) -> None:
        for _ in range(ROUNDS):
            for pump in _upwards(target):
                await _passed(pump)
            target = self._target()
        self._app.call_later(self._next)


def _upwards(start: MessagePump) -> list[MessagePump]:
    """The way that an event bubbles."""
    way: list[MessagePump] = []
    pump: MessagePump | None = start
    while pump is not None:
        way.append(pump)
        pump = pump._parent
    return way


async def _passed(pump: MessagePump) -> None:
    """Until it has done all that waits in its queue now."""
    done = asyncio.Event()
    if pump.call_later(done.set):
        try:
            async with asyncio.timeout(PATIENCE):
                await done.wait()
        except TimeoutError:
            return
