from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import waiting_for
from umsui.coordinator import prober as prober_module
from umsui.coordinator.prober import OPEN, Address, Prober, ask

LATE = 0.1
"""Seconds by which a thread of these tests may be late where others run beside it."""


class Server:
    """Answers each connection at once, as long as ``open``; keeps silent otherwise, as a frozen service does."""

    def __init__(self, answering: bool, takes: float = 0.0) -> None:
        self.answering, self.takes, self.hangs_up = answering, takes, False
        self.replies: list[float] = []
        self.asked: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self.socket.getsockname()[1], 80)
        self.held: list[socket.socket] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                caller, _ = self.socket.accept()
            except OSError:
                return
            with caller if self.answering else caller.dup() as caller:
                if self.hangs_up:
                    caller.recv(100)
                    continue
                if not self.answering:
                    self.held.append(caller.dup())
                    continue
                self.asked.append(caller.recv(100))
                time.sleep(self.takes)
                with self.lock:
                    if self.answering:
                        self.replies.append(time.time())
                        caller.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    def stop_answering(self) -> float:
        with self.lock:
            self.answering = False
            return self.replies[-1]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def ends() -> Iterator[tuple[Server, Server]]:
    source, destination = Server(True), Server(False)
    yield source, destination
    source.close()
    destination.close()


def test_what_clients_notice_is_what_is_measured(ends: tuple[Server, Server]) -> None:
    source, destination = ends
    events: list[dict[str, Any]] = []
    prober = Prober(
        source.address, destination.address, 0.005, lambda kind, **data: events.append({"kind": kind, **data})
    )
    assert not prober.start()
    prober.quicken()
    waiting_for(lambda: len(source.replies) > 15)
    destination.socket.listen(128)
    prober.follow()
    last = source.stop_answering()
    time.sleep(3 * LATE)
    assert prober.down is not None
    assert prober.downtime is None
    assert prober.down == pytest.approx(time.time() - last, abs=LATE)
    destination.answering = True
    for held in destination.held:  # what hung there is refused, so that the client asks again
        held.close()
    assert prober.wait(2)
    first = destination.replies[0]
    prober.stop()
    assert prober.downtime == pytest.approx(first - last, abs=LATE)
    assert prober.down == prober.downtime
    samples = [sample for event in events for sample in event["samples"]]
    assert len(samples) > 10
    assert samples == sorted(samples, key=lambda sample: sample[0])
    assert {event["kind"] for event in events} == {"probe"}
    assert events[-1]["downtime"] == prober.downtime
    assert not [thread for thread in prober._threads if thread.is_alive()]


def test_a_question_that_hangs_at_the_source_hides_nothing(ends: tuple[Server, Server]) -> None:
    """As when a packet was lost: the service answers all others, and it is they that tell when it did last."""
    source, destination = ends
    prober = Prober(source.address, destination.address, 0.005, lambda kind, **data: None)
    assert not prober.start()
    prober.quicken()
    with source.lock:
        source.answering = False
    waiting_for(lambda: len(source.held) == 1)
    source.answering = True  # but not to whom it holds
    prober.follow()
    time.sleep(0.2)
    last = source.stop_answering()
    assert prober.down == pytest.approx(time.time() - last, abs=LATE)
    waiting_for(lambda: len(source.held) == 1 + OPEN - 1)
    time.sleep(0.1)
    assert len(source.held) <= 2 * OPEN  # a frozen service has no room for more
    prober.stop()


def test_a_switch_that_is_undone_has_cost_the_silence_of_the_source(ends: tuple[Server, Server]) -> None:
    source, destination = ends
    prober = Prober(source.address, destination.address, 0.005, lambda kind, **data: None)
    assert not prober.start()
    time.sleep(0.1)
    assert prober.outage is None
    destination.close()
    prober.follow()
    last = source.stop_answering()
    time.sleep(3 * LATE)
    source.answering = True
    again = time.time()
    for held in source.held:  # and the client asks again
        held.close()
    waiting_for(lambda: source.replies[-1] > again)
    time.sleep(LATE)
    prober.stop()
    assert prober.downtime is None
    assert prober.outage == pytest.approx(again - last, abs=LATE)


def test_no_downtime_before_the_destination_has_replied(ends: tuple[Server, Server]) -> None:
    source, destination = ends
    prober = Prober(source.address, destination.address, 0.005, lambda kind, **data: None)
    assert not prober.start()
    destination.close()  # refuses at once
    prober.follow()
    time.sleep(0.05)
    assert prober.downtime is None
    assert not prober.wait(0.0)
    prober.stop()


@pytest.mark.parametrize(("kind", "why"), [("silent", "timed out"), ("refusing", "refused"), ("closing", "hung up")])
def test_a_service_that_does_not_answer_is_not_measured(kind: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober_module.reply_time, "__defaults__", (0.05 if kind == "silent" else 5.0,))
    server = Server(False)
    if kind == "refusing":
        server.close()
    elif kind == "closing":
        server.hangs_up = True
    prober = Prober(server.address, server.address, 0.005, lambda kind, **data: None)
    said = prober.start()
    assert said.startswith(f"127.0.0.1:{server.address.port}: ")
    assert why in said
    assert prober.down is None
    assert prober.downtime is None
    assert not prober._threads
    prober.stop()


def test_redis_is_asked_in_its_own_words() -> None:
    assert Address("h", 1, 6379).question == b"PING\r\n"
    assert Address("h", 6379, 80).question.startswith(b"GET / HTTP/1.0")


def test_ask_tells_how_long(ends: tuple[Server, Server]) -> None:
    took = ask(ends[0].address)
    assert took is not None
    assert 0 < took < 0.5
    assert ends[0].asked == [b"GET / HTTP/1.0\r\n\r\n"]


def test_a_slow_reply_is_a_reply(ends: tuple[Server, Server]) -> None:
    slow = Server(True, takes=4 * prober_module.EAGER)
    prober = Prober(ends[0].address, slow.address, 0.005, lambda kind, **data: None)
    prober.start()
    prober.follow()
    began = time.monotonic()
    assert prober.wait(5)
    assert time.monotonic() - began < 10 * prober_module.EAGER
    prober.stop()
    slow.close()
