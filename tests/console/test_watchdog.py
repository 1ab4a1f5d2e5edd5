"""Nothing blocks the event loop: no callback takes 50 ms of the processor, or stands still for so long."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.console import scenario
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from umsui.console.app import Console
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.plan import PlanScreen

LIMIT = 0.050
NOMINAL = 0.026
"""Seconds of processor that the yardstick takes on the machine that the limit is meant for, when it is alone there."""


def stretch() -> float:
    """How much slower than nominal: where cores and caches are shared, processor time stretches. The yardstick walks
    through memory as the console does; one that stays in the cache would not notice the neighbours."""
    took = []
    for _ in range(3):
        begin = time.thread_time()
        table = {str(number): (number, [number]) for number in range(30_000)}
        keys = list(table)
        random.Random(1).shuffle(keys)
        sum(table[key][0] for key in keys)
        took.append(time.thread_time() - begin)
    return max(sorted(took)[1] / NOMINAL, 1.0)


def waited() -> float:
    """Seconds for which this thread has been ready to run while others ran."""
    return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """What took longer: its processor time, and the time for which it stood still waiting for something. The time for
    which it could have run, but its neighbours did, is the kernel's to know (schedstat), and not ours."""
    found: list[tuple[float, str]] = []
    gc.collect()
    gc.freeze()  # pytest's own heap is not ours either
    run = vars(asyncio.Handle)["_run"]

    def timed(handle: asyncio.Handle) -> None:
        begin, wall, queued = time.thread_time(), time.monotonic(), waited()
        run(handle)
        took = time.thread_time() - begin
        if (whole := time.monotonic() - wall) > LIMIT and (stood := whole - took - waited() + queued) > LIMIT:
            found.append((round(stood, 3), f"stood still: {handle!r}"))
        if took > LIMIT and took > LIMIT * stretch():  # measured at once: neighbours come and go
            found.append((round(took, 3), repr(handle)))

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    return found


async def everything(slow: list[tuple[float, str]]) -> None:
    """A move among 2,000 services from the first key to its end; ``slow`` has what was slow of that."""
    feed = FakeFeed()
    many = tuple(scenario.service("azure-lab", "azure-1", f"svc-{i:05d}", 10) for i in range(2_000))
    azure = feed.clusters["azure-lab"]
    feed.clusters["azure-lab"] = replace(azure, services=(*azure.services, *many))
    app = Console(feed, clock=feed.clock)
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


async def test_no_callback_blocks(slow: list[tuple[float, str]]) -> None:
    """What blocks does so each time; what the machine made slow in one moment is not so three times over."""
    for _ in range(3):
        await everything(slow)
        if not slow:
            return
    assert slow == []


async def test_a_handler_that_blocks_is_seen(app: Console, slow: list[tuple[float, str]]) -> None:
    """Whether it computes or waits."""
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        slow.clear()
        app.call_later(lambda: time.sleep(2 * LIMIT))
        await pilot.pause()
        assert [why for _, why in slow if why.startswith("stood still")]
