"""One registry: every action exists, no key means two things, and everything made from it is complete."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.screen import Screen

from tests.console.conftest import ready, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console import keymap
from umsui.console.app import Console
from umsui.console.screens.batch import BatchScreen
from umsui.console.screens.benchmarks import BenchmarksScreen
from umsui.console.screens.board import Board
from umsui.console.screens.cluster import ClusterScreen
from umsui.console.screens.compare import CompareScreen
from umsui.console.screens.confirm import Confirm
from umsui.console.screens.export import ExportScreen
from umsui.console.screens.help import Help
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen
from umsui.console.screens.plan import PlanScreen
from umsui.console.screens.replay import ReplayScreen
from umsui.console.screens.service import ServiceScreen
from umsui.console.settings import Settings, load
from umsui.console.widgets.lines import KeyLine

WHERE: dict[str, type[App[Any]] | type[Screen[Any]]] = {
    "board": Board, "drag": Board, "plan": PlanScreen, "limits": PlanScreen, "batch": BatchScreen,
    "migration": MigrationScreen, "migrations": MigrationsScreen,
    "service": ServiceScreen, "replay": ReplayScreen, "compare": CompareScreen, "cluster": ClusterScreen,
    "benchmarks": BenchmarksScreen, "export": ExportScreen, "help": Help, "confirm": Confirm, "app": Console,
}  # fmt: skip


@pytest.mark.parametrize("action", keymap.ACTIONS, ids=lambda action: action.id)
def test_every_action_exists(action: keymap.Action) -> None:
    name = action.name.partition("(")[0]
    assert hasattr(WHERE[action.scope], f"action_{name}")


@pytest.mark.parametrize("scope", keymap.SCOPES)
def test_no_key_means_two_things(scope: str) -> None:
    keys = [key for action in keymap.of(scope) for key in action.keys.split(",") if key]
    assert [key for key, count in Counter(keys).items() if count > 1] == []


def test_ids_are_unique_and_scopes_known() -> None:
    ids = Counter(action.id for action in keymap.ACTIONS)
    assert [name for name, count in ids.items() if count > 1] == []
    assert {action.scope for action in keymap.ACTIONS} == set(keymap.SCOPES)


def test_no_key_that_tmux_or_flow_control_wants() -> None:
    keys = {key for action in keymap.ACTIONS for key in action.keys.split(",")}
    assert keys.isdisjoint({"ctrl+b", "ctrl+a", "ctrl+q", "ctrl+s", "ctrl+d", "ctrl+k"})


async def test_palette_finds_and_runs(app: Console) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause(0.1)
        await pilot.press(*"running and past")
        await pilot.pause(0.4)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen), "the migrations")


async def test_keys_can_be_rebound(app: Console) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        app.set_keymap({"board.migrations": "g"})
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen), "the migrations")


async def test_keys_in_the_footer_can_be_clicked(app: Console) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        line = app.screen.query_one(KeyLine)
        text = "".join(run[0] for run in line._lines[0])
        await pilot.click(".keys", offset=(text.index("? help"), 0))
        await until(pilot, lambda: isinstance(app.screen, Help), "help")


@pytest.mark.parametrize(
    ("key", "shown"), [("enter", "Esc board"), ("2", "Esc board"), ("n", "Esc board"), ("", "m move")]
)
async def test_help_and_the_way_back_are_always_shown(app: Console, key: str, shown: str) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        if key:
            await pilot.press(key)
        await until(pilot, lambda: shown in text_of(pilot).splitlines()[-1])
        assert text_of(pilot).splitlines()[-1].rstrip().endswith("? help")


async def test_rebound_keys_show_everywhere(feed: FakeFeed, clock: StillClock) -> None:
    app = Console(feed, clock=clock, settings=Settings(keys={"board.migrations": "g,f6", "board.logs": "unbound"}))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        assert "g migrations" in text_of(pilot)
        assert "logs" not in text_of(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Migrations, running and past" in text_of(pilot))
        assert "g         Migrations, running and past" in text_of(pilot)
        await pilot.press("escape", "2", "l")
        assert isinstance(app.screen, Board)
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen), "the migrations")


CONFIG = """
[console]
theme = "light"
mouze = false

[keys]
"board.move" = "w"
"board.migrations" = "m"
"board.moove" = "x"
board.filter = ["slash", "ctrl+f"]
board.logs = "ctlr+x"
board.open = "q"
app.help = "f5"
"""


def test_each_mistake_is_told_by_itself_and_the_rest_holds(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    settings = load(path)
    assert settings.theme == "light"
    assert settings.keys == {
        "board.move": "w",
        "board.migrations": "m",
        "board.filter": "slash,ctrl+f",
        "app.help": "f5",
    }
    told = [problem.removeprefix(f"{path}:") for problem in settings.problems]
    assert told == [
        "4: unknown key `console.mouze` (did you mean `mouse`?); allowed: theme, mouse, parallel",
        "9: there is no action board.moove; did you mean board.move?",
        "11: board.logs: there is no key 'ctlr+x'",
        "12: board.open: q is already app.quit; the default stays",
    ]


def test_two_of_the_users_own_keys_clash(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[keys.board]\nmove = "w"\nlogs = "w"\nmigrations = "m"\n')
    settings = load(path)
    assert settings.keys == {"board.move": "w", "board.migrations": "m"}
    assert settings.problems == [f"{path}:3: board.logs: w is already board.move; the default stays"]


async def test_what_is_wrong_in_the_config_is_said_on_screen(feed: FakeFeed, clock: StillClock) -> None:
    app = Console(feed, clock=clock, settings=Settings(problems=["config.toml:9: there is no action board.moove"]))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: "no action board.moove" in text_of(pilot))
