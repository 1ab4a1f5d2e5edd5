"""Every action of the other screens by key, and by mouse: a click on the key line, on a tab, on a row."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.picture import taken
from umsui.console.screens.benchmarks import BenchmarksScreen, grouped
from umsui.console.screens.board import Board
from umsui.console.screens.cluster import ClusterScreen
from umsui.console.screens.compare import CompareScreen
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen, MigrationTable
from umsui.console.screens.replay import ReplayScreen
from umsui.console.screens.service import ServiceScreen
from umsui.console.widgets.lines import KeyLine
from umsui.console.widgets.logview import LogView, clean
from umsui.console.widgets.table import Table
from umsui.console.widgets.tabline import TabLine
from umsui.errors import CommandFailed
from umsui.model import MigrationRequest

WIDE = (140, 40)


async def click(pilot: Pilot[None], short: str) -> None:
    """The key line's entry that says ``short``."""
    keys = pilot.app.screen.query_one(KeyLine)
    text = keys.render_line(0).text
    assert f" {short} " in f"{text} ", text
    await pilot.click(KeyLine, offset=(text.index(f" {short}") + 1, 0))
    await pilot.pause()


async def opened(pilot: Pilot[None], *keys: str) -> None:
    await ready(pilot)
    await select(pilot, "memhog")
    await pilot.press(*keys)
    await pilot.pause()


# -- service -----------------------------------------------------------------------------------------------------------


async def test_service_shows_processes_sockets_and_volumes(app: Console, clock: StillClock) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "enter")
        await until(pilot, lambda: "/memhog: worker" in text_of(pilot))
        assert "128 MiB" in text_of(pilot), "how much the volume holds"
        assert "s3cret" not in text_of(pilot)
        clock.now += 2
        await pilot.press("r")  # looks again: only now is there a share of a core
        await until(pilot, lambda: "70 %" in text_of(pilot))
        await pilot.press("tab")
        await until(pilot, lambda: "ESTABLISHED" in text_of(pilot) and "10.77.0.1:51334" in text_of(pilot))
        assert "2007" not in text_of(pilot), "processes are numbered as their own tab does"
        assert re.search(r"log \d", pilot.app.screen.query_one(TabLine).render_line(0).text), "its lines are counted"
        await pilot.press("shift+tab", "down", "j", "up", "k")
        assert "▌       1" in text_of(pilot)


async def test_service_tabs_by_mouse(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "enter")
        await until(pilot, lambda: "sockets 4" in text_of(pilot))
        line = app.screen.query_one(TabLine).render_line(0).text
        await pilot.click(TabLine, offset=(line.index("sockets"), 0))
        await until(pilot, lambda: "LISTEN" in text_of(pilot))
        await click(pilot, "next tab")
        await until(pilot, lambda: "can move there" in text_of(pilot))
        await pilot.click(TabLine, offset=(line.index("processes"), 0))
        await pilot.click(Table, offset=(10, 3))
        await until(pilot, lambda: "▌       8" in text_of(pilot))


async def test_ways_are_planned_only_when_looked_at(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "enter")
        await until(pilot, lambda: "sockets 4" in text_of(pilot))
        assert feed.planned == []
        await pilot.press("w")
        await until(pilot, lambda: "no route from azure-1" in text_of(pilot) or "can move there" in text_of(pilot))
        await until(pilot, lambda: {each.to for each in feed.planned} == {"gcp-lab", "onprem-lab"})
        await pilot.press("down", "up")


async def test_log_follows_searches_and_counts_what_was_dropped(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "enter", "l")
        await until(pilot, lambda: "40 lines · following" in text_of(pilot))
        feed.log(*(f"filler {number}" for number in range(100)), "\x1b[31ma red error\x1b[0m", "the end", dropped=7)
        await until(pilot, lambda: "142 lines · following · 7 dropped" in text_of(pilot))
        assert "the end" in text_of(pilot)
        await pilot.press("pageup", "up", "k")
        await until(pilot, lambda: "newer" in text_of(pilot))
        feed.log("while one reads above")
        await until(pilot, lambda: "143 lines" in text_of(pilot))
        assert "while one reads above" not in text_of(pilot)
        await pilot.press("pagedown", "down", "f")
        await until(pilot, lambda: "while one reads above" in text_of(pilot) and "following" in text_of(pilot))
        await pilot.press("slash", *"counter 39", "enter")
        await until(pilot, lambda: "1 match counter 39" in text_of(pilot) and "▸2025" in text_of(pilot))
        await pilot.press("escape", "slash", *"filler 9", "enter")
        await until(pilot, lambda: "11 match filler 9" in text_of(pilot))
        log = app.screen.query_one(LogView)
        newest = log.back
        await pilot.press("n", "n")
        assert log.back == newest + 2
        await pilot.press("N")
        assert log.back == newest + 1
        await pilot.press("escape")
        await until(pilot, lambda: "match" not in text_of(pilot))
        assert isinstance(app.screen, ServiceScreen)


def test_what_a_service_prints_cannot_drive_the_terminal() -> None:
    assert clean("a\x1b[31mred\x1b]0;title\x07\x1b(Bb\x00\x9b1mc\td") == "aredb1mc  d"


async def test_service_actions(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot, "enter")
        await pilot.press("c")
        assert app.clipboard == "azure-lab/memhog"
        await click(pilot, "shell")
        await until(pilot, lambda: "cannot be lent out" in text_of(pilot), "a test has no terminal to lend")
        await click(pilot, "refresh")
        await click(pilot, "search")
        await until(pilot, lambda: app.screen.has_class("-filtering"))
        await pilot.press("escape")
        await click(pilot, "move")
        await until(pilot, lambda: isinstance(app.screen, Board) and app.screen.carry.busy)


async def test_nothing_is_asked_while_another_screen_is_in_front(
    app: Console, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umsui.console.screens.service.PACE", 0.05)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "enter")
        await until(pilot, lambda: "sockets 4" in text_of(pilot))
        await pilot.press("question_mark")
        await pilot.pause(0.1)
        before = feed.looks
        await pilot.pause(0.3)
        assert feed.looks == before
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, Board))
        before = feed.looks  # between the two keys it was in front
        await pilot.pause(0.3)
        assert feed.looks == before, "and not after it is closed"


async def test_a_node_that_does_not_tell(app: Console, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(key: str, *, volumes: bool = False) -> None:
        raise CommandFailed("azure-1 did not tell about it")

    monkeypatch.setattr(feed, "vitals", broken)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "enter")
        await until(pilot, lambda: "azure-1 did not tell about it" in text_of(pilot))


# -- cluster -----------------------------------------------------------------------------------------------------------


async def test_cluster_by_keys(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot, "n")
        await until(pilot, lambda: "CRIU 3.17 is too old" in text_of(pilot))
        assert isinstance(app.screen, ClusterScreen)
        assert "fix apt-get install criu" in text_of(pilot)
        await pilot.press("c")
        assert app.clipboard.startswith("apt-get install criu/bookworm-backports\n")
        await pilot.press("t")
        await until(pilot, lambda: "→ gcp-lab/gcp-1" in text_of(pilot) and "12.4 ms" in text_of(pilot))
        assert "✕ no answer from 10.77.0.13:22" in text_of(pilot)
        await pilot.press("tab")
        await until(pilot, lambda: "orchestrator podman" in text_of(pilot))
        await pilot.press("shift+tab", "pagedown", "pageup", "tab", "pagedown", "pageup", "down")
        await until(pilot, lambda: feed.asked[-1] == "azure-lab/azure-2")
        await pilot.press("k", "j", "up", "r")
        await until(pilot, lambda: feed.asked[-1] == "azure-lab/azure-1")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Board))


async def test_cluster_by_mouse(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await select(pilot, "memhog")
        await click(pilot, "nodes")
        await until(pilot, lambda: "CRIU 3.17" in text_of(pilot))
        await pilot.click("#nodes", offset=(6, 2))
        await until(pilot, lambda: feed.asked[-1] == "azure-lab/azure-2")
        await pilot.click("#nodes", offset=(6, 2))
        await click(pilot, "test links")
        await until(pilot, lambda: "12.4 ms" in text_of(pilot))
        await click(pilot, "next tab")
        await click(pilot, "examine")
        await click(pilot, "copy fixes")
        await click(pilot, "board")
        await until(pilot, lambda: isinstance(app.screen, Board))


# -- migrations, compare, export ---------------------------------------------------------------------------------------


async def listed(pilot: Pilot[None], feed: FakeFeed, count: int = 12) -> MigrationTable:
    feed.past(count)
    await ready(pilot)
    await pilot.press("2")
    await until(pilot, lambda: isinstance(pilot.app.screen, MigrationsScreen) and "✓ committed" in text_of(pilot))
    return pilot.app.screen.query_one(MigrationTable)


async def test_sort_and_turn_around(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        table = await listed(pilot, feed)
        await pilot.press("s", "s", "s")
        await until(pilot, lambda: "by downtime" in text_of(pilot))
        downs = [row.downtime for row in table.rows if row.downtime is not None]
        assert downs == sorted(downs, reverse=True)
        await pilot.press("S")
        await until(pilot, lambda: "reversed" in text_of(pilot))
        downs = [row.downtime for row in table.rows if row.downtime is not None]
        assert downs == sorted(downs)
        await click(pilot, "sort")
        await click(pilot, "sort")
        await until(pilot, lambda: "by against prediction" in text_of(pilot))
        assert table.rows[0].id == "past-11", "the worst against its prediction"


async def test_filter_by_words_and_fields(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        table = await listed(pilot, feed)
        await pilot.press("slash", *"outcome:refused")
        await until(pilot, lambda: "1 of 12" in text_of(pilot))
        assert [row.outcome.value for row in table.rows if row.outcome] == ["refused"]
        await pilot.press(*" nowhere", "enter")
        await until(pilot, lambda: "None fits the filter" in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: len(table.rows) == 12)
        assert isinstance(app.screen, MigrationsScreen)


async def test_compare_several(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await listed(pilot, feed)
        await pilot.press("c")
        await until(pilot, lambda: "Mark two or more" in text_of(pilot))
        await click(pilot, "mark")
        await pilot.press("space")
        await click(pilot, "compare")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and "2 migrations compared" in text_of(pilot))
        shown = text_of(pilot)
        assert "90 ms  best" in shown
        assert "110 ms  +22 %" in shown
        assert shown.count("✓ within 80\u2013210 ms") == 2
        await pilot.press("down", "j", "up", "k", "escape")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen))


async def test_export_of_those_marked(
    app: Console, feed: FakeFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await listed(pilot, feed)
        await pilot.press("space", "space", "e", "c")
        await until(pilot, (tmp_path / "umsui-migrations.csv").exists)
        rows = list(csv.DictReader((tmp_path / "umsui-migrations.csv").open()))
        assert [row["id"] for row in rows] == ["past-0", "past-1"]
        assert rows[0]["predicted.downtime.mid"] == "0.12"
        await pilot.press("e", "s")
        await until(pilot, (tmp_path / "umsui-migrations.svg").exists)
        assert "past" not in (tmp_path / "umsui-migrations.svg").read_text()
        await pilot.press("e", "escape")
        await click(pilot, "export")
        await pilot.click("Forms", offset=(5, 2))
        await until(pilot, (tmp_path / "umsui-migrations.json").exists)
        assert len(json.loads((tmp_path / "umsui-migrations.json").read_text())) == 2


async def test_export_of_the_board_and_of_one_migration(
    app: Console, feed: FakeFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("e", "c")
        await until(pilot, (tmp_path / "umsui-board.csv").exists)
        services = list(csv.DictReader((tmp_path / "umsui-board.csv").open()))
        assert {row["name"] for row in services} >= {"memhog", "redis", "nginx"}
        migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        app.open_migration(migration.id)
        feed.play()
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        await pilot.press("e", "j")
        path = tmp_path / f"umsui-{migration.id}.json"
        await until(pilot, path.exists)
        document = json.loads(path.read_text())
        assert document["downtime"] == 0.118
        assert [step["step"] for step in document["trace"]["steps"]][:2] == ["verify", "connect"]
        assert len(document["samples"]) > 100


async def test_a_picture_without_a_terminal(feed: FakeFeed) -> None:
    migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    feed.play()
    assert "committed" in await taken(feed, migration.id)
    assert "azure-lab" in await taken(feed, None)


# -- replay ------------------------------------------------------------------------------------------------------------


async def played(pilot: Pilot[None], feed: FakeFeed) -> ReplayScreen:
    """A replay that stands still: the test's clock does."""
    await ready(pilot)
    migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    feed.play()
    await pilot.pause(0.1)
    assert isinstance(pilot.app, Console)
    pilot.app.open_replay(migration.id)
    await until(pilot, lambda: isinstance(pilot.app.screen, ReplayScreen) and bool(pilot.app.screen.events))
    assert isinstance(pilot.app.screen, ReplayScreen)
    return pilot.app.screen


async def test_replay_goes_by_the_clock_and_its_speed(app: Console, feed: FakeFeed, clock: StillClock) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await played(pilot, feed)
        assert "RECORDING" in text_of(pilot)
        clock.now += 0.5
        await until(pilot, lambda: screen.at == pytest.approx(0.5))
        await pilot.press("plus", "plus", "plus", "plus", "plus")
        assert screen.speed == 20
        await pilot.press("minus", "minus")
        await click(pilot, "speed")
        assert screen.speed == 2
        clock.now += 0.5
        await until(pilot, lambda: screen.at == pytest.approx(1.5))
        await until(pilot, lambda: "◐ copy ahead" in text_of(pilot) and "⇄ running" in text_of(pilot))
        assert "committed" not in text_of(pilot), "what comes later is not known yet"


async def test_replay_pauses_and_seeks(app: Console, feed: FakeFeed, clock: StillClock) -> None:
    async with app.run_test(size=WIDE) as pilot:
        screen = await played(pilot, feed)
        await pilot.press("space")
        clock.now += 1
        await pilot.pause(0.6)
        assert screen.at == 0
        await pilot.press("right", "right")
        assert screen.at == 2.0
        await until(pilot, lambda: "‖ paused" in text_of(pilot) and "restore" in text_of(pilot))
        await pilot.press("left")
        assert screen.at == 1.0
        await pilot.press("f")
        assert screen.at == pytest.approx(1.91, abs=0.05), "just before the outage"
        await pilot.press("end")
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        await pilot.press("home")
        assert screen.at == 0
        await pilot.click("Playhead", offset=(100, 0))
        assert 1 < screen.at < 3
        await click(pilot, "pause")
        assert not screen.paused
        await pilot.press("up", "down", "c", "escape")
        await until(pilot, lambda: isinstance(app.screen, Board))


async def test_replay_from_list_and_report(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        await pilot.press("2")
        await until(pilot, lambda: "⇄ running" in text_of(pilot))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen) and not isinstance(app.screen, ReplayScreen))
        await pilot.press("p")
        await pilot.pause(0.1)
        assert not isinstance(app.screen, ReplayScreen), "it still runs"
        feed.play()
        await until(pilot, lambda: "✓ committed" in text_of(pilot))
        await click(pilot, "replay")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen) and bool(app.screen.events))
        await pilot.press("escape", "escape", "p")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        assert isinstance(app.screen, ReplayScreen)
        assert app.screen.migration_id == migration.id


async def test_opened_as_a_replay(feed: FakeFeed, clock: StillClock) -> None:
    migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    feed.play()
    app = Console(feed, clock=clock, start=migration.id, replay=5.0)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "RECORDING" in text_of(pilot) and "5x" in text_of(pilot))


async def test_no_recording_says_so(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        app.open_replay("nonsense")
        await until(pilot, lambda: "there is no migration nonsense" in text_of(pilot))
        assert isinstance(app.screen, Board)


# -- the migration's budget and window ---------------------------------------------------------------------------------


async def test_budget_and_window_are_on_screen(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
        feed.say(replace(feed.known[migration.id], budget=0.3))
        app.open_migration(migration.id)
        feed.play(2.5)
        await until(pilot, lambda: "of 300 ms allowed" in text_of(pilot))
        await until(pilot, lambda: "━ post-copy window" in text_of(pilot) and "…" in text_of(pilot))
        feed.play()
        await until(pilot, lambda: "━ post-copy window 710 ms ─" in text_of(pilot))


# -- benchmarks --------------------------------------------------------------------------------------------------------


async def test_a_running_benchmark_grows(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "3")
        await until(pilot, lambda: "7 rows, running" in text_of(pilot))
        running, over = feed.benches
        feed.benches = [replace(running, count=8, rows=over.rows[:8]), over]
        await until(pilot, lambda: "8 rows, running" in text_of(pilot))
        await pilot.press("down", "j")
        await until(pilot, lambda: "18 rows, over" in text_of(pilot) and "2/3" in text_of(pilot))
        await pilot.press("pagedown", "pageup", "up", "k")
        await until(pilot, lambda: "8 rows, running" in text_of(pilot))
        await pilot.click("#runs", offset=(6, 2))
        await until(pilot, lambda: "18 rows, over" in text_of(pilot))
        await click(pilot, "refresh")
        assert isinstance(app.screen, BenchmarksScreen)
        await click(pilot, "board")
        await until(pilot, lambda: isinstance(app.screen, Board))


def test_pairs_of_orchestrators_are_told_apart() -> None:
    row = {"figure": "heterogeneous", "tool": "umsui", "approach": "service", "strategy": "stop-copy", "mib": 64,
           "processes": 1, "source": "podman", "destination": "docker"}  # fmt: skip
    groups = grouped([row, {**row, "destination": "kubernetes"}, row])
    assert {moved: len(rows) for (moved, *_), rows in groups.items()} == {
        "podman → docker": 2, "podman → kubernetes": 1
    }  # fmt: skip


async def test_no_benchmark_says_how_to_make_one(app: Console, feed: FakeFeed) -> None:
    feed.benches = []
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "3")
        await until(pilot, lambda: "umsui bench compare" in text_of(pilot))
