"""A service's memory on its way: beside the steps before the switch, and until its last page is in its place."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from umsui.core.session import AgentError
from umsui.errors import Unreachable
from umsui.interface import beside
from umsui.interface.by_agents import ByAgents
from umsui.interface.protocol import Order
from umsui.model import Strategy, Traffic

LONG = 3600.0  # seconds: steps that move data while the service runs; cancelling ends them earlier
FETCHED = 120.0  # seconds that pages may take to their places once they are at the destination
SOON = 1.0  # seconds of memory left to send: the ends are armed meanwhile (an engine that is armed answers nobody else)


class MemoryAhead(ByAgents):
    """A move's memory: sent by the source's agent, kept and placed by the destination's pager."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._traffic = Traffic()
        self._facts: dict[str, Any] = {}
        self._pager: Future[object] | None = None  # what keeps memory at the destination, on its way up
        self._ahead: Future[object] | None = None  # memory that is sent while the service runs
        self._nearly = threading.Event()  # little of it is left
        self._off = False  # it is being undone: nothing more is begun
        self._paging, self._looking = threading.Lock(), threading.Lock()
        self._lock = threading.Lock()

    @property
    def _paged(self) -> bool:
        """Whether memory is placed by the destination's pager, in the background."""
        return self.order.plan.strategy is not Strategy.STOP_COPY

    # -- what is moved ----------------------------------------------------------------------------------------------

    def _service(self) -> dict[str, Any]:
        """What the service is made of, as it was when first asked."""
        with self._looking:
            if not self._facts:
                self._facts = self._look()
            return self._facts

    def _look(self) -> dict[str, Any]:
        """What the service is made of at this moment."""
        name = self.order.specification.name
        return self._session("source").call("service", engine=self._engine("source"), container=name)

    def _count(self, **moved: int) -> None:
        with self._lock:  # memory is counted by a thread of its own
            self._traffic = replace(self._traffic, **moved)

    def traffic(self) -> Traffic:
        """Bytes moved so far."""
        moved = self._traffic
        return replace(moved, wire=moved.memory + moved.rootfs + moved.volumes + moved.image)

    # -- ahead ------------------------------------------------------------------------------------------------------

    def _begin_memory_early(self) -> None:
        """A bandwidth limit holds for all streams together: with one, memory comes after the files."""
        if self._paged and not self.order.plan.request.bandwidth:
            self._begin_memory()

    def _begin_pager(self) -> None:
        """Have the destination's pager up when memory comes: that takes it a moment, and nobody else needs it yet."""
        if self._paged:
            at_once = self.order.plan.strategy is Strategy.PRE_COPY  # others let the destination fetch what is left
            self._pager = self._begin(lambda: self._ask("destination.page", whole_first=at_once))

    def _begin_memory(self, send: Callable[[], object] | None = None) -> None:
        """Memory goes ahead from now on, beside what else there is to do: that hardly uses the wire."""
        self._ahead = beside.begin(send or self._send_memory, "memory")

    def _send_memory(self) -> None:
        strategy, pid = self.order.plan.strategy, self._service()["pid"]
        how = {"pid": pid, "ahead": strategy is not Strategy.POST_COPY, "at_once": strategy is Strategy.PRE_COPY}
        self._wired()
        with ThreadPoolExecutor(1, thread_name_prefix="page") as pool:
            with self._paging:
                if self._off:
                    return
                sent = pool.submit(self._ask, "source.page", LONG, **how)  # its stream waits for the pager
                if self._pager is None:
                    self._begin_pager()
            assert self._pager is not None
            self._pager.result()
            with self._watching_memory():
                sent.result()

    def _wait_for_memory(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Until ``enough`` of it is at the destination, at the latest all but what was written meanwhile."""
        assert self._ahead is not None
        beside.wait_for(self._ahead, self._step_aside, enough)

    @contextlib.contextmanager
    def _watching_memory(self, *, count: bool = True) -> Iterator[None]:
        """Tell how much memory has arrived, all the while; ``count`` it at the end."""
        with beside.watching(self._watch_memory):
            yield
        if count:
            self._count(memory=self._ask("destination.received")["memory"])

    def _watch_memory(self, done: threading.Event) -> None:
        expected = int(self._facts.get("memory", 0))  # unknown to a coordinator that took the migration up
        before, then = 0, time.monotonic()
        while not done.wait(0.1):
            with contextlib.suppress(Unreachable, AgentError):
                received = self._ask("destination.received")["memory"]
                now = time.monotonic()
                rate = (received - before) / (now - then)
                self.order.emit("progress", what="memory", done=received, total=max(expected, received), rate=rate)
                before, then = received, now
                if expected and expected - received < rate * SOON:
                    self._nearly.set()

    # -- after the switch -------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Until the last page is in its place. Hybrid, post-copy: losing the source loses the service."""
        if self._paged:
            with self._watching_memory():
                if self.order.plan.strategy is not Strategy.PRE_COPY:
                    self._ask("source.drained", LONG, within=LONG)
                self._ask("destination.fetched", FETCHED + 5, within=FETCHED)
