"""A client for benchmarks: it opens a new connection each 5 ms, whatever became of those before.

The coordinator's prober asks one question at a time and gives each up to half a second, so a SYN that a firewall
drops (CRIU locks the network while it restores) may hide a service for as long. Here nothing hides it, whichever tool
moves it, and both are measured by the same thing, outside of either.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass

from umsui.coordinator.prober import Address

INTERVAL = 0.005  # seconds between two questions at one place
PATIENCE = 0.5  # seconds that a connection may stay open: at most 100 at one place
SETTLE = 0.3  # seconds of undisturbed asking before a move


@dataclass(slots=True)
class _Question:
    stream: socket.socket
    place: int  # 0 the source, 1 the destination
    asked: float  # monotonic seconds
    sent: bool = False


class Watcher:
    """Asks at both ends until it is stopped; a context manager. ``downtime`` is then what a client noticed."""

    def __init__(self, source: Address, destination: Address) -> None:
        self._places = (source, destination)
        self._selector = selectors.DefaultSelector()
        self._open: list[_Question] = []
        self._stop = threading.Event()
        self._arrived = threading.Event()
        self._last: float | None = None
        self._first: float | None = None
        self._thread = threading.Thread(target=self._run, name="bench watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        time.sleep(SETTLE)
        return self

    def __exit__(self, *what: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    @property
    def downtime(self) -> float | None:
        """Seconds from the last reply at the source to the first at the destination; None when one is missing."""
        return None if self._first is None or self._last is None else self._first - self._last

    def wait(self, timeout: float) -> bool:
        """Until the service has replied at the destination; ``timeout`` in seconds."""
        return self._arrived.wait(timeout)

    def _run(self) -> None:
        following = time.monotonic()
        with self._selector:
            while not self._stop.is_set():
                now = time.monotonic()
                if now >= following:
                    following = max(following + INTERVAL, now)
                    self._forget(now - PATIENCE)
                    for place in range(len(self._places)):
                        self._ask(place, now)
                for key, _ in self._selector.select(max(0.0, following - time.monotonic())):
                    self._hear(key.data)
            for question in list(self._open):
                self._close(question)

    def _ask(self, place: int, now: float) -> None:
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stream.setblocking(False)
        question = _Question(stream, place, now)
        self._open.append(question)
        self._selector.register(stream, selectors.EVENT_WRITE, question)
        where = self._places[place]
        stream.connect_ex((where.host, where.port))  # an error shows when it is ready

    def _hear(self, question: _Question) -> None:
        try:
            if not question.sent:
                question.stream.send(self._places[question.place].question)
                question.sent = True
                self._selector.modify(question.stream, selectors.EVENT_READ, question)
                return
            if question.stream.recv(512):
                self._reply(question.place, time.monotonic())
        except OSError:
            pass  # refused or reset: no reply
        self._close(question)

    def _reply(self, place: int, now: float) -> None:
        if place == 0 and self._first is None:
            self._last = now
        elif place == 1 and self._first is None:
            self._first = now
            self._arrived.set()

    def _forget(self, before: float) -> None:
        for question in [each for each in self._open if each.asked < before]:
            self._close(question)

    def _close(self, question: _Question) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(question.stream)
        question.stream.close()
        self._open.remove(question)
