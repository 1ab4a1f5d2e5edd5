from __future__ import annotations

import asyncio
import threading

import pytest

from umsui.coordinator import bus as bus_module
from umsui.coordinator.bus import Bus


async def test_from_threads_each_in_its_order() -> None:
    bus = Bus(asyncio.get_running_loop())
    queue = bus.open()

    def publish(who: int) -> None:
        for number in range(100):
            bus.publish("event", (who, number))

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    got: dict[int, list[int]] = {who: [] for who in range(4)}
    for _ in range(400):
        message = await asyncio.wait_for(queue.get(), 5)
        assert message is not None
        got[message[1][0]].append(message[1][1])
    assert all(numbers == list(range(100)) for numbers in got.values())


async def test_a_lagging_subscriber_is_told_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "BACKLOG", 10)
    bus = Bus(asyncio.get_running_loop())
    slow, quick = bus.open(), bus.open()
    for number in range(50):
        bus.publish("event", number)
        await asyncio.sleep(0)
        assert quick.get_nowait() == ("event", number)
        assert slow.qsize() <= 10
    assert slow.get_nowait() is None
    assert slow.empty()
    again = bus.open()
    bus.publish("event", "more")
    await asyncio.sleep(0)
    assert again.get_nowait() == ("event", "more")


async def test_nobody_listens() -> None:
    bus = Bus()
    bus.publish("event", 1)
    bus.attach(asyncio.get_running_loop())
    bus.publish("event", 2)
    assert not bus.watched
    queue = bus.open()
    assert bus.watched
    bus.close(queue)
    bus.close(queue)
    assert not bus.watched
    await asyncio.sleep(0)
    assert queue.empty()


def test_a_loop_that_is_gone() -> None:
    loop = asyncio.new_event_loop()
    bus = Bus(loop)
    bus.open()
    loop.close()
    bus.publish("event", 1)
    bus._loop = type(
        "Racing", (), {"is_closed": lambda self: False, "call_soon_threadsafe": loop.call_soon_threadsafe}
    )()
    bus.publish("event", 1)  # closed between the look and the call
