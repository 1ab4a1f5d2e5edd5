"""Server-sent events: signs of life, an end that is seen, and logs that nobody reads."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator

import pytest

from umsui.coordinator import streams
from umsui.coordinator.bus import Bus
from umsui.coordinator.history import POINTS, SPACING, History
from umsui.coordinator.streams import Lines, streamed, subscription


class Pipe:
    """A stream that says what it is told to."""

    def __init__(self, *chunks: bytes, last: bool = True) -> None:
        self.chunks, self.last = list(chunks), last
        self.closed = threading.Event()

    def read(self, size: int) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        if not self.last:
            self.closed.wait(10)
        return b""

    def write(self, data: bytes) -> None:
        raise AssertionError("nobody writes here")

    def close(self) -> None:
        self.closed.set()


async def frames(messages: streams.Messages) -> AsyncIterator[str]:
    async for part in streamed(messages).body_iterator:
        yield str(part)


async def test_lines_come_whole_however_they_are_cut() -> None:
    pipe = Pipe(b"one\ntw", b"o\r\n", "drü".encode()[:-1], "drü".encode()[-1:])
    told = [line async for _, data in Lines(pipe).messages() for line in data["lines"]]
    assert told == ["one", "two", "drü"]
    assert pipe.closed.wait(5)


async def test_what_nobody_takes_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WAITING", 10)
    lines = Lines(Pipe(b"".join(b"%d\n" % number for number in range(25))))
    await asyncio.sleep(0.1)
    messages = [data async for _, data in lines.messages()]
    assert messages == [{"lines": [str(number) for number in range(15, 25)], "dropped": 15}]


async def test_signs_of_life_and_a_listener_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.01)
    pipe = Pipe(b"one\n", last=False)
    parts = frames(Lines(pipe).messages())
    assert await anext(parts) == 'event: lines\ndata: {"lines":["one"],"dropped":0}\n\n'
    assert await anext(parts) == ": still here\n\n"
    waiting = asyncio.ensure_future(anext(parts))
    waiting.cancel()
    assert await asyncio.to_thread(pipe.closed.wait, 5), "the remote command ends with its listener"


async def test_a_subscription_ends_when_its_reader_is_too_slow() -> None:
    bus = Bus(asyncio.get_running_loop())
    async with subscription(bus) as messages:
        for number in range(3000):
            bus.publish("event", number)
        await asyncio.sleep(0)
        assert [message async for message in messages] == []
    assert not bus.watched


def test_a_history_is_bounded_and_forgets_what_is_gone() -> None:
    history = History()
    for number in range(10 * POINTS):
        history.note(number * SPACING / 2, {"a": float(number), "b": 1.0})
    assert len(history.of("a")) == POINTS
    times = [when for when, _ in history.of("a")]
    assert all(later - earlier >= SPACING for earlier, later in itertools.pairwise(times))
    history.note(1e6, {"a": 1.0})
    assert history.of("b") == ()
