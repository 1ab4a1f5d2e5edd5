"""What the other screens look like: migration, replay, migrations, compare, service, cluster, benchmarks, export."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.console import pictures
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from umsui.console.app import Console
from umsui.console.screens.migration import MigrationScreen
from umsui.console.screens.replay import ReplayScreen
from umsui.console.screens.service import ServiceScreen
from umsui.model import MigrationRequest


async def up_to_date(pilot: Pilot[None]) -> None:
    """Shown now, not at the next of the screen's four updates a second."""
    assert isinstance(pilot.app.screen, MigrationScreen)
    await pilot.pause()
    pilot.app.screen.on_screen_resume()
    await pilot.pause()


async def migration(pilot: Pilot[None], feed: FakeFeed, upto: float | None = None) -> None:
    await ready(pilot)
    started = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    feed.say(replace(feed.known[started.id], budget=0.3))
    assert isinstance(pilot.app, Console)
    pilot.app.open_migration(started.id)
    await until(pilot, lambda: isinstance(pilot.app.screen, MigrationScreen))
    feed.play(upto)
    await until(pilot, lambda: ("no reply" if upto else "committed") in text_of(pilot))
    await up_to_date(pilot)


async def outage(pilot: Pilot[None], feed: FakeFeed) -> None:
    await migration(pilot, feed, 2.03)


async def failed(pilot: Pilot[None], feed: FakeFeed) -> None:
    await migration(pilot, feed, 2.03)
    feed.fail()
    await until(pilot, lambda: "rolled back" in text_of(pilot))
    await up_to_date(pilot)


async def replay(pilot: Pilot[None], feed: FakeFeed) -> None:
    await migration(pilot, feed)
    await pilot.press("p")
    await until(pilot, lambda: isinstance(pilot.app.screen, ReplayScreen) and bool(pilot.app.screen.events))
    screen = pilot.app.screen
    assert isinstance(screen, ReplayScreen)
    screen.paused = True
    screen.seek(2.35)
    await until(pilot, lambda: "paused" in text_of(pilot))


async def migrations(pilot: Pilot[None], feed: FakeFeed) -> None:
    feed.past(12)
    await ready(pilot)
    await pilot.press("2")
    await until(pilot, lambda: "committed" in text_of(pilot))
    await pilot.press("space", "space")
    await until(pilot, lambda: "2 marked" in text_of(pilot))


async def compare(pilot: Pilot[None], feed: FakeFeed) -> None:
    await migrations(pilot, feed)
    await pilot.press("c")
    await until(pilot, lambda: "breakdown" in text_of(pilot))


async def export(pilot: Pilot[None], feed: FakeFeed) -> None:
    await migrations(pilot, feed)
    await pilot.press("e")
    await until(pilot, lambda: "umsui-migrations.csv" in text_of(pilot))


async def service(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await select(pilot, "memhog")
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ServiceScreen) and "counter 3900" in text_of(pilot))
    await until(pilot, lambda: "sockets 4" in text_of(pilot))


async def ways(pilot: Pilot[None], feed: FakeFeed) -> None:
    await service(pilot, feed)
    await pilot.press("w")
    await until(pilot, lambda: "can move there" in text_of(pilot))
    await pilot.pause()


async def search(pilot: Pilot[None], feed: FakeFeed) -> None:
    await service(pilot, feed)
    feed.log(*(f"line {number} of many" for number in range(30)), "an error: disk full", "the last", dropped=12)
    await pilot.press("l")
    await until(pilot, lambda: "12 dropped" in text_of(pilot))
    await pilot.press("slash", *"error", "enter")
    await until(pilot, lambda: "1 match error" in text_of(pilot))


async def cluster(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await select(pilot, "memhog")
    await pilot.press("n")
    await until(pilot, lambda: "CRIU 3.17 is too old" in text_of(pilot) and "links 0" in text_of(pilot))


async def links(pilot: Pilot[None], feed: FakeFeed) -> None:
    await cluster(pilot, feed)
    await pilot.press("t")
    await until(pilot, lambda: "12.4 ms" in text_of(pilot))


async def benchmarks(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await pilot.press("3")
    await until(pilot, lambda: "median downtime" in text_of(pilot) or "1.19 s" in text_of(pilot))


SCREENS: dict[str, pictures.Steps] = {
    "outage": outage, "report": migration, "failed": failed, "replay": replay, "migrations": migrations,
    "compare": compare, "export": export, "service": service, "ways": ways, "search": search, "cluster": cluster,
    "links": links, "benchmarks": benchmarks,
}  # fmt: skip


@pytest.mark.parametrize("size", pictures.SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
async def test_picture(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    update = bool(request.config.getoption("--snapshot-update"))
    await pictures.check(name, SCREENS[name], size, monkeypatch, update=update)
