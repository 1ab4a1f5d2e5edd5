"""Nothing blocks the event loop: no callback takes more than 50 ms of the processor in a whole session."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace

import pytest

from tests.console import scenario
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from umsui.console.app import Console
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.plan import PlanScreen

LIMIT = 0.050
NOMINAL = 0.015
"""Seconds of processor that the yardstick takes on the machine that the limit is meant for."""


def limit() -> float:
    """The limit, stretched where the machine is slow or its core is shared: processor time stretches with it."""
    took = []
    for _ in range(5):
        begin = time.thread_time()
        sum(len(str(number)) for number in range(200_000))
        took.append(time.thread_time() - begin)
    return LIMIT * max(min(took) / NOMINAL, 1.0)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """What took longer. Processor time of this thread: what the neighbours do on this machine is not ours."""
    found: list[tuple[float, str]] = []
    gc.collect()
    gc.freeze()  # pytest's own heap is not ours either
    allowed = limit()
    run = asyncio.Handle._run  # type: ignore[attr-defined]

    def timed(handle: asyncio.Handle) -> None:
        begin = time.thread_time()
        run(handle)
        took = time.thread_time() - begin
        if took > allowed:
            found.append((round(took, 3), repr(handle)))

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    return found


async def test_no_callback_blocks(app: Console, feed: FakeFeed, slow: list[tuple[float, str]]) -> None:
    many = tuple(scenario.service("azure-lab", "azure-1", f"svc-{i:05d}", 10) for i in range(2_000))
    azure = feed.clusters["azure-lab"]
    feed.clusters["azure-lab"] = replace(azure, services=(*azure.services, *many))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        await pilot.pause(0.2)
        slow.clear()  # starting up is measured by itself
        await pilot.press("slash", *"memhog", "enter")
        await select(pilot, "memhog")
        await pilot.press("m")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))
        await pilot.press(*"memhog", "enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        for t in (0.5, 1.0, 1.5, 2.0, 2.1, 2.5, 3.0, None):
            feed.play(t)
            await pilot.pause(0.3)
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        await pilot.press("escape", "escape", "2", "escape", "question_mark", "escape", "ctrl+t")
        await pilot.pause(0.2)
    assert slow == []
