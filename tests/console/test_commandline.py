"""``:``, by keys: words, arguments, completion, history, and that it is there on every screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console import commandline
from umsui.console.app import Console
from umsui.console.commandline import History
from umsui.console.keymap import Keymap
from umsui.console.screens.confirm import Confirm
from umsui.console.screens.help import Help
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen
from umsui.console.screens.plan import PlanScreen

WIDE = (120, 36)
ACTIONS = Keymap().available("board")


@pytest.fixture(autouse=True)
def _own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMSUI_DATA_DIR", str(tmp_path))


def lines(text: str) -> list[str]:
    """What a line could become."""
    known = {"cluster": ["azure-lab", "gcp-lab"], "theme": ["dark", "light"]}
    return [found.line for found in commandline.complete(text, ACTIONS, lambda kind: known.get(kind, []))]


def test_words_complete_by_their_beginning_then_by_what_they_do() -> None:
    assert lines("mo")[:1] == ["move "]
    assert lines("qu")[0] == "quit"
    assert lines("running")[0] == "migrations", "found by its help"
    assert lines("xyzzy") == []


def test_arguments_complete() -> None:
    assert lines("move ") == ["move azure-lab", "move gcp-lab"]
    assert lines("move gc") == ["move gcp-lab"]
    assert lines("theme li") == ["theme light"]
    assert lines("quit now") == []


def test_a_word_may_be_cut_short_where_it_is_the_only_one() -> None:
    assert commandline.find("migr", ACTIONS) is commandline.find("migrations", ACTIONS)
    assert commandline.find("m", ACTIONS) is None
    assert commandline.find("", ACTIONS) is None


def test_history_is_kept(tmp_path: Path) -> None:
    history = History(tmp_path / "deep" / "history")
    for line in ("theme dark", "sort memory", "sort memory"):
        history.add(line)
    again = History(history.path, (tmp_path / "deep" / "history").read_text().splitlines())
    again.begin()
    assert [again.step(-1, "hal"), again.step(-1, ""), again.step(-1, "")] == [
        "sort memory",
        "theme dark",
        "theme dark",
    ]
    assert [again.step(1, ""), again.step(1, "")] == ["sort memory", "hal"]


async def test_a_command_moves_what_is_under_the_cursor(app: Console, feed: FakeFeed) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await select(pilot, "memhog")
        await pilot.press("colon", *"move gc", "tab")
        assert app.screen.query_one("#command-line", Input).value == "move gcp-lab"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen), "the plan")
        assert [request.to for request in feed.planned][-1:] in ([], ["gcp-lab"])


async def test_what_a_command_asks_is_answered(app: Console, feed: FakeFeed) -> None:
    """The box is gone by then: a plan that is started opens its migration, and a cancellation that is meant is sent."""
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], protected=False)
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await select(pilot, "memhog")
        await pilot.press("colon", *"move gcp-lab", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and app.screen.plan is not None, "the plan")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen), "its migration")
        feed.play(1.0)
        await pilot.press("colon", *"cancel", "enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: len(feed.cancelled) == 1, "the cancellation")


async def test_completion_and_history_by_keys(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        await pilot.press("colon", *"theme light", "enter")
        await until(pilot, lambda: app.theme == "light")
        await pilot.press("colon", *"sort mem", "enter")
        await until(pilot, lambda: "no mem" in text_of(pilot) or board.view.sort == "name")
        await pilot.press("colon", "up", "up")
        assert app.screen.query_one("#command-line", Input).value == "theme light"
        await pilot.press("down", "down", *"gro", "tab")
        assert "group" in app.screen.query_one("#command-line", Input).value
        await pilot.press(*"node", "enter")
        await until(pilot, lambda: board.view.group == "node")
        assert not app.screen.query("#command")
        await pilot.press("down")
        assert board.focused is None, "the board has its keys back"


async def test_mistakes_are_said(app: Console) -> None:
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("colon", *"fly", "enter")
        await until(pilot, lambda: "there is no command fly here" in text_of(pilot))
        await pilot.press("colon", *"quit now", "enter")
        await until(pilot, lambda: "quit takes no argument" in text_of(pilot))
        await pilot.press("colon", "escape")
        await until(pilot, lambda: not app.screen.query("#command"))


async def test_it_is_there_on_other_screens(app: Console) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await ready(pilot)
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen))
        await pilot.press("colon", *"help", "enter")
        await until(pilot, lambda: isinstance(app.screen, Help))


async def test_find_goes_to_a_service(feed: FakeFeed, clock: StillClock) -> None:
    app = Console(feed, clock=clock)
    async with app.run_test(size=WIDE) as pilot:
        board = await ready(pilot)
        board.action_filter("nginx")
        await pilot.pause()
        await pilot.press("colon", *"find ledger", "enter")
        await until(pilot, lambda: board.key == "onprem-lab/ledger")
        assert board.filter.text == ""
