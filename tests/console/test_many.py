"""Many services at once: selecting, sorting, grouping, moving together, draining, stopping."""

from __future__ import annotations

from dataclasses import replace

from textual.geometry import Offset
from textual.pilot import Pilot

from tests.console import scenario
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from tests.console.test_drag import middle, spot
from umsui.console.app import Console
from umsui.console.batch import Turn
from umsui.console.screens.batch import BatchScreen
from umsui.console.screens.board import Board
from umsui.console.screens.confirm import Confirm
from umsui.console.view import Heading
from umsui.console.widgets.ghost import Ghost
from umsui.model import ClusterState

WIDE = (120, 36)


def open_gcp(feed: FakeFeed) -> None:
    """Not protected: most tests are not about that."""
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], protected=False)


async def committed(pilot: Pilot[None], feed: FakeFeed, name: str) -> None:
    """One of the running ones arrives."""
    migration = next(m for m in feed.known.values() if m.service.endswith("/" + name) and m.outcome is None)
    feed.finish(migration.id)
    await pilot.pause()


async def test_space_selects_and_escape_lets_go(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "game-lobby")
        await pilot.press("space", "space")
        assert board.cursor.marked == {"azure-lab/game-lobby", "azure-lab/memhog"}
        assert board.key == "azure-lab/redis"
        assert "■ 2 selected  1.3 GiB" in text_of(pilot)
        await pilot.press("up", "space")
        assert board.cursor.marked == {"azure-lab/game-lobby"}
        await pilot.press("shift+down")
        assert board.cursor.marked == {"azure-lab/game-lobby", "azure-lab/redis"}
        await pilot.press("asterisk")
        assert len(board.cursor.marked) == 4
        assert "✕ 1 cannot move" in text_of(pilot)
        await pilot.press("asterisk", "asterisk", "escape")
        assert board.cursor.marked == set()
        assert "selected" not in text_of(pilot)


async def test_selecting_by_mouse(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await pilot.click(offset=spot(board, "azure-lab/camera-hub"))
        await pilot.click(offset=spot(board, "gcp-lab/nginx"), control=True)
        assert board.cursor.marked == {"gcp-lab/nginx"}
        await pilot.click(offset=spot(board, "azure-lab/memhog"), shift=True)
        assert board.cursor.marked == {
            "gcp-lab/nginx", "azure-lab/camera-hub", "azure-lab/game-lobby", "azure-lab/memhog",
        }  # fmt: skip
        await pilot.click(offset=spot(board, "azure-lab/redis"))
        assert board.cursor.marked == set()


async def test_a_selected_service_that_goes_is_not_selected_any_more(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "redis")
        await pilot.press("space")
        feed._swap("azure-lab", "redis", None)
        await until(pilot, lambda: not board.cursor.marked)


async def test_sorting_and_grouping(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        cards = board.columns["azure-lab"].cards
        await pilot.press("s")
        assert [s.name for s in cards.services] == ["game-lobby", "camera-hub", "memhog", "redis"]
        grown = replace(feed.clusters["azure-lab"].services[1], memory=4 << 30)
        azure = feed.clusters["azure-lab"]
        feed.say(replace(azure, services=(azure.services[0], grown, *azure.services[2:])))
        await until(pilot, lambda: any(s.memory == 4 << 30 for s in cards.services))
        assert [s.name for s in cards.services][-1] == "redis", "a card stays where it is while it grows"
        await pilot.press("r")
        await until(pilot, lambda: cards.services[0].name == "redis")
        await pilot.press("g")
        assert [(row.title, row.count) for row in cards.rows if isinstance(row, Heading)] == [
            ("azure-1", 2), ("azure-2", 2),
        ]  # fmt: skip
        await pilot.press("g", "g")
        assert [row.title for row in cards.rows if isinstance(row, Heading)] == [
            "cannot move", "container-level", "orchestrator-level",
        ]  # fmt: skip
        board.action_group("tier")
        assert [row.title for row in cards.rows if isinstance(row, Heading)] == ["no tier", "tier=demo"]
        await pilot.press("v")
        await until(pilot, lambda: "1 proc · 1 vol" not in text_of(pilot))
        at = cards.offset_of("azure-lab/memhog")
        assert at is not None
        await pilot.click(cards, offset=at)
        assert board.key == "azure-lab/memhog"


async def test_filters(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        for text, names in (
            ("state:running label:tier=demo", {"memhog"}), ("label:tier", {"memhog"}),
            ("node:azure-2", {"camera-hub", "game-lobby"}),
            ("-state:up", {"thumbs", "mailer"}), ("cluster:gcp !nginx", {"thumbs"}), ("name:hog", {"memhog"}),
        ):  # fmt: skip
            board.action_filter(text)
            await pilot.pause()
            assert {s.name for c in board.columns.values() for s in c.cards.services} == names, text
            assert f"/ {text}" in text_of(pilot)


async def test_many_are_dragged_planned_confirmed_and_moved_a_few_at_a_time(app: Console, feed: FakeFeed) -> None:
    open_gcp(feed)
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await pilot.press("asterisk")
        await pilot.mouse_down(offset=spot(board, "azure-lab/memhog"))
        await pilot.hover(offset=spot(board, "azure-lab/memhog") + Offset(5, 0))
        await pilot.hover(offset=middle(board, "gcp-lab"))
        assert len(board.query(Ghost)) == 1
        assert "4 services" in text_of(pilot)
        assert "drop: plans 3 moves" in text_of(pilot)
        assert "1 cannot: camera-hub: io_uring" in text_of(pilot)
        await pilot.mouse_up(offset=middle(board, "gcp-lab"))
        await until(pilot, lambda: isinstance(app.screen, BatchScreen))
        await until(pilot, lambda: "3 services can move" in text_of(pilot))
        assert "✕ 1 cannot" in text_of(pilot)
        assert feed.requests == []
        await pilot.press("enter")
        await until(pilot, lambda: len(feed.requests) == 2, "two at a time")
        await pilot.pause(0.1)
        assert len(feed.requests) == 2
        await committed(pilot, feed, "game-lobby")
        await until(pilot, lambda: len(feed.requests) == 3, "the next one")
        await pilot.press("escape")
        await until(pilot, lambda: "1 of 3 · 2 moving" in text_of(pilot), "the status line")
        await committed(pilot, feed, "memhog")
        await committed(pilot, feed, "redis")
        await pilot.press("b")
        await until(pilot, lambda: "3 of 3" in text_of(pilot))
        assert app.many is not None
        assert [m.turn for m in app.many.moves].count(Turn.DONE) == 3


async def test_drain_by_dragging_the_header_asks_for_each_service_of_a_protected_cluster(
    app: Console, feed: FakeFeed
) -> None:
    """A cluster's name confirms nothing: each service's own does."""
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        header = board.columns["gcp-lab"].header.region.offset + Offset(4, 0)
        await pilot.mouse_down(offset=header)
        await pilot.hover(offset=header + Offset(4, 0))
        await pilot.hover(offset=middle(board, "azure-lab"))
        assert "drop: plans 2 moves" in text_of(pilot)
        await pilot.mouse_up(offset=middle(board, "azure-lab"))
        await until(pilot, lambda: isinstance(app.screen, BatchScreen))
        await until(pilot, lambda: "2 services can move" in text_of(pilot))
        assert "Drain gcp-lab → azure-lab" in text_of(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: text_of(pilot).count("type nginx to confirm, then 1 more name") == 2)
        await pilot.press(*"gcp-lab", "enter")
        await until(pilot, lambda: "called gcp-lab" in text_of(pilot))
        await pilot.press(*"nginx", "enter")
        await until(pilot, lambda: "gcp-lab is protected: type thumbs to confirm" in text_of(pilot))
        assert feed.requests == []
        await pilot.press(*"thumbs", "enter")
        await until(pilot, lambda: len(feed.requests) == 2)
        assert [confirm for _, confirm in feed.requests] == ["nginx", "thumbs"]


async def test_several_names_in_one_line(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        board.offer_many(feed.clusters["azure-lab"].services, "gcp-lab", "azure-lab")
        await until(pilot, lambda: "3 services can move" in text_of(pilot))
        await pilot.press(*"redis memhog game-lobby", "enter")
        await until(pilot, lambda: len(feed.requests) == 2)
        assert {confirm for _, confirm in feed.requests} < {"redis", "memhog", "game-lobby"}


async def test_drain_by_keys_and_stop(app: Console, feed: FakeFeed) -> None:
    open_gcp(feed)
    app.settings.parallel = 1
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("d", "right", "left", "enter")
        await until(pilot, lambda: isinstance(app.screen, BatchScreen))
        await until(pilot, lambda: "3 services can move" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: len(feed.requests) == 1)
        await pilot.press("x")
        await until(pilot, lambda: "stopped by you" in text_of(pilot))
        feed.finish(next(iter(m.id for m in feed.known.values() if m.outcome is None)))
        await until(pilot, lambda: "1 of 3 · 2 not begun" in text_of(pilot))
        assert len(feed.requests) == 1


async def test_two_failures_in_a_row_end_it(app: Console, feed: FakeFeed) -> None:
    open_gcp(feed)
    app.settings.parallel = 1
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        board.offer_many(feed.clusters["azure-lab"].services, "gcp-lab", "azure-lab")
        await until(pilot, lambda: "3 services can move" in text_of(pilot))
        await pilot.press("enter")
        for count in (1, 2):
            await until(pilot, lambda count=count: len(feed.requests) == count)
            feed.fail("criu could not restore")
        await until(pilot, lambda: "2 failed in a row" in text_of(pilot))
        assert len(feed.requests) == 2
        assert "criu could not restore" in text_of(pilot)


async def test_quitting_asks_while_some_wait(app: Console, feed: FakeFeed) -> None:
    open_gcp(feed)
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        board.offer_many(feed.clusters["azure-lab"].services, "gcp-lab", "azure-lab")
        await until(pilot, lambda: "3 services can move" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: len(feed.requests) == 2)
        await pilot.press("escape", "q")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "1 move would not be begun" in text_of(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Board))
        await pilot.press("q", "y")
    assert app.return_code == 0


async def test_states_of_clusters_are_words_and_say_what_to_do(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        for state, shown, hint in (
            (ClusterState.EXPIRED, "⊗ credentials expired", "log in again, then r"),
            (ClusterState.FORBIDDEN, "⊘ forbidden", "not allowed in: see above, then r"),
            (ClusterState.THROTTLED, "◔ throttled", "asked again by itself, later"),
            (ClusterState.UNREACHABLE, "✕ unreachable", "not known; umsui doctor tells why"),
            (ClusterState.EMPTY, "○ empty", "no services; drop one here"),
        ):
            azure = replace(feed.clusters["azure-lab"], state=state, services=(), age=61.0)
            feed.say(azure)
            await until(pilot, lambda shown=shown: shown in text_of(pilot), shown)
            assert hint in text_of(pilot)


async def test_an_expired_cluster_takes_nothing_and_says_why(app: Console, feed: FakeFeed) -> None:
    gcp = feed.clusters["gcp-lab"]
    nodes = tuple(replace(node, state=ClusterState.UNREACHABLE) for node in gcp.nodes)
    feed.clusters["gcp-lab"] = replace(gcp, state=ClusterState.EXPIRED, nodes=nodes)
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "memhog")
        await pilot.press("m", "left")
        board.carry._aim("gcp-lab")
        await until(pilot, lambda: "cannot: credentials expired" in text_of(pilot))


async def test_ten_thousand_in_groups(app: Console, feed: FakeFeed) -> None:
    many = tuple(scenario.service("gcp-lab", f"gcp-{i % 40}", f"svc-{i:05d}", 10) for i in range(10_000))
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], services=many)
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await pilot.press("g", "right", "end")
        await until(pilot, lambda: "svc-09969" in text_of(pilot))
        assert board.key == "gcp-lab/svc-09969"
        await pilot.press("home")
        await until(pilot, lambda: "gcp-0  250" in text_of(pilot))
