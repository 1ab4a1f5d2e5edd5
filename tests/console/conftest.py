"""What the console's tests share: a still clock, a fake coordinator, an app on them."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import textual.app
import textual.pilot
from textual.pilot import Pilot

from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.screens.board import Board

PATIENCE = 10.0
"""Seconds for something to come true."""
SOON = 0.02
"""Seconds within which a timer belongs to what is being done: Textual's next frame, not a clock's next tick."""


async def settled(min_sleep: float = 0.0, max_sleep: float = 5.0) -> None:
    """Until the event loop has nothing left to do. Textual's pilot guesses that from the processor time of the last
    20 ms instead: slower by far, and wrong where the machine has other things to do."""
    loop: Any = asyncio.get_running_loop()  # what it still has to do is nobody's business but its own
    end, quiet = loop.time() + max_sleep, 0
    await asyncio.sleep(min_sleep)
    while quiet < 3 and loop.time() < end:
        await asyncio.sleep(0)
        due = min((handle.when() for handle in loop._scheduled if not handle.cancelled()), default=math.inf)
        if loop._ready:
            quiet = 0
        elif (wait := due - loop.time()) < SOON:
            await asyncio.sleep(max(wait, 0.0))
            quiet = 0
        else:
            quiet += 1


@pytest.fixture(autouse=True, scope="session")
def _pilots_know_when_it_is_idle() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    for module in (textual.app, textual.pilot):
        patch.setattr(module, "wait_for_idle", settled)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "SSH_CONNECTION", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def feed(clock: StillClock) -> FakeFeed:
    return FakeFeed(clock)


@pytest.fixture
def app(feed: FakeFeed, clock: StillClock) -> Console:
    return Console(feed, clock=clock)


async def until(pilot: Pilot[None], fits: Callable[[], bool], what: str = "") -> None:
    """Let the app run until something holds; a bound says that it never will."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if fits():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError(f"did not come true: {what or fits}")


async def ready(pilot: Pilot[None]) -> Board:
    """The board with its clusters."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, Board) and len(app.screen.columns) == 3, "the board")
    await pilot.pause()
    assert isinstance(app.screen, Board)
    return app.screen


async def select(pilot: Pilot[None], name: str) -> None:
    """Put the board's cursor on a service by keys."""
    board = pilot.app.screen
    assert isinstance(board, Board)
    for _ in range(40):
        if board.key and board.key.endswith("/" + name):
            return
        before = board.key
        await pilot.press("down")
        if board.key == before:
            await pilot.press("right", "home")
    raise AssertionError(f"no card {name}")


def text_of(pilot: Pilot[None]) -> str:
    """What is on screen, as text."""
    width = pilot.app.size.width
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width].rstrip() for strip in strips)
