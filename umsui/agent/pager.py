"""The destination's pager: keeps the memory that has arrived and puts it in its place in the restored service.

It stands where CRIU's lazy-pages daemon would: the restore hands it a userfaultfd for each process. A page that the
service touches is placed at once, all others in the background. Pages that have not arrived are asked for, in one
go, and those that the service waits for once more, urgently. A program of its own: it outlives the agent and the
connection; a new connection takes up where a lost one ended.

Words come over a socket in the migration's folder (``umsui.agent.paging``): ``stream`` (with the two ends of the page
stream, from ``wire``) and ``images`` (the checkpoint is here: answer ``listening`` when the restore may begin).

Protocol of the restore: criu/uffd.c: for each process its number (32 bits) and a userfaultfd, at last RESTORED.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Callable, Deque, Dict, List, Optional, Set, Tuple

from umsui.agent import pages, userfault
from umsui.agent.host import Folder, write_atomically
from umsui.agent.pagemap import lazy_pages
from umsui.agent.pages import Frame
from umsui.agent.ranges import Range, Ranges
from umsui.agent.store import Store

RESTORED = 0x52535446  # LAZY_PAGES_RESTORE_FINISHED
CHUNK = 512 << 10  # bytes placed between two looks for pages that the service waits for
AROUND = 16 * userfault.PAGE  # bytes placed or fetched at once around a touched page
CALM = 0.02  # seconds without a touched page until the others are placed in the background
HURRY = 0.1  # and at most so long after the restore
NOTED_EACH = 0.05  # seconds between two notes of how much has arrived
LAZY_SOCKET = "lazy-pages.socket"  # where CRIU's restore looks for its daemon, in its work folder


class Space:
    """One restored address space: what is still to be placed in it."""

    def __init__(self, descriptor: int, pid: int, pending: Ranges) -> None:
        self.descriptor = descriptor
        self.pid = pid
        self.pending = pending


class Pager:
    """One migration's memory at its destination."""

    def __init__(self, folder: Folder, whole_first: bool, done: bool) -> None:
        self.folder = folder
        self.whole_first = whole_first  # nothing may be missing when the restore begins
        self.store = Store(folder.images)
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()
        self.telling = threading.Lock()  # whoever uses or closes ``sink``
        self.missing: Dict[int, Ranges] = {}
        self.lazy: Optional[Dict[int, Ranges]] = None  # known once the checkpoint is here
        self.done = done  # all that goes before the switch is here
        self.here: Optional[Dict[int, List[Tuple[int, int]]]] = None  # where it is; looked up while CRIU still dumps
        self.asking: Optional[socket.socket] = None  # who waits for ``listening``
        self.listening = False
        self.spaces: List[Space] = []
        self.waiting: Set[Tuple[int, int]] = set()  # pages that the service stands still for
        self.arrived: Deque[Tuple[int, int, int]] = deque()  # to be placed: process, start, end
        self.restored = False
        self.calm_at = self.hurry_at = 0.0  # when what nobody waits for may be placed (monotonic), and when it must
        self.received = 0
        self.sink: Optional[int] = None
        self.wake, self._woken = socket.socketpair()
        self.wake.setblocking(False)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until all memory is in its place."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fresh = self.folder.control / "pager.new"
        fresh.unlink(missing_ok=True)  # of one that was killed
        listener.bind(str(fresh))
        listener.listen(8)
        fresh.rename(self.folder.control / "pager")  # whoever sees it may connect
        self._watch(listener, lambda: self._greet(listener))
        self._watch(self._woken, self._wake_up)
        while not self._finished():
            pause = self._pause()
            for key, _ in self.selector.select(pause):
                key.data()
            if pause == 0.0:
                self._place_next()
        self._note()  # this program ends before the stream does
        self._tell(Frame(pages.WHOLE))

    def _pause(self) -> Optional[float]:
        """Seconds until a page that nobody waits for is to be placed; None when there is none.

        A service that has just come gets the CPU to itself, and its first pages at once.
        """
        if not self.restored or not self.arrived:
            return None
        return max(0.0, min(self.calm_at, self.hurry_at) - time.monotonic())

    def _note(self) -> None:
        write_atomically(self.folder.control / "arrived", str(self.received))

    def _watch(self, source: "socket.socket | int", body: Callable[[], None]) -> None:
        self.selector.register(source, selectors.EVENT_READ, body)

    def _finished(self) -> bool:
        return self.restored and not any(space.pending for space in self.spaces)

    def _greet(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        self._watch(peer, lambda: self._word(peer))

    def _word(self, peer: socket.socket) -> None:
        word, descriptors, _, _ = socket.recv_fds(peer, 64, 2)
        if word == b"stream":
            threading.Thread(target=self._receive, args=(*descriptors, peer), daemon=True).start()
        elif word == b"images":
            self.asking = peer
            self._prepare()
        elif not word:
            self.selector.unregister(peer)
            peer.close()

    def _wake_up(self) -> None:
        self._woken.recv(4096)
        self._prepare()
        for pid, page in list(self.waiting):
            self._serve_waiting(pid, page)

    # -- the page stream (a thread of its own) ----------------------------------------------------------------------

    def _receive(self, source: int, sink: int, peer: socket.socket) -> None:
        with self.telling:
            self.sink = sink
        if self.listening:
            self._want_missing()  # a new connection in the place of one that broke
        told = 0.0
        with contextlib.suppress(OSError, EOFError):
            while (frame := pages.read_frame(source)) is not None:
                self._frame(frame, source, sink)
                if time.monotonic() - told > NOTED_EACH:
                    told = time.monotonic()
                    self._note()
        self._note()
        with self.telling:
            if self.sink == sink:
                self.sink = None
            for descriptor in (source, sink):
                os.close(descriptor)
        with contextlib.suppress(OSError):  # closed already, by the loop, when ``wire`` was the first to end
            peer.shutdown(socket.SHUT_RDWR)  # ``wire`` ends, and with it the channel; the loop sees it, too

    def _frame(self, frame: Frame, source: int, sink: int) -> None:
        kind, pid, start, length = frame
        if kind == pages.PAGES:
            for at, data in pages.read_runs(source, frame):
                self._keep(pid, at, data)
            self._rouse()
            pages.write_all(sink, Frame(pages.ACK, pid, 0, length).packed())
        elif kind == pages.STALE:
            self.store.drop(pid, start, start + length)
        elif kind == pages.SYNC:
            pages.write_all(sink, Frame(pages.ACK, 0, start).packed())
        elif kind == pages.DONE:
            self.here = {each: list(self.store.extents(each)) for each in list(self.store.files)}
            self.done = True
            self._rouse()

    def _keep(self, pid: int, start: int, data: memoryview) -> None:
        self.received += len(data)
        if self.lazy is None:
            self.store.put(pid, start, data)
            return
        missing = self.missing.get(pid, Ranges())
        with self.lock:  # asked for twice, urgently and not: the second one may come when the first is placed
            wanted = missing.within(start, start + len(data))
        for part in wanted:
            self.store.put(pid, part.start, data[part.start - start : part.end - start])
            with self.lock:  # only now: who does not find it missing takes it from the store
                missing.cut(part.start, part.end)
            self.arrived.append((pid, part.start, part.end))

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):  # enough words are waiting already
            self.wake.send(b"!")

    def _tell(self, frame: Frame) -> None:
        with self.telling:
            if self.sink is not None:
                try:
                    pages.write_all(self.sink, frame.packed())
                except OSError:  # it broke: the source opens another, and is then asked for all that is missing
                    self.sink = None

    def _want_missing(self) -> None:
        with self.lock:
            wishes = [(pid, each) for pid, ranges in self.missing.items() for each in ranges.all]
        for pid, each in wishes:
            self._tell(Frame(pages.WANT, pid, each.start, each.end - each.start))

    # -- before the restore -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Let the restore begin as soon as there is what it needs."""
        if self.asking is None or not self.done or self.listening:
            return
        if self.lazy is None:
            lazy = lazy_pages(self.folder.images)
            for pid, ranges in lazy.items():
                self.missing[pid] = ranges.copy()
                for start, end in self.store.extents(pid) if self.here is None else self.here.get(pid, ()):
                    here = self.missing[pid].cut(start, end)
                    self.arrived.extend((pid, each.start, each.end) for each in here)
            self.lazy = lazy
            if self.whole_first:
                self._want_missing()
        if self.whole_first and any(self.missing.values()):
            return
        self._listen()
        self.asking.send(b"listening")
        if not self.whole_first:
            self._want_missing()

    def _listen(self) -> None:
        os.chdir(self.folder.work)  # its path is longer than a socket's name may be
        Path(LAZY_SOCKET).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(LAZY_SOCKET)
        listener.listen(1)
        self.listening = True
        self._watch(listener, lambda: self._restoring(listener))

    def _restoring(self, listener: socket.socket) -> None:
        restore, _ = listener.accept()
        self.selector.unregister(listener)
        listener.close()
        self._watch(restore, lambda: self._from_restore(restore))

    def _from_restore(self, restore: socket.socket) -> None:
        word = restore.recv(4, socket.MSG_WAITALL)
        if not word:
            self.selector.unregister(restore)
            if not self.restored:
                raise SystemExit("the restore ended before it had finished")
            return
        (number,) = struct.unpack("<i", word)
        if number == RESTORED:
            self.restored = True
            self.calm_at = time.monotonic() + CALM
            self.hurry_at = time.monotonic() + HURRY
        elif number > 0:  # a zombie has a negative number and no memory
            _, (descriptor,), _, _ = socket.recv_fds(restore, 1, 1)
            assert self.lazy is not None
            self._admit(Space(descriptor, number, self.lazy.get(number, Ranges()).copy()))

    def _admit(self, space: Space) -> None:
        self.spaces.append(space)
        self._watch(space.descriptor, lambda: self._events(space))

    # -- what happens in the service's address spaces ---------------------------------------------------------------

    def _events(self, space: Space) -> None:
        while space in self.spaces:
            try:
                message = os.read(space.descriptor, userfault.EVENT.size)
            except BlockingIOError:
                return
            kind, first, second, third = userfault.EVENT.unpack(message)
            if kind == userfault.PAGEFAULT:
                self._fault(space, second & -userfault.PAGE)
            elif kind == userfault.FORK:
                self._admit(Space(first & 0xFFFFFFFF, space.pid, space.pending.copy()))
            elif kind == userfault.REMAP:
                space.pending.move(first, second, third)
            elif kind in (userfault.REMOVE, userfault.UNMAP):
                space.pending.cut(first, second)
                if kind == userfault.REMOVE:  # its pages are zero from now on, and the kernel's own affair
                    self._ask(space, userfault.UFFDIO_UNREGISTER, first, second - first)

    def _ask(self, space: Space, request: int, *words: int) -> None:
        try:
            userfault.ask(space.descriptor, request, *words)
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.ENOMEM):  # the process has ended
                self._leave(space)
            elif error.errno not in (errno.EEXIST, errno.ENOENT, errno.EAGAIN, errno.EINVAL):
                raise

    def _leave(self, space: Space) -> None:
        if space in self.spaces:
            self.spaces.remove(space)
            self.selector.unregister(space.descriptor)
            os.close(space.descriptor)

    def _fault(self, space: Space, page: int) -> None:
        self.calm_at = time.monotonic() + CALM
        found = space.pending.at(page)
        if found is None:
            self._ask(space, userfault.UFFDIO_ZEROPAGE, page, userfault.PAGE, 0, 0)
            self._ask(space, userfault.UFFDIO_WAKE, page, userfault.PAGE)  # whoever found it there already
            return
        part = found.part(page, page + AROUND)
        with self.lock:
            hole = self.missing[space.pid].at(part.origin)
        if hole is None:
            self._place(space, part)
            return
        self.waiting.add((space.pid, part.origin))
        wish = hole.part(part.origin, part.origin + AROUND)
        with contextlib.suppress(OSError):  # the link is cut: a new one asks again for all that is missing
            self._tell(Frame(pages.WANT, space.pid, wish.start, wish.end - wish.start))

    def _serve_waiting(self, pid: int, page: int) -> None:
        with self.lock:
            still = self.missing[pid].at(page)
        if still is None:
            self.waiting.discard((pid, page))
            self._place_origin(pid, page, page + AROUND)

    # -- placing ----------------------------------------------------------------------------------------------------

    def _place_next(self) -> None:
        pid, start, end = self.arrived.popleft()
        if end - start > CHUNK:
            self.arrived.appendleft((pid, start + CHUNK, end))
        self._place_origin(pid, start, min(end, start + CHUNK))

    def _place_origin(self, pid: int, start: int, end: int) -> None:
        """Place pages, by where they were at the checkpoint, in every address space that still lacks them."""
        with self.lock:
            holes = self.missing[pid].within(start, end)
        here = Ranges([Range(start, end, start)])
        for hole in holes:
            here.cut(hole.start, hole.end)
        for space in [space for space in self.spaces if space.pid == pid]:
            for piece in here.all:
                for part in space.pending.of_origin(piece.start, piece.end):
                    self._place(space, part)

    def _place(self, space: Space, part: Range) -> None:
        length = part.end - part.start
        with userfault.window(self.store.file(space.pid), part.origin, length) as source:
            at = 0
            while at < length and space in self.spaces:
                went, why = userfault.place(space.descriptor, part.start + at, source + at, length - at)
                at += went
                if why == errno.ESRCH:
                    self._leave(space)
                elif why == errno.EAGAIN and not went:
                    break  # its mappings are changing: hear how, and look again
                elif why in (errno.EEXIST, errno.ENOENT) and not went:
                    self._ask(space, userfault.UFFDIO_WAKE, part.start + at, userfault.PAGE)
                    at += userfault.PAGE  # there already, or unmapped meanwhile
                elif why and not went:
                    raise OSError(why, os.strerror(why))
        space.pending.cut(part.start, part.start + at)
        kin = (other.pending.of_origin(part.origin, part.origin + at) for other in self._kin(space))
        if at and self.restored and not any(kin):  # before, the restore may have to be done again from what is here
            self.store.drop(space.pid, part.origin, part.origin + at)
        if at < length:
            self.arrived.append((space.pid, part.origin + at, part.origin + length))

    def _kin(self, space: Space) -> List[Space]:
        return [other for other in self.spaces if other is not space and other.pid == space.pid]


def main(folder: Folder, arguments: List[str]) -> int:
    """Serve one migration; never let go of memory that is not in its place."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    pager = Pager(folder, whole_first="whole" in arguments, done="again" in arguments)
    try:
        pager.run()
    except BaseException:  # whatever it is: without this program the service would read zeros where its memory was
        words = traceback.format_exc()
        sys.stderr.write(words)
        write_atomically(folder.control / "fetched", words.strip().splitlines()[-1])
        if pager.spaces:
            signal.pause()
        return 1
    write_atomically(folder.control / "fetched", "0")
    return 0
