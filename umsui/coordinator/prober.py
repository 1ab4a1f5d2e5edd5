"""A client of the service that is moved: it asks all the time, and so measures what clients notice.

One thread for the place that the service leaves and one for the place where it arrives; a reply is any byte
that the service itself sends back, not an accepted connection (the kernel accepts for a frozen service, too).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 0.5  # seconds for a reply; a frozen service answers after its thaw, on the same connection
EAGER = 0.05  # and until it is asked once more, while that is still open
TRIES = 3  # before nothing is measured
OPEN = 3  # questions at the old place at most: a frozen service takes no connections, and must keep places for others
BATCH = 0.1  # seconds between two events
CALM = 0.05  # seconds between two questions while nothing is switched: what clients see of the copying ahead
CALM_BATCH = 0.5
REDIS = 6379

Sample = tuple[float, float | None]
"""(when asked, Unix time; seconds until the reply, or None)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask, and the port inside the container: it tells the protocol."""

    host: str
    port: int
    inside: int

    @property
    def question(self) -> bytes:
        """Something that a server of this kind answers at once."""
        return b"PING\r\n" if self.inside == REDIS else b"GET / HTTP/1.0\r\n\r\n"


def reply_time(address: Address, patience: float = PATIENCE) -> float:
    """Seconds until the first byte of a reply. Raises OSError when none comes."""
    began = time.monotonic()
    with socket.create_connection((address.host, address.port), timeout=patience) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(address.question)
        if not stream.recv(512):
            raise ConnectionResetError("it hung up without a reply")
        return time.monotonic() - began


def ask(address: Address, patience: float = PATIENCE) -> float | None:
    """Seconds until the first byte of a reply; None when none came."""
    try:
        return reply_time(address, patience)
    except OSError:
        return None


class Prober:
    """Asks at both ends every ``interval`` seconds. ``emit(kind, **data)`` gets the samples in batches."""

    def __init__(
        self, source: Address, destination: Address | Callable[[], Address], interval: float, emit: Callable[..., None]
    ) -> None:
        """A function tells the destination when the switch begins: a pod has its address only then."""
        self._source = source
        self._where = destination
        self._interval = interval
        self._emit = emit
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._asking = threading.Semaphore(OPEN)
        self._samples: list[Sample] = []
        self._last: float | None = None  # when the service last replied, at the source
        self._first: float | None = None  # when it first replied, at the destination
        self._following = False
        self._outage: float | None = None  # the longest silence of the source since the switch began
        self._quick = threading.Event()
        self._arrived = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> str:
        """Begin at the source, calmly. Says why not when the service does not answer there: nothing can be measured.

        A service is asked each 50 ms until ``quicken``: in a long copy ahead that would otherwise be a load of its own.
        """
        for again in reversed(range(TRIES)):
            try:
                reply_time(self._source)
                break
            except OSError as error:
                if not again:
                    return f"{self._source.host}:{self._source.port}: {error}"
        self._run(self._ask_source)
        self._run(self._report)
        return ""

    def quicken(self) -> None:
        """The switch is near: ask every ``interval`` seconds."""
        self._quick.set()

    def follow(self) -> None:
        """The switch begins: ask at the destination, too."""
        self._quick.set()
        self._destination = self._where() if callable(self._where) else self._where
        self._following = True
        self._run(self._ask_destination)

    def resume(self, last: float) -> bool:
        """Go on for a coordinator that died when it was decided to commit: the source replied last at ``last``.

        False when the service answers at its new place already: nobody knows since when.
        """
        self._destination = self._where() if callable(self._where) else self._where
        if ask(self._destination) is not None:
            return False
        self._last = last
        self._run(self._report)
        self.follow()
        return True

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"prober {target.__name__}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _ask_source(self) -> None:
        while not self._stop.is_set() and not self._arrived.is_set():
            if self._asking.acquire(timeout=EAGER):
                self._not_waiting(self._ask_here)
            if self._quick.is_set():
                self._stop.wait(self._interval)
            else:
                self._quick.wait(CALM)

    def _not_waiting(self, ask_once: Callable[[], None]) -> None:
        """Neither a packet that was lost nor a slow reply may hide the service: the next question comes soon."""
        asking = threading.Thread(target=ask_once, daemon=True)
        asking.start()
        asking.join(EAGER)

    def _ask_here(self) -> None:
        asked = time.time()
        try:
            took = ask(self._source)
        finally:
            self._asking.release()
        with self._lock:
            if self._first is None:
                self._samples.append((asked, took))
                if took is not None:
                    self._replied(asked + took)

    def _replied(self, at: float) -> None:
        if self._last is not None and at <= self._last:
            return  # answered before, noted later
        if self._following and self._last is not None:
            self._outage = max(self._outage or 0.0, at - self._last)
        self._last = at

    def _ask_destination(self) -> None:
        while not self._stop.is_set():
            if self._arrived.is_set():
                self._ask_there()
            else:
                self._not_waiting(self._ask_there)
            self._stop.wait(self._interval)

    def _ask_there(self) -> None:
        asked = time.time()
        took = ask(self._destination)
        if took is not None:
            with self._lock:
                if self._first is None:
                    self._first = asked + took
                    self._arrived.set()
                self._samples.append((asked, took))

    def _report(self) -> None:
        while not self._stop.is_set():
            if self._quick.is_set():
                self._stop.wait(BATCH)
            else:
                self._quick.wait(CALM_BATCH)
            self._tell()
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            samples, self._samples = self._samples, []
        down = self.down if self._following else None
        if samples or (down is not None and self.downtime is None):
            batch = [[t, took] for t, took in sorted(samples, key=lambda sample: sample[0])]
            self._emit("probe", samples=batch, down=down, downtime=self.downtime)

    @property
    def down(self) -> float | None:
        """Seconds since the last reply, while there is none; None before the first."""
        return None if self._last is None else (self._first or time.time()) - self._last

    @property
    def downtime(self) -> float | None:
        """From the last reply at the source to the first at the destination; None while that has not come."""
        return None if self._first is None or self._last is None else self._first - self._last

    @property
    def outage(self) -> float | None:
        """Seconds that a switch which was undone cost: the source's longest silence. None when there was no switch."""
        return self._outage

    def wait(self, timeout: float) -> bool:
        """Until the service has replied at the destination."""
        return self._arrived.wait(timeout)

    def stop(self) -> None:
        """Ask no more; the last samples are told."""
        self._stop.set()
        self._quick.set()  # nobody sleeps on
        for thread in self._threads:
            thread.join(PATIENCE + 1.0)
