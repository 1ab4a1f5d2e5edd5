"""Carries a batch out: plans it, begins what is due. Workers only post messages; the app keeps the batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from textual.message import Message

from umsui.console.batch import Batch, Move, Turn
from umsui.console.ears import TROUBLE
from umsui.console.feed import Feed
from umsui.console.messages import Begun, Weighed
from umsui.model import MigrationRequest

PLANS = 3
"""Plans at a time: each probes both ends."""


class Runner:
    """Between a batch and the coordinator."""

    def __init__(
        self, feed: Feed, post: Callable[[Message], object], work: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._feed, self._post, self._work = feed, post, work

    def plan(self, batch: Batch) -> None:
        """Every move that is not decided yet."""
        gate = asyncio.Semaphore(PLANS)
        for move in batch.moves:
            if move.turn is Turn.PLANNING:
                self._work(self._weigh(batch, move, gate))

    async def _weigh(self, batch: Batch, move: Move, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                plan = await self._feed.plan(MigrationRequest(move.service.key, batch.to))
            except TROUBLE as error:
                self._post(Weighed(batch, move.service.key, None, str(error)))
            else:
                self._post(Weighed(batch, move.service.key, plan))

    def go_on(self, batch: Batch) -> None:
        """Begin what is due."""
        for move in batch.due():
            self._work(self._begin(batch, move))

    async def _begin(self, batch: Batch, move: Move) -> None:
        confirm = move.service.name if move.service.key in batch.named else ""
        try:
            migration = await self._feed.migrate(MigrationRequest(move.service.key, batch.to), confirm)
        except TROUBLE as error:
            self._post(Begun(batch, move, None, str(error)))
        else:
            self._post(Begun(batch, move, migration))
