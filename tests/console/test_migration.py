"""The migration screen, live and as a report; the list; the service's screen; a lost coordinator."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial

import pytest
from textual.pilot import Pilot

from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.screens.board import Board
from umsui.console.screens.confirm import Confirm
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen
from umsui.console.screens.service import ServiceScreen
from umsui.model import MigrationRequest, Strategy


def shows(pilot: Pilot[None], piece: str) -> bool:
    """Whether the screen has it."""
    return piece in text_of(pilot)


WIDE = (120, 36)


async def follow(pilot: Pilot[None], feed: FakeFeed, app: Console) -> MigrationScreen:
    await ready(pilot)
    migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    app.open_migration(migration.id)
    await until(pilot, lambda: isinstance(app.screen, MigrationScreen) and app.screen.migration is not None)
    assert isinstance(app.screen, MigrationScreen)
    return app.screen


async def test_live_from_first_step_to_report(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await follow(pilot, feed, app)
        feed.play(1.2)
        await until(pilot, lambda: "◐ copy ahead" in text_of(pilot))
        shown = text_of(pilot)
        assert "✓ reserve" in shown
        assert "71 of 195 MiB · left 1.2 s" in shown
        assert "now 6 ms" in shown
        feed.play(2.03)
        await until(pilot, lambda: "27 ms" in text_of(pilot))
        assert "no reply" in text_of(pilot)
        feed.play(2.5)
        await until(pilot, lambda: " 118 ms ─" in text_of(pilot))
        assert "losing azure-lab/azure-1 now" in text_of(pilot)
        feed.play()
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        for piece in ("118 ms  ✓ within 80\u2013210 ms", "3.41 s  ✓ within 2.9\u20134.4 s", "as a client saw it",
                      "creation", "332 ms", "0 freeze", "checksum of memory holds", "10.77.0.12:8000"):  # fmt: skip
            await until(pilot, partial(shows, pilot, piece), piece)


async def test_a_second_console_shows_the_same(feed: FakeFeed, clock: StillClock) -> None:
    first, second = Console(feed, clock=clock), Console(feed, clock=clock)
    async with first.run_test(size=WIDE) as one:
        await follow(one, feed, first)
        feed.play(2.2)
        await until(one, lambda: "118 ms" in text_of(one))
        async with second.run_test(size=WIDE) as two:
            await ready(two)
            await until(two, lambda: "◔ arriving" in text_of(two))
            await select(two, "memhog")
            await two.press("enter")
            await until(two, lambda: isinstance(second.screen, MigrationScreen) and "118 ms" in text_of(two))
            await two.pause(0.3)
            await one.pause(0.3)
            assert text_of(two) == text_of(one)


async def test_opened_with_an_id(feed: FakeFeed, clock: StillClock) -> None:
    migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    app = Console(feed, clock=clock, start=migration.id)
    async with app.run_test(size=WIDE) as pilot:
        feed.play()
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen) and "✓ committed" in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Board))


async def test_cancel_asks_and_is_off_after_commit(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await follow(pilot, feed, app)
        feed.play(1.0)
        feed.undoing = True
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("n")
        assert feed.cancelled == []
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "■ cancelling" in text_of(pilot), "that it was taken")
        assert "x cancel" not in text_of(pilot)
        feed.called_off(feed.cancelled[0])
        await until(pilot, lambda: "■ cancelled" in text_of(pilot))
        assert len(feed.cancelled) == 1


async def test_no_strategy_before_one_is_chosen(app: Console, feed: FakeFeed) -> None:
    """A migration begins with its plan: until that is there, how it goes is not known."""
    async with app.run_test(size=WIDE) as pilot:
        screen = await follow(pilot, feed, app)
        migration = screen.migration
        assert migration is not None
        feed.say(replace(migration, strategy=Strategy.STOP_COPY, reason="", predicted={}))
        await until(pilot, lambda: "stop-copy" not in text_of(pilot) and "memhog" in text_of(pilot))
        feed.say(replace(migration, strategy=Strategy.PRE_COPY))
        await until(pilot, lambda: "orchestrator-level · pre-copy" in text_of(pilot))


async def test_no_cancel_after_commit(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await follow(pilot, feed, app)
        feed.play(2.2)
        await until(pilot, lambda: "✓ commit" in text_of(pilot))
        await pilot.press("x")
        await pilot.pause(0.1)
        assert app.screen is screen
        assert feed.cancelled == []


async def test_failure_and_its_fix(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await follow(pilot, feed, app)
        feed.play(1.99)
        feed.fail()
        await until(pilot, lambda: "↺ rolled back" in text_of(pilot))
        assert "criu could not map 7f3a" in text_of(pilot)
        assert "fix: umsui doctor gcp-lab/gcp-1" in text_of(pilot)


async def test_toast_on_the_board(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        await until(pilot, lambda: "⇄ 1 moving" in text_of(pilot))
        feed.play()
        await until(pilot, lambda: "memhog runs at gcp-lab" in text_of(pilot), "the toast")


async def test_copy_and_log_keys(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await follow(pilot, feed, app)
        feed.play()
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        await pilot.press("up", "k")
        await until(pilot, lambda: "▾ 2 newer" in text_of(pilot))
        await pilot.press("down", "j")
        await pilot.press("c")
        assert app.clipboard == f"umsui migrations {screen.migration_id}"


async def test_lost_coordinator_and_back(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await follow(pilot, feed, app)
        feed.play(1.0)
        await pilot.press("escape")
        feed.lose()
        await until(pilot, lambda: "coordinator lost" in text_of(pilot))
        assert "memhog" in text_of(pilot)
        woken = feed.woken
        feed.return_()
        await until(pilot, lambda: "coordinator ●" in text_of(pilot))
        assert feed.woken > woken, "a migration waits: the coordinator is started again"


async def test_a_coordinator_that_was_stopped_is_started_on_request(
    app: Console, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board says how, and does not wait for its next question once it answers."""
    monkeypatch.setattr("umsui.console.ears.FIRST_RETRY", 3600.0)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        feed.lose()
        await until(pilot, lambda: "before the coordinator was lost; r starts it" in text_of(pilot))
        feed.gone = False
        woken = feed.woken
        await pilot.press("r")
        await until(pilot, lambda: "coordinator ●" in text_of(pilot))
        assert feed.woken == woken + 1
        assert "was lost" not in text_of(pilot)


async def test_migrations_list(app: Console, feed: FakeFeed) -> None:
    feed.past(40)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen) and "✓ committed" in text_of(pilot))
        assert "▲ above" in text_of(pilot)
        await pilot.press("down", "j", "k", "r", "enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        assert isinstance(app.screen, MigrationScreen)
        assert app.screen.migration_id == "past-1"
        await pilot.press("escape")
        await pilot.click(".table", offset=(10, 5))
        await pilot.click(".table", offset=(10, 5))
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        assert isinstance(app.screen, MigrationScreen)
        assert app.screen.migration_id == "past-4"


async def test_service_screen(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "memhog")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ServiceScreen) and "counter 3900" in text_of(pilot))
        shown = text_of(pilot)
        assert "volume memhog-data at /data" in shown
        assert "s3cret" not in shown
        await pilot.press("up", "down", "r", "c")
        assert app.clipboard == "azure-lab/memhog"
        await pilot.press("m")
        await until(pilot, lambda: app.screen is board and board.carry.busy)


async def test_hangup_leaves_at_once(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        handler = signal.getsignal(signal.SIGHUP)
        assert handler is not signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGHUP)
        await pilot.pause(0.1)
        assert app.return_code == 0
        assert app._exit
