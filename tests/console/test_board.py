"""The board: what it shows, how it moves under the keys and the mouse, and that nothing jumps."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from tests.console import scenario
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.filter import Filter
from umsui.console.screens.board import Board
from umsui.console.screens.help import Help
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen
from umsui.console.screens.service import ServiceScreen
from umsui.console.widgets.canvas import Canvas
from umsui.model import Cluster, ClusterState, MigrationRequest, ServiceState

WIDE = (120, 36)


async def test_one_glance(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        shown = text_of(pilot)
        for piece in ("AZURE", "GOOGLE CLOUD", "ON-PREM", "3 clouds · 3 clusters · 4 nodes · 8 services", "◆ protected",
                      "◍ stale 40 s", "● up", "64 MiB", "cannot move: io_uring in use", "1 proc · 1 vol · :8000",
                      "14 proc · :7000 :7001 +1", "‖ paused", "◍ stopped?", "image only", "coordinator ●"):  # fmt: skip
            assert piece in shown


async def test_skeleton_is_painted_before_the_first_answer(app: Console, feed: FakeFeed) -> None:
    feed.gone = True
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "umsui" in text_of(pilot)
        await until(pilot, lambda: "coordinator lost" in text_of(pilot))
        feed.return_()
        await ready(pilot)
        await until(pilot, lambda: "coordinator ●" in text_of(pilot))


async def test_no_clusters_says_what_to_do(app: Console, feed: FakeFeed) -> None:
    feed.clusters.clear()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "umsui lab up" in text_of(pilot))


async def test_arrows_walk_over_clouds(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        assert board.key == "azure-lab/camera-hub"
        await pilot.press("down", "j")
        assert board.key == "azure-lab/memhog"
        await pilot.press("up")
        assert board.key == "azure-lab/game-lobby"
        await pilot.press("right")
        assert board.key == "gcp-lab/thumbs"
        await pilot.press("right", "right", "home")
        assert board.key == "onprem-lab/ledger"
        await pilot.press("end", "end")
        assert board.key == "onprem-lab/mailer"
        await pilot.press("left", "h", "left")
        assert board.cluster == "azure-lab"


async def test_click_selects_and_double_click_opens(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        cards = board.columns["gcp-lab"].cards
        await pilot.click(cards, offset=(3, 0))
        assert board.key == "gcp-lab/nginx"
        await pilot.click(cards, offset=(3, 3))
        assert board.key == "gcp-lab/thumbs"
        await pilot.click(cards, offset=(3, 3))
        await until(pilot, lambda: isinstance(app.screen, ServiceScreen), "the service")


async def test_filter(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await pilot.press("slash", *"mem")
        await until(pilot, lambda: len(board.columns["azure-lab"].cards.services) == 1)
        assert "2 services hidden by the filter" in text_of(pilot)
        await pilot.press("enter")
        assert board.focused is None
        assert board.key == "azure-lab/memhog"
        await pilot.press("escape")
        await until(pilot, lambda: len(board.columns["azure-lab"].cards.services) == 4)
        for text, names in (("state:paused", {"thumbs"}), ("approach:s", {"nginx"}), ("tier=demo", {"memhog"})):
            await pilot.press("slash", *text)
            await pilot.pause()
            assert {s.name for c in board.columns.values() for s in c.cards.services} == names
            await pilot.press("escape")
        await until(pilot, lambda: not board.has_class("-filtering"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("state:bogus", "bogus"),
        ("web -state:x", "moving"),
        ("approach:q", "container"),
        ("state:running approach:o", ""),
    ],
)
def test_a_filter_that_nothing_can_pass_says_so(text: str, word: str) -> None:
    assert word in Filter(text).complaint
    assert bool(Filter(text).complaint) == bool(word)


async def test_clouds_are_tabs_where_it_is_narrow(app: Console) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        board = await ready(pilot)
        shown = text_of(pilot)
        assert "AZURE 4" in shown
        assert "nginx" not in shown
        await pilot.press("right")
        await until(pilot, lambda: "nginx" in text_of(pilot) and "memhog" not in text_of(pilot))
        await pilot.click(".tabs", offset=(30, 0))
        await until(pilot, lambda: board.cluster == "onprem-lab")
        await pilot.resize_terminal(140, 36)
        await until(pilot, lambda: "nginx" in text_of(pilot) and "memhog" in text_of(pilot))


async def test_every_other_key(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ServiceScreen))
        await pilot.press("escape", "l")
        await until(pilot, lambda: isinstance(app.screen, ServiceScreen))
        await pilot.press("escape", "2")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen))
        await pilot.press("1", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await pilot.press("escape", "r")
        await until(pilot, lambda: feed.refreshed == 1)
        theme = app.theme
        await pilot.press("ctrl+t")
        assert app.theme != theme
        await pilot.press("q")
    assert app.return_code == 0


async def test_nothing_jumps_when_services_come_and_go(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await select(pilot, "memhog")
        column = board.columns["azure-lab"].cards
        before = {s.key: column.offset_of(s.key) for s in column.services}
        azure = feed.clusters["azure-lab"]
        new = scenario.service("azure-lab", "azure-1", "aaa-first-by-name", 20)
        feed.say(replace(azure, services=(new, *azure.services)))
        await until(pilot, lambda: len(column.services) == 5)
        assert {key: column.offset_of(key) for key in before} == before
        assert board.key == "azure-lab/memhog"
        assert column.services[-1].key == new.key


async def test_nothing_is_painted_when_nothing_changed(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await pilot.pause(0.2)
        with patch.object(Canvas, "refresh", autospec=True, side_effect=Canvas.refresh) as painted:
            for cluster in list(feed.clusters.values()):
                feed.say(replace(cluster, age=cluster.age))
            board.world_changed()
            board.tick()
            await pilot.pause(0.3)
            assert painted.call_count == 0
            paused = replace(feed.clusters["azure-lab"].services[0], state=ServiceState.PAUSED)
            azure = feed.clusters["azure-lab"]
            feed.say(replace(azure, services=(paused, *azure.services[1:])))
            await until(pilot, lambda: painted.call_count > 0)
            assert painted.call_count == 1
            (_, region), _ = painted.call_args
            assert region.height == 1
            assert region.width <= 10


async def test_a_dead_cluster_says_so_and_hinders_no_other(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        dead = replace(feed.clusters["gcp-lab"], state=ClusterState.UNREACHABLE, age=90.0, services=(),
                       error="gcp-1: host key changed", fix="ssh-keygen -R gcp-1")  # fmt: skip
        feed.say(dead)
        await until(pilot, lambda: "✕ unreachable 1 m" in text_of(pilot))
        shown = text_of(pilot)
        assert "gcp-1: host key changed" in shown
        assert "→ ssh-keygen -R gcp-1" in shown
        assert "memhog" in shown


async def test_what_nobody_sees_is_not_up(app: Console, feed: FakeFeed) -> None:
    """A service on a node that does not answer: as it was, and marked; its neighbours on other nodes are not."""
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        azure = feed.clusters["azure-lab"]
        nodes = [replace(n, state=ClusterState.UNREACHABLE) if n.name == "azure-1" else n for n in azure.nodes]
        feed.say(replace(azure, nodes=tuple(nodes)))
        await until(
            pilot, lambda: any("memhog" in line[:40] and "◍ up?" in line[:40] for line in text_of(pilot).splitlines())
        )
        lines = text_of(pilot).splitlines()
        for service in azure.services:
            line = next(line for line in lines if f" {service.name} " in line or f"▌{service.name} " in line)
            assert ("◍ up?" in line[:40]) is (service.node == "azure-1" and service.state is ServiceState.UP)


async def test_clusters_come_and_go(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        feed.say(Cluster("azure-aks", "azure", "kubernetes", state=ClusterState.EMPTY))
        await until(pilot, lambda: len(board.columns) == 4 and "azure-aks" in text_of(pilot))
        assert board.order()[:2] == ["azure-aks", "azure-lab"]
        assert board.columns["azure-aks"].region.x < board.columns["azure-lab"].region.x


async def test_moving_services_and_the_status_line(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        feed.play(1.2)
        await until(pilot, lambda: "◔ arriving" in text_of(pilot) and "⇄ 36 %" in text_of(pilot))
        shown = text_of(pilot)
        assert "⇄ 1 moving" in shown
        assert "→ gcp-lab" in shown
        assert "from azure-lab" in shown
        assert "copy ahead" in shown
        await pilot.click(".status", offset=(10, 0))
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        await pilot.press("escape")
        await select(pilot, "memhog")
        await pilot.press("m")
        assert isinstance(app.screen, Board)
        assert not app.screen.carry.busy
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))


async def test_post_copy_is_honest(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        feed.play(2.5)
        await until(pilot, lambda: "⚠ exposed" in text_of(pilot))


async def test_ages_go_on_by_themselves(app: Console, clock: StillClock) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        clock.now += 10
        board.tick()
        await until(pilot, lambda: "◍ stale 50 s" in text_of(pilot))
        assert "16:00:10" in text_of(pilot)


async def test_ten_thousand_services_cost_what_is_in_view(app: Console, feed: FakeFeed) -> None:
    many = tuple(scenario.service("gcp-lab", "gcp-1", f"svc-{i:05d}", 10) for i in range(10_000))
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], services=many)
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        assert "▾ 9991 more" in text_of(pilot)
        board.point("gcp-lab", "gcp-lab/svc-05000")
        await until(pilot, lambda: "svc-05000" in text_of(pilot))
        assert len(list(board.walk_children())) < 60
        await pilot._post_mouse_events([], board.columns["gcp-lab"].cards)
        board.columns["gcp-lab"].cards.on_mouse_scroll_down()
        board.columns["gcp-lab"].cards.on_mouse_scroll_up()


async def test_after_a_sleep_everything_is_asked_again(app: Console, feed: FakeFeed, clock: StillClock) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        clock.now += 7200
        await until(pilot, lambda: feed.refreshed == 1, "asked again")
        await until(pilot, lambda: "Away for 2 h" in text_of(pilot))
