"""The console as a picture, without a terminal: what ``--export svg`` writes."""

from __future__ import annotations

import asyncio

from umsui.console.app import Console
from umsui.console.feed import Feed
from umsui.console.link import CoordinatorFeed
from umsui.console.screens.board import Board
from umsui.console.screens.migration import MigrationScreen
from umsui.errors import UmsuiError

SIZE = (120, 36)
PATIENCE = 30.0  # seconds for the coordinator to tell all that is to be seen
PAUSE = 0.05


def picture(migration: str | None) -> str:
    """The board, or a migration's screen, as SVG. Raises UmsuiError when the coordinator tells nothing."""
    return asyncio.run(taken(CoordinatorFeed(), migration))


async def taken(feed: Feed, migration: str | None) -> str:
    """The same over any feed."""
    app = Console(feed, start=migration)
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(int(PATIENCE / PAUSE)):
            await pilot.pause(PAUSE)
            if _complete(app, migration):
                await pilot.pause(2 * PAUSE)
                return app.export_screenshot(title="umsui")
    raise UmsuiError("the coordinator told too little for a picture", "`umsui coordinator status`", code="no-picture")


def _complete(app: Console, migration: str | None) -> bool:
    if migration is None:
        return isinstance(app.screen, Board) and bool(app.screen.columns)
    screen = app.screen
    return isinstance(screen, MigrationScreen) and screen.migration is not None and screen.told
