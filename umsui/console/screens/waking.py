"""The destination of a plan is switched off: start it, and tell how far that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from umsui.console import words
from umsui.console.feed import Feed
from umsui.errors import TimedOut, UmsuiError
from umsui.model import ClusterState, Operation, StartFirst

LOOK = 0.5  # seconds between two looks
ANSWERS = 180.0  # seconds until a machine that has started must answer over SSH


def offer(first: StartFirst) -> tuple[str, str]:
    """What Enter would do, how long that takes, and what it costs."""
    cost = "" if first.hourly is None else f"; both machines cost {first.hourly:.3f} an hour while both are up"
    between = f"between {words.coarse(first.time.low)} and {words.coarse(first.time.high)}"
    text = f"{words.place(first.place)} is switched off. Enter starts it, about {words.coarse(first.time.mid)}"
    return f"{text} ({between}){cost}", "then it is planned again"


async def wake(feed: Feed, first: StartFirst, say: Callable[[str], None]) -> None:
    """Start it and wait until it answers over SSH. Raises UmsuiError when it does not."""
    name = words.place(first.place)
    operation = await feed.switch(name, "start")
    while operation.state == "running":
        say(f"starting {name}: {_far(operation)}")
        await asyncio.sleep(LOOK)
        operation = await feed.operation(operation.id)
    if operation.error is not None:
        raise UmsuiError(operation.error.message, operation.error.fix, code=operation.error.code)
    if operation.state != "done":
        raise UmsuiError(f"{name} was not started: {operation.state}")
    say(f"{name} runs; waiting until it answers over SSH")
    for _ in range(int(ANSWERS / LOOK)):
        found = [each for each in await feed.board() if each.name == first.place.cluster]
        nodes = [node for each in found for node in each.nodes if node.name == first.place.node]
        if any(node.state is ClusterState.LIVE for node in nodes):
            return
        await asyncio.sleep(LOOK)
    raise TimedOut(f"{name} runs, but does not answer over SSH", f"umsui doctor {name}")


def _far(operation: Operation) -> str:
    done = f" {operation.progress * 100:.0f} %" if operation.progress else ""
    expected = f", about {words.coarse(operation.expected.mid)} in all" if operation.expected else ""
    return f"{operation.note or 'asked'}{done}{expected}"
