"""The main job: from a card in the hand to a service at its new place, by mouse and by keys."""

from __future__ import annotations

from dataclasses import replace

from textual.geometry import Offset
from textual.pilot import Pilot

from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from umsui.console.app import Console
from umsui.console.screens.board import Board
from umsui.console.screens.help import Help
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.plan import PlanScreen
from umsui.console.widgets.ghost import Ghost
from umsui.model import MigrationRequest

WIDE = (120, 36)


def spot(board: Board, key: str) -> Offset:
    """Where a card is on screen."""
    cards = board.columns[key.partition("/")[0]].cards
    offset = cards.offset_of(key)
    assert offset is not None
    return cards.region.offset + offset


def middle(board: Board, cluster: str) -> Offset:
    """A place on a column."""
    region = board.columns[cluster].region
    return Offset(region.x + region.width // 2, region.y + region.height // 2)


async def drag(pilot: Pilot[None], board: Board, key: str, to: str, *, drop: bool = True) -> None:
    """Press on a card, move in steps, let go over a column."""
    start, end = spot(board, key), middle(board, to)
    await pilot.mouse_down(offset=start)
    await pilot.hover(offset=start + Offset(1, 0))
    assert not board.query(Ghost)
    for part in (0.2, 0.6, 1.0):
        x = start.x + int((end.x - start.x) * part)
        y = start.y + int((end.y - start.y) * part)
        await pilot.hover(offset=(x, y))
    if drop:
        await pilot.mouse_up(offset=end)


async def test_by_mouse_from_card_to_outcome(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await drag(pilot, board, "gcp-lab/nginx", "azure-lab", drop=False)
        assert len(board.query(Ghost)) == 1
        await until(pilot, lambda: "drop: post-copy" in text_of(pilot), "the quick estimate")
        assert "120 ms down" in text_of(pilot)
        await pilot.mouse_up(offset=middle(board, "gcp-lab"))
        await pilot.pause()
        assert not board.query(Ghost)
        assert not isinstance(app.screen, PlanScreen)

        await drag(pilot, board, "azure-lab/memhog", "gcp-lab")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen), "the plan")
        await until(pilot, lambda: "13 checks passed" in text_of(pilot))
        await pilot.press(*"memhog", "enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen), "the migration")
        assert feed.requests == [(MigrationRequest("azure-lab/memhog", "gcp-lab", "gcp-1"), "memhog")]
        feed.play()
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is board)
        assert "gcp-lab/memhog" in [s.key for s in board.columns["gcp-lab"].cards.services]
        assert "azure-lab/memhog" not in [s.key for s in board.columns["azure-lab"].cards.services]
        assert "118 ms down, 3.41 s in all" in text_of(pilot)


async def test_by_keys(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "nginx")
        await pilot.press("m")
        assert board.carry.target == "onprem-lab"
        assert "⇄ nginx  in your hand: Enter shows the plan" in text_of(pilot)
        await pilot.press("left")
        assert board.carry.target == "gcp-lab"
        assert "it runs here" in text_of(pilot)
        await pilot.press("left")
        await until(pilot, lambda: "drop: post-copy" in text_of(pilot))
        assert "Esc put back" in text_of(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is board)
        assert feed.requests == []
        assert not board.carry.busy


async def test_by_keys_to_another_node_of_its_cluster(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "memhog")
        home = board.world.clusters["azure-lab"]
        assert len(home.nodes) > 1
        await pilot.press("m")
        while board.carry.target != "azure-lab":
            await pilot.press("left")
        await until(pilot, lambda: "drop: " in text_of(pilot), "the quick estimate")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen), "the plan")
        assert app.screen.request.to == "azure-lab"


async def test_the_hints_are_those_of_the_hand(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await drag(pilot, board, "gcp-lab/nginx", "azure-lab", drop=False)
        await until(pilot, lambda: "in your hand: let go over a cluster" in text_of(pilot))
        assert "Enter drop" not in text_of(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "in your hand" not in text_of(pilot) and "m move" in text_of(pilot))


async def test_nothing_to_pick_up_says_so(app: Console, feed: FakeFeed) -> None:
    feed.clusters["azure-lab"] = replace(feed.clusters["azure-lab"], services=())
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        board = await ready(pilot)
        board.point("azure-lab", None)
        await pilot.press("m")
        await until(pilot, lambda: "There is no card here to move" in text_of(pilot))


async def test_escape_puts_back(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await drag(pilot, board, "azure-lab/redis", "gcp-lab", drop=False)
        await pilot.press("escape")
        await pilot.pause()
        assert not board.query(Ghost)
        assert app.mouse_captured is None
        await pilot.mouse_up(offset=middle(board, "gcp-lab"))
        await pilot.press("m", "escape")
        assert not board.carry.busy
        assert app.screen is board


async def test_another_screen_takes_the_mouse(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await drag(pilot, board, "azure-lab/redis", "gcp-lab", drop=False)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await until(pilot, lambda: not board.carry.busy and not board.query(Ghost), "put back")


async def test_what_cannot_be_says_why(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await drag(pilot, board, "azure-lab/camera-hub", "gcp-lab", drop=False)
        assert "cannot: io_uring in use" in text_of(pilot)
        await pilot.mouse_up(offset=middle(board, "gcp-lab"))
        await pilot.pause()
        assert app.screen is board
        assert feed.planned == []
        await drag(pilot, board, "azure-lab/memhog", "onprem-lab", drop=False)
        await until(pilot, lambda: "cannot: no route from azure-1" in text_of(pilot))


async def test_dropping_beside_everything_is_nothing(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await drag(pilot, board, "azure-lab/redis", "gcp-lab", drop=False)
        await pilot.mouse_up(offset=(60, 0))
        await pilot.pause()
        assert app.screen is board
        assert not board.carry.busy
        assert board.carry.target is None


async def test_over_a_tab_the_cloud_comes_in_front(app: Console) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        board = await ready(pilot)
        start = spot(board, "azure-lab/memhog")
        await pilot.mouse_down(offset=start)
        await pilot.hover(offset=start + Offset(4, 0))
        await pilot.hover(offset=(15, 1))
        await until(pilot, lambda: "drop: post-copy" in text_of(pilot))
        assert "nginx" in text_of(pilot)
        await pilot.mouse_up(offset=(20, 10))
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))


async def test_a_service_that_vanishes_leaves_the_hand(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "redis")
        await pilot.press("m")
        feed._swap("azure-lab", "redis", None)
        await until(pilot, lambda: not board.carry.busy)
