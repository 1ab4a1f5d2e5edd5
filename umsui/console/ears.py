"""The workers that listen to the coordinator. They post messages and touch nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from textual.message import Message

from umsui.console.clock import Clock
from umsui.console.feed import Feed
from umsui.console.messages import Heard, Listening, Lost
from umsui.errors import UmsuiError

FIRST_RETRY, LONGEST_RETRY = 0.25, 8.0
PACE = 5.0
"""Seconds between two measurements of the latency."""
PATIENCE = 10.0

TROUBLE = (UmsuiError, OSError, asyncio.TimeoutError)


class Ears:
    """Listens, measures, and listens again with growing patience when the coordinator is gone."""

    def __init__(self, feed: Feed, clock: Clock, post: Callable[[Message], object], urgent: Callable[[], bool]) -> None:
        self._feed, self._clock, self._post, self._urgent = feed, clock, post, urgent
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """It answers, as somebody else has found: do not wait any longer."""
        self._nudged.set()

    async def listen(self) -> None:
        """For ever. The coordinator is started at first; later only when a migration waits to be finished or undone,
        so that an operator who stops it is not contradicted."""
        wait = FIRST_RETRY
        wake = True
        while True:
            heard = False
            reason = "it closed the connection"
            try:
                if wake or self._urgent():
                    await self._feed.wake()
                    wake = False
                async for item in self._feed.watch():
                    if not heard:
                        heard, wait = True, FIRST_RETRY
                        self._post(Listening())
                    self._post(Heard(item))
            except TROUBLE as error:
                reason = str(error) or type(error).__name__
            self._post(Lost(reason, wait))
            self._nudged.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for would swallow a cancellation, until Python 3.12
                    await self._nudged.wait()
            wait = min(wait * 2, LONGEST_RETRY)

    async def measure(self) -> None:
        """How long the coordinator takes to answer."""
        while True:
            begin = self._clock.steady()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._feed.info()
            except TROUBLE:
                pass  # listen() notices by itself, and says so once
            else:
                self._post(Listening(self._clock.steady() - begin))
            await asyncio.sleep(PACE)
