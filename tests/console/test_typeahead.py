"""Keys that come all at once, as a fast typist's over a slow line do, go where they were meant to go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from tests.console.terminal import DEMO, Terminal
from umsui.console.app import Console
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.migrations import MigrationsScreen
from umsui.console.screens.service import ServiceScreen
from umsui.console.widgets.logview import LogView

NAMES = {"/": "slash", ":": "colon", "\r": "enter", "\x1b": "escape", " ": "space", "\t": "tab", "-": "minus",
         "?": "question_mark"}  # fmt: skip


def at_once(pilot: Pilot[None], text: str) -> None:
    """All of it is there before the app has looked at the first."""
    driver = pilot.app._driver
    assert driver is not None
    for character in text:
        driver.send_message(events.Key(NAMES.get(character, character), character))


async def test_filter_and_what_comes_after_it(app: Console, feed: FakeFeed) -> None:
    """No letter of the name is taken for a key of the board, and the key after Enter is one."""
    async with app.run_test(size=(120, 36)) as pilot:
        board = await ready(pilot)
        at_once(pilot, "/nginx\rc")
        await until(pilot, lambda: app.clipboard != "")
        assert app.clipboard == "gcp-lab/nginx"
        assert board.query_one("#filter", Input).value == "nginx"
        assert app.focused is None
        at_once(pilot, "\x1b/memhog\r \x1bd")
        await until(pilot, lambda: board.carry.busy)
        assert board.carry._drag is not None
        assert board.carry._drag.drains == "azure-lab"


async def test_escape_and_a_letter_in_one_packet(app: Console) -> None:
    """A terminal cannot tell them from Alt and that letter; nothing of ours has such a key."""
    async with app.run_test(size=(120, 36)) as pilot:
        board = await ready(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not board)
        driver = app._driver
        assert driver is not None
        driver.send_message(events.Key("alt+m", "m"))
        await until(pilot, lambda: app.screen is board and board.carry.busy)


async def test_commands_one_after_the_other(app: Console) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        board = await ready(pilot)
        at_once(pilot, ":theme light\r:sort memory\r:find nginx\rv")
        await until(pilot, lambda: board.view.dense)
        assert (app.theme, board.view.sort, board.key) == ("light", "memory", "gcp-lab/nginx")
        assert app.focused is None


async def test_a_whole_move(app: Console, feed: FakeFeed) -> None:
    """From the filter over the protected cluster's question to the migration, in one packet."""
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        at_once(pilot, "/memhog\rm\rmemhog")
        await until(pilot, lambda: "13 checks passed" in text_of(pilot))
        at_once(pilot, "\r")
        await until(pilot, lambda: isinstance(app.screen, MigrationScreen))
        assert feed.requests[0][1] == "memhog"


async def test_other_screens(app: Console, feed: FakeFeed) -> None:
    """A search in the log, a filter of migrations: opened and typed into at once."""
    feed.past(6)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        await select(pilot, "memhog")
        at_once(pilot, "\r/counter\r")
        await until(pilot, lambda: isinstance(app.screen, ServiceScreen))
        await until(pilot, lambda: app.screen.query_one(LogView).wanted == "counter")
        at_once(pilot, "\x1b\x1b2/outcome:committed\rs")
        await until(pilot, lambda: isinstance(app.screen, MigrationsScreen) and app.screen.order == "service")
        assert "of 6 · by service" in text_of(pilot)


async def test_a_paste_goes_where_the_key_before_it_opened(app: Console) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        board = await ready(pilot)
        at_once(pilot, "/")
        driver = app._driver
        assert driver is not None
        driver.send_message(events.Paste("redis"))
        at_once(pilot, "\r")
        await until(pilot, lambda: board.query_one("#filter", Input).value == "redis" and app.focused is None)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal((*DEMO, "--speed", "4"))
    try:
        yield made
    finally:
        made.close()


def test_in_one_packet_to_a_real_terminal(terminal: Terminal) -> None:
    terminal.until(lambda text: "redis" in text and "nginx" in text)
    terminal.send("/nginx\rm")
    terminal.until(lambda text: "Enter drop" in text)
    terminal.send("\x1b")
    terminal.until(lambda text: "Enter drop" not in text)
    terminal.send("/redis\rm")
    terminal.until(lambda text: "Enter drop" in text and "/ redis" in text)
    assert "memhog" not in terminal.text()
