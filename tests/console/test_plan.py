"""The plan dialog: what it says, and that nothing starts that shouldn't."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from textual.pilot import Pilot
from textual.widgets import Input

from tests.console import scenario
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from umsui.console.app import Console
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.plan import PlanScreen, command
from umsui.console.widgets.plansheet import way
from umsui.errors import Refused
from umsui.model import Approach, Estimate, MigrationRequest, Place, StartFirst, Strategy, Verdict

WIDE = (120, 40)
SAID = (
    "● orchestrator-level post-copy",
    "120 ms down",
    "3.40 s in all",
    "○ orchestrator-level pre-copy",
    "✕ service-level",
    "the image has no agent",
    "fix umsui image build",
    "⚠ 1 warning",
    "3 open client connections will be closed",
    "between 80 ms and 210 ms",
    "losing azure-lab/azure-1 would lose the service",
    "memory 64 MiB",
    "10.77.0.12:8000",
)
"""What decides, of the plan to gcp-lab."""


async def offer(pilot: Pilot[None], name: str, to: str) -> PlanScreen:
    board = await ready(pilot)
    await select(pilot, name)
    service = board.selected()
    assert service is not None
    board.offer(service, to, None)
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
    screen = pilot.app.screen
    assert isinstance(screen, PlanScreen)
    return screen


async def test_says_what_it_is_probing(app: Console, feed: FakeFeed) -> None:
    feed.plan_gate = asyncio.Event()
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "nginx", "azure-lab")
        await until(pilot, lambda: "probing gcp-lab, azure-lab and the way between" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "The plan is not there yet." in text_of(pilot))
        feed.plan_gate.set()
        await until(pilot, lambda: screen.plan is not None)
        assert "The plan is not there yet." not in text_of(pilot)


async def test_everything_that_decides_is_said(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: "13 checks passed" in text_of(pilot))
        shown = text_of(pilot)
        for piece in SAID:
            assert piece in shown


async def test_infeasible_starts_nothing_and_says_why(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "memhog", "onprem-lab")
        await until(pilot, lambda: "1 blocking" in text_of(pilot))
        assert "open port 22 from 10.77.0.11" in text_of(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "It cannot be started: no route from azure-1" in text_of(pilot))
        assert feed.requests == []
        assert app.screen is screen


async def test_another_way(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "memhog", "onprem-lab")
        await until(pilot, lambda: screen.plan is not None)
        await pilot.press("down")
        await until(pilot, lambda: "● orchestrator-level pre-copy" in text_of(pilot))
        assert screen.request.strategy is Strategy.PRE_COPY
        await pilot.press("down", "up")
        await until(pilot, lambda: feed.planned[-1].strategy is not None)
        assert "losing" not in text_of(pilot)


async def test_protected_asks_for_the_name(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: "gcp-lab is protected" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "type memhog and press Enter" in text_of(pilot))
        await pilot.press(*"memho", "enter")
        assert feed.requests == []
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        assert feed.requests[0][1] == "memhog"
        assert screen not in app.screen_stack


async def test_refused_at_the_start(app: Console, feed: FakeFeed) -> None:
    feed.refusal = Refused("memhog is being moved by someone else", "umsui migrations")
    async with app.run_test(size=WIDE) as pilot:
        await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: "gcp-lab is protected" in text_of(pilot))
        await pilot.press(*"memhog", "enter")
        await until(pilot, lambda: "memhog is being moved by someone else" in text_of(pilot))
        assert "fix umsui migrations" in text_of(pilot)


async def test_copies_the_command(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "memhog", "onprem-lab")
        await until(pilot, lambda: screen.plan is not None)
        await pilot.press("c")
        assert app.clipboard == "umsui migrate azure-lab/memhog --to onprem-lab"


def test_command_quotes_and_has_every_option() -> None:
    request = MigrationRequest("a/b c", "d", "n1", Approach.CONTAINER, Strategy.PRE_COPY, 0.5, 1e6, 30)
    assert command(request) == (
        "umsui migrate 'a/b c' --to d --approach container --strategy pre-copy --node n1 --max-downtime 0.5 "
        "--bandwidth 8mbit --deadline 30"
    )


async def test_the_keys_stay_in_view_where_it_is_small(app: Console) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: "Enter start" in text_of(pilot) and "is protected" in text_of(pilot))
        await pilot.press("pagedown")
        await until(pilot, lambda: "10.77.0.12:8000" in text_of(pilot))
        assert "Enter start" in text_of(pilot)
        await pilot.press("pageup")


async def test_coordinator_lost_while_planning(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        feed.gone = True
        await offer(pilot, "memhog", "onprem-lab")
        await until(pilot, lambda: "no coordinator at" in text_of(pilot))
        assert "fix umsui coordinator run" in text_of(pilot)


async def test_a_destination_that_is_off_is_started_first(app: Console, feed: FakeFeed) -> None:
    first = StartFirst(Place("gcp-lab", "gcp-1"), Estimate(8, 25, 90), 0.44)
    request = MigrationRequest("azure-lab/memhog", "gcp-lab")
    usual = scenario.plan(request)
    off = replace(usual, approach=None, strategy=None, verdicts=(), findings=(), start_first=first)
    feed.plans = [off, usual]
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: "Enter starts it, about 25 s" in text_of(pilot))
        assert "0.440 an hour" in text_of(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "starting gcp-lab/gcp-1: STAGING 40 %" in text_of(pilot))
        await until(pilot, lambda: screen.plan is usual)  # it was planned again, when it answered
        assert feed.asked == ["start gcp-lab/gcp-1"]
        assert feed.requests == []  # and moved only when that is asked for


async def test_limits_are_edited_and_planned_within(app: Console, feed: FakeFeed) -> None:
    """Tab goes through the fields, Enter plans anew, what means nothing is told and changes nothing."""
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], protected=False)
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "nginx", "azure-lab")
        await until(pilot, lambda: screen.plan is not None)
        await pilot.press("tab", *"0.5")
        await pilot.press("tab", *"100mbit", "tab", "down", "down", "enter")
        await until(pilot, lambda: feed.planned[-1].node == "azure-2")
        assert (feed.planned[-1].max_downtime, feed.planned[-1].bandwidth) == (0.5, 12.5e6)
        assert app.focused is None
        await pilot.press("tab", *"x", "enter")
        await until(pilot, lambda: "'x' is no duration" in text_of(pilot))
        assert screen.request.max_downtime == 0.5
        await pilot.press("escape")
        assert app.screen is screen, "Esc leaves the field first"
        assert screen.query_one("#max-downtime", Input).value == "0.5"
        await until(pilot, lambda: "'x' is no duration" not in text_of(pilot), "nothing is wrong any more")
        await pilot.press("c")
        assert app.clipboard.endswith("--node azure-2 --max-downtime 0.5 --bandwidth 100mbit")
        await pilot.press("enter")
        await until(pilot, lambda: bool(feed.requests))
        assert feed.requests[0][0] == screen.request
        assert feed.requests[0][0].bandwidth == 12.5e6


async def test_the_keys_are_those_of_where_one_types(app: Console, feed: FakeFeed) -> None:
    """In a field Enter takes what it says, also by a click on the hint; a click there starts nothing."""
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], protected=False)
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "nginx", "azure-lab")
        await until(pilot, lambda: screen.plan is not None)
        assert "Enter start" in text_of(pilot)
        await pilot.press("tab", *"0.5")
        await until(pilot, lambda: "Enter take it   Tab next field" in text_of(pilot))
        assert "c copy" not in text_of(pilot)
        await pilot.click(".keys", offset=(2, 0))
        await until(pilot, lambda: feed.planned[-1].max_downtime == 0.5 and "Enter start" in text_of(pilot))
        assert feed.requests == []


async def test_on_a_small_terminal_what_decides_is_in_view(app: Console, feed: FakeFeed) -> None:
    """What would mend ways that need not be gone comes with ``v``."""
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], protected=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: screen.plan is not None and "the image has no agent" in text_of(pilot))
        assert "umsui image build" not in text_of(pilot)
        await pilot.press("v")
        await until(pilot, lambda: "fix umsui image build" in text_of(pilot))


def test_a_long_fix_says_so_once() -> None:
    plan = scenario.plan(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    long = Verdict(Approach.SERVICE, Strategy.STOP_COPY, False, "the image has no agent", "make one " * 30)
    lines = ["".join(text for text, _ in line) for line in way(plan, long, 70)]
    assert len(lines) > 4
    assert sum(line.startswith("  fix ") for line in lines) == 1


async def test_limits_by_mouse_and_beside_the_question(app: Console, feed: FakeFeed) -> None:
    """Where the service's name is asked for, Tab leads from there to the limits and back."""
    async with app.run_test(size=WIDE) as pilot:
        screen = await offer(pilot, "memhog", "gcp-lab")
        await until(pilot, lambda: "13 checks passed" in text_of(pilot))
        await pilot.click("#bandwidth")
        await pilot.press(*"1gbit")
        await pilot.click("#node")
        await until(pilot, lambda: feed.planned[-1].bandwidth == 125e6)
        await pilot.press(*"gcp-1", "enter")
        await until(pilot, lambda: feed.planned[-1].node == "gcp-1" and screen.query_one(".confirm").has_focus)
        await pilot.press(*"memhog", "enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        assert feed.requests[0][0].bandwidth == 125e6
        assert screen not in app.screen_stack
