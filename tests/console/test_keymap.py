"""One registry: every action exists, no key means two things, and everything made from it is complete."""

from __future__ import annotations

from collections import Counter

import pytest
from textual.app import App
from textual.screen import Screen

from tests.console.conftest import ready, until
from umsui.console import keymap
from umsui.console.app import Console
from umsui.console.screens.board import Board
from umsui.console.screens.confirm import Confirm
from umsui.console.screens.help import Help
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen
from umsui.console.screens.plan import PlanScreen
from umsui.console.screens.service import ServiceScreen

WHERE: dict[str, type[App[None]] | type[Screen[object]]] = {
    "board": Board, "drag": Board, "plan": PlanScreen, "migration": MigrationScreen, "migrations": MigrationsScreen,
    "service": ServiceScreen, "help": Help, "confirm": Confirm, "app": Console,
}  # type: ignore[dict-item]  # fmt: skip


@pytest.mark.parametrize("action", keymap.ACTIONS, ids=lambda action: action.id)
def test_every_action_exists(action: keymap.Action) -> None:
    name = action.name.partition("(")[0]
    assert hasattr(WHERE[action.scope], f"action_{name}")


@pytest.mark.parametrize("scope", keymap.SCOPES)
def test_no_key_means_two_things(scope: str) -> None:
    keys = [key for action in keymap.of(scope) for key in action.keys.split(",")]
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
        await pilot.press("colon")
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
        line = app.screen.query_one(".keys")
        text = "".join(run[0] for run in line._lines[0])  # type: ignore[attr-defined]
        await pilot.click(".keys", offset=(text.index("? help"), 0))
        await until(pilot, lambda: isinstance(app.screen, Help), "help")
