"""What each screen looks like, cell for cell. After a change that was meant: ``pytest --snapshot-update``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.screens.help import Help
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.plan import PlanScreen
from umsui.console.screens.service import ServiceScreen
from umsui.model import MigrationRequest

SIZES = [(80, 24), (120, 36)]
Steps = Callable[[Pilot[None], FakeFeed], Awaitable[None]]


async def board(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await select(pilot, "memhog")


async def moving(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    feed.play(1.2)
    await until(pilot, lambda: "36 %" in text_of(pilot) and "copy ahead" in text_of(pilot))


async def carrying(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    await pilot.press("m")
    await until(pilot, lambda: "120 ms down" in text_of(pilot))


async def plan(pilot: Pilot[None], feed: FakeFeed) -> None:
    await carrying(pilot, feed)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and "Enter start" in text_of(pilot))
    pilot.app.screen.set_focus(None)  # a blinking cursor is no picture


async def blocked(pilot: Pilot[None], feed: FakeFeed) -> None:
    screen = await ready(pilot)
    await select(pilot, "memhog")
    service = screen.selected()
    assert service is not None
    screen.offer(service, "onprem-lab", None)
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and "1 blocking" in text_of(pilot))
    await pilot.press("enter")
    await until(pilot, lambda: "It cannot be started" in text_of(pilot))


async def migration(pilot: Pilot[None], feed: FakeFeed, upto: float | None = None) -> None:
    await board(pilot, feed)
    started = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    pilot.app.open_migration(started.id)  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(pilot.app.screen, MigrationScreen))
    feed.play(upto)
    await until(pilot, lambda: ("no reply" if upto else "✓ committed") in text_of(pilot))
    await pilot.pause(0.4)


async def outage(pilot: Pilot[None], feed: FakeFeed) -> None:
    await migration(pilot, feed, 2.03)


async def failed(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    started = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    pilot.app.open_migration(started.id)  # type: ignore[attr-defined]
    feed.play(1.99)
    feed.fail()
    await until(pilot, lambda: "rolled back" in text_of(pilot))
    await pilot.pause(0.4)


async def help_(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await pilot.press("question_mark")
    await until(pilot, lambda: isinstance(pilot.app.screen, Help) and "Esc close" in text_of(pilot))


async def migrations(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await pilot.press("2")
    await until(pilot, lambda: "✓ committed" in text_of(pilot))


async def service(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ServiceScreen) and "counter 3900" in text_of(pilot))


SCREENS: dict[str, Steps] = {
    "board": board, "moving": moving, "carrying": carrying, "plan": plan, "blocked": blocked, "outage": outage,
    "report": migration, "help": help_, "migrations": migrations, "service": service,
}  # fmt: skip


def picture(snap_compare: Any, steps: Steps, size: tuple[int, int], theme: str = "dark", **options: Any) -> bool:
    clock = StillClock()
    feed = FakeFeed(clock)
    feed.past(12 if steps is migrations else 1)
    app = Console(feed, clock=clock, **options)
    app.theme = theme

    async def before(pilot: Pilot[None]) -> None:
        await steps(pilot, feed)

    return bool(snap_compare(app, terminal_size=size, run_before=before))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_screen(snap_compare: Any, name: str, size: tuple[int, int]) -> None:
    assert picture(snap_compare, SCREENS[name], size)


@pytest.mark.parametrize("theme", ["light", "high-contrast", "mono"])
@pytest.mark.parametrize("name", ["carrying", "report"])
def test_theme(snap_compare: Any, name: str, theme: str) -> None:
    assert picture(snap_compare, SCREENS[name], (120, 36), theme)


@pytest.mark.parametrize("name", ["moving", "report"])
def test_ascii(snap_compare: Any, name: str) -> None:
    clock = StillClock()
    feed = FakeFeed(clock)
    app = Console(feed, clock=clock, ascii_only=True)

    async def before(pilot: Pilot[None]) -> None:
        await ready(pilot)
        started = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        feed.play(1.2)
        if name == "report":
            app.open_migration(started.id)
            await pilot.pause(0.2)
            feed.play()
        await pilot.pause(0.8)
        assert text_of(pilot).isascii()

    assert snap_compare(app, terminal_size=(120, 36), run_before=before)


def test_failed(snap_compare: Any) -> None:
    assert picture(snap_compare, failed, (120, 36))


def test_no_color(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    clock = StillClock()
    feed = FakeFeed(clock)
    app = Console(feed, clock=clock)
    assert app.theme == "mono"

    async def before(pilot: Pilot[None]) -> None:
        await carrying(pilot, feed)

    assert snap_compare(app, terminal_size=(120, 36), run_before=before)
