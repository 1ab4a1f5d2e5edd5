"""What the console's tests share: a still clock, a fake coordinator, an app on them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
from textual.pilot import Pilot

from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.screens.board import Board


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
    for _ in range(120):
        if fits():
            await pilot.pause()
            return
        await pilot.pause(0.025)
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
