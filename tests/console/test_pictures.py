"""What the board and its dialogs look like, at three sizes, in three themes, without colours, and in ASCII."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.console import pictures
from tests.console.conftest import ready, select, text_of, until
from tests.console.fake import FakeFeed
from umsui.console.screens.confirm import Confirm
from umsui.console.screens.help import Help
from umsui.console.screens.plan import PlanScreen
from umsui.model import ClusterState, MigrationRequest


async def board(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await select(pilot, "memhog")


async def moving(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    feed.play(1.2)
    await until(pilot, lambda: "36 %" in text_of(pilot) and "copy ahead" in text_of(pilot))


async def carrying(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    await pilot.press("m")
    await until(pilot, lambda: "120 ms down" in text_of(pilot))


async def plan(pilot: Pilot[None], feed: FakeFeed) -> None:
    await carrying(pilot, feed)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and "Enter start" in text_of(pilot))
    pilot.app.screen.set_focus(None)  # a blinking cursor is no picture
    await pilot.pause()


async def blocked(pilot: Pilot[None], feed: FakeFeed) -> None:
    screen = await ready(pilot)
    await select(pilot, "memhog")
    service = screen.selected()
    assert service is not None
    screen.offer(service, "onprem-lab", None)
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen) and "1 blocking" in text_of(pilot))
    await pilot.press("enter")
    await until(pilot, lambda: "It cannot be started" in text_of(pilot))


async def help_(pilot: Pilot[None], feed: FakeFeed) -> None:
    await ready(pilot)
    await pilot.press("question_mark")
    await until(pilot, lambda: isinstance(pilot.app.screen, Help) and "Esc close" in text_of(pilot))


async def confirm(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    pilot.app.push_screen(Confirm("Cancel moving memhog?", "It stays at azure-lab, running, with its memory."))
    await until(pilot, lambda: "y yes" in text_of(pilot))


async def selected(pilot: Pilot[None], feed: FakeFeed) -> None:
    screen = await ready(pilot)
    await select(pilot, "game-lobby")
    await pilot.press("space", "space", "g")
    await until(pilot, lambda: "azure-2  2" in text_of(pilot))
    assert screen.cursor.marked


async def dense(pilot: Pilot[None], feed: FakeFeed) -> None:
    feed.crowd(400)
    screen = await ready(pilot)
    await pilot.press("v", "s")
    screen.action_filter("tier=db -state:paused")
    await until(pilot, lambda: "hidden" in text_of(pilot) or "more" in text_of(pilot))


async def many(pilot: Pilot[None], feed: FakeFeed) -> None:
    screen = await ready(pilot)
    screen.offer_many(feed.clusters["azure-lab"].services, "gcp-lab", "azure-lab")
    said = ("3 services can move", "type game-lobby to confirm", "Enter start")
    await until(pilot, lambda: all(words in text_of(pilot) for words in said))
    pilot.app.screen.set_focus(None)
    await pilot.pause()


async def draining(pilot: Pilot[None], feed: FakeFeed) -> None:
    feed.clusters["gcp-lab"] = replace(feed.clusters["gcp-lab"], protected=False)
    screen = await ready(pilot)
    screen.offer_many(feed.clusters["azure-lab"].services, "gcp-lab", "azure-lab")
    await until(pilot, lambda: "3 services can move" in text_of(pilot))
    await pilot.press("enter")
    await until(pilot, lambda: len(feed.requests) == 2)
    feed.finish(next(m.id for m in feed.known.values() if m.outcome is None))
    await until(pilot, lambda: "1 of 3" in text_of(pilot))


async def command(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    await pilot.press("colon", *"mo")
    await until(pilot, lambda: "move [cluster]" in text_of(pilot))
    pilot.app.screen.set_focus(None)
    await pilot.pause()


async def troubled(pilot: Pilot[None], feed: FakeFeed) -> None:
    azure, gcp, onprem = feed.clusters.values()
    feed.clusters["azure-lab"] = replace(azure, state=ClusterState.EXPIRED, age=700.0, services=(),
                                         error="the login of az has expired", fix="az login")  # fmt: skip
    feed.clusters["gcp-lab"] = replace(gcp, state=ClusterState.THROTTLED, age=30.0)
    gone = replace(onprem, state=ClusterState.UNREACHABLE, age=90.0, services=())
    feed.clusters["onprem-lab"] = replace(
        gone, error="onprem-1: no route to host", fix="umsui doctor onprem-lab/onprem-1"
    )
    await ready(pilot)


async def nothing(pilot: Pilot[None], feed: FakeFeed) -> None:
    feed.clusters.clear()
    everything = ("umsui lab up", " ms ", "committed")  # the hint, the coordinator's latency, the last migration
    await until(pilot, lambda: all(words in text_of(pilot) for words in everything))


async def lost(pilot: Pilot[None], feed: FakeFeed) -> None:
    await board(pilot, feed)
    feed.lose()
    await until(pilot, lambda: "coordinator lost" in text_of(pilot))
    pilot.app.workers.cancel_all()  # it would be asked again, later and later


SCREENS: dict[str, pictures.Steps] = {
    "selected": selected, "dense": dense, "many": many, "draining": draining, "command": command,
    "troubled": troubled, "nothing": nothing, "lost": lost,
    "board": board, "moving": moving, "carrying": carrying, "plan": plan, "blocked": blocked, "help": help_,
    "confirm": confirm,
}  # fmt: skip


@pytest.mark.parametrize("size", pictures.SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
async def test_picture(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    update = bool(request.config.getoption("--snapshot-update"))
    await pictures.check(name, SCREENS[name], size, monkeypatch, update=update)
