"""A service's memory at its source: sent ahead while it runs, made whole when it stands still, served on demand.

``ahead`` sends all of it, then again and again what was written meanwhile, until little is left. ``complete`` is called
with the service frozen: what was written since then goes at once (pre-copy), or is called stale and fetched by the
destination after the switch (hybrid; post-copy sends nothing ahead, so that all of it is fetched).
The frozen processes are the only copy of what is still missing there: pages are read from them at any time, by any
agent, until the migration is finished.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterable, List, Tuple

from umsui.agent import pages
from umsui.agent.host import alive
from umsui.agent.pages import Frame
from umsui.agent.passes import until_little
from umsui.agent.tracker import Area, Tracker, inner_pid
from umsui.agent.userfault import PAGE

UNDER_WAY = 2 << 20  # bytes served but not yet stored: a page that the service waits for is not far behind
URGENT = 64 << 10  # bytes; a smaller wish comes from a service that stands still for it
F_SETPIPE_SZ = 1031  # Linux; the fcntl module names it from Python 3.10 on


class Memory:
    """The sending end. ``emit(kind, **data)`` tells the coordinator how far it is; ``rate`` is in bytes/s (0: any)."""

    def __init__(self, stream: "subprocess.Popen[bytes]", rate: float, emit: Callable[..., None]) -> None:
        assert stream.stdin is not None
        assert stream.stdout is not None
        self.stream = stream
        self.rate = rate
        # A tenth of a second's worth at once: whoever shares a narrow link gets a turn in between.
        self.largest = min(pages.LARGEST, max(URGENT, int(rate / 10) // PAGE * PAGE)) if rate else pages.LARGEST
        self.emit = emit
        self.out, self.back = stream.stdin.fileno(), stream.stdout.fileno()
        fcntl.fcntl(self.out, F_SETPIPE_SZ, pages.LARGEST)
        self.trackers: Dict[int, Tracker] = {}
        self.released = False
        self._tracking = threading.Lock()  # whoever begins or ends it
        self.outer: Dict[int, int] = {}  # number inside -> number here
        self.sent = 0
        self.broken = threading.Event()
        self.whole = threading.Event()
        self._writing = threading.Lock()
        self._turn = threading.Condition()
        self._wishes: Tuple[Deque[Frame], Deque[Frame]] = (deque(), deque())  # urgent ones, others
        self._unstored = 0
        self._synced = 0
        self._pace = time.monotonic()
        for body in (self._listen, self._serve):
            threading.Thread(target=body, daemon=True).start()

    # -- while the service runs -------------------------------------------------------------------------------------

    def ahead(self, pids: Callable[[], List[int]]) -> int:
        """Pass over the memory until a pass moves little; answers the bytes that the last one moved. Raises OSError."""
        return until_little(lambda: self._pass(pids()))

    def _pass(self, pids: List[int]) -> int:
        moved = 0
        for pid in pids:
            try:
                moved += self._send(pid, self._written(pid))
            except ProcessLookupError:  # just ending, or becoming another program: the next pass takes what is there
                self._forget(pid)
            except OSError:
                if alive(pid) or self.broken.is_set() or self.released:
                    raise
                self._forget(pid)  # it has ended meanwhile
        self._sync()
        return moved

    def _written(self, pid: int) -> List[Area]:
        with self._tracking:
            if self.released:
                raise OSError("the migration was given up")
            if pid not in self.trackers:
                self.trackers[pid] = Tracker(pid)
                self.trackers[pid].attach()
            return self.trackers[pid].written()

    def _forget(self, pid: int) -> None:
        if pid in self.trackers:
            self.trackers.pop(pid).close()

    # -- while it stands still --------------------------------------------------------------------------------------

    def complete(self, pids: List[int], at_once: bool) -> int:
        """What has changed since: send it now, or call it stale. Answers its bytes. Raises OSError."""
        self.know(pids)
        changed = 0
        for inner, pid in self.outer.items():
            areas = self.trackers[pid].left()
            changed += sum(end - start for start, end in areas)
            if at_once:
                self._send(pid, areas)
            else:  # of a new process, too: there may be pages of one before it that had the same number
                stale = (Frame(pages.STALE, inner, start, end - start).packed() for start, end in areas)
                self._write(b"".join(stale))
        self._write(Frame(pages.DONE).packed())
        return changed

    def know(self, pids: Iterable[int]) -> None:
        """Serve these frozen processes' pages from now on."""
        living = [pid for pid in pids if alive(pid)]  # a zombie has no memory
        self.outer = {inner_pid(pid): pid for pid in living}
        for pid in living:
            self.trackers.setdefault(pid, Tracker(pid))

    # -- serving ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while (frame := pages.read_frame(self.back)) is not None:
                with self._turn:
                    self._take(frame)
                    self._turn.notify_all()
        except OSError:
            pass  # the same as its end
        self.broken.set()
        with self._turn:
            self._turn.notify_all()

    def _take(self, frame: Frame) -> None:
        if frame.kind == pages.WANT:
            self._wishes[0 if frame.length <= URGENT else 1].append(frame)
        elif frame.kind == pages.WHOLE:
            self.whole.set()
        elif frame.length:
            self._unstored -= frame.length
        else:
            self._synced = frame.start

    def _serve(self) -> None:
        while (wish := self._next_wish()) is not None:
            try:
                self._send(self.outer[wish.pid], [(wish.start, wish.start + wish.length)])
            except OSError:
                self.broken.set()
                return

    def _next_wish(self) -> "Frame | None":
        with self._turn:
            self._turn.wait_for(
                lambda: self.broken.is_set() or self._wishes[0] or (self._wishes[1] and self._unstored < UNDER_WAY)
            )
            if self.broken.is_set():
                return None
            if self._wishes[0]:
                return self._wishes[0].popleft()
            kind, pid, start, length = self._wishes[1].popleft()
            piece = min(length, UNDER_WAY // 4)
            if length > piece:
                self._wishes[1].appendleft(Frame(kind, pid, start + piece, length - piece))
            return Frame(kind, pid, start, piece)

    # -- the stream -------------------------------------------------------------------------------------------------

    def _send(self, pid: int, areas: List[Area]) -> int:
        """These pages as they are now, without those that are gone by now; answers their bytes. Raises OSError."""
        inner, before = inner_pid(pid), self.sent
        batch: List[Tuple[int, bytes]] = []
        room = self.largest
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for area in areas:
                at, end = area
                while at < end:
                    data = read_pages(memory.fileno(), at, min(room, end - at))
                    if data:
                        batch.append((at, data))
                        room -= len(data)
                    at += len(data) or PAGE
                    if room < PAGE or len(batch) == pages.RUNS:
                        self._send_batch(inner, batch, self.largest - room)
                        batch, room = [], self.largest
        if batch:
            self._send_batch(inner, batch, self.largest - room)
        return self.sent - before

    def _send_batch(self, inner: int, batch: List[Tuple[int, bytes]], size: int) -> None:
        with self._turn:
            self._unstored += size
        self._write(pages.pages_frame(inner, batch), size)

    def _write(self, data: bytes, size: int = 0) -> None:
        """Frames, with so many bytes of pages in them."""
        with self._writing:
            pages.write_all(self.out, data)
            self.sent += size
            if self.rate and size:
                self._pace = max(self._pace, time.monotonic()) + size / self.rate
                time.sleep(max(0.0, self._pace - time.monotonic()))

    def _sync(self) -> None:
        """Until the destination has stored all that was sent."""
        with self._turn:
            number = self._synced + 1
        self._write(Frame(pages.SYNC, 0, number).packed())
        with self._turn:
            self._turn.wait_for(lambda: self._synced == number or self.broken.is_set())
        if self.broken.is_set():
            raise OSError("the page stream broke")

    def release(self) -> None:
        """End tracking, also for a pass that is under way: the service goes on unwatched."""
        with self._tracking:
            self.released = True
            for tracker in self.trackers.values():
                tracker.close()
            self.trackers.clear()

    def close(self) -> None:
        """End the stream, too."""
        self.release()
        self.stream.kill()
        self.stream.wait()


def read_pages(memory: int, start: int, size: int) -> bytes:
    """Pages of another process; fewer, or none, where they are gone."""
    try:
        data = os.pread(memory, size, start)
    except OSError:
        return b""
    return data[: len(data) - len(data) % PAGE]
