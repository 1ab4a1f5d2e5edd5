"""Memory from one real process to another, through the real tracker, page stream, store and pager; no CRIU.

The second process plays what CRIU's restore does: it maps the same addresses, registers them with userfaultfd and
hands that to the pager. Then it reads (and so touches) its memory, which must be that of the first.
"""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from umsui.agent import pages, userfault
from umsui.agent.host import Folder
from umsui.agent.memory import Memory
from umsui.agent.pagemap import ADDRESS, COUNT, FLAGS, LAZY, MAGIC, OLD_COUNT, lazy_pages
from umsui.agent.store import Store
from umsui.agent.tracker import Tracker

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not userfault.can_track(), reason="needs root and a kernel that tracks writes (Linux 6.7)"
)
BASE = 0x7000_0000_0000
SIZE = 24 << 20
HEAD = """
import ctypes, hashlib, mmap, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
BASE, SIZE = int(sys.argv[1]), int(sys.argv[2])
assert libc.mmap(BASE, SIZE, 3, 0x22 | 0x100000, -1, 0) == BASE
memory = (ctypes.c_char * SIZE).from_address(BASE)
say = lambda word: print(word, flush=True)
"""
SERVICE = (
    HEAD
    + """
memory[: SIZE // 2] = os.urandom(SIZE // 2)
say("ready")
for line in sys.stdin:
    if line == "exec\\n":
        os.execv(sys.executable, sys.orig_argv)
    at, byte = line.split()
    memory[int(at)] = bytes([int(byte)])
    say("written")
"""
)
RESTORED = (
    HEAD
    + """
uffd = libc.syscall(323, os.O_CLOEXEC | os.O_NONBLOCK)
for request, words in ((0xC018AA3F, (0xAA, 0x6E & 0x0E | 1 << 6, 0)), (0xC020AA00, (BASE, SIZE, 1, 0))):
    buffer = (ctypes.c_uint64 * len(words))(*words)
    assert libc.ioctl(uffd, ctypes.c_ulong(request), buffer) == 0, (hex(request), ctypes.get_errno())
os.chdir(sys.argv[3])
pager = socket.socket(socket.AF_UNIX)
pager.connect("lazy-pages.socket")
pager.send(struct.pack("<i", int(sys.argv[4])))
socket.send_fds(pager, [b"x"], [uffd])
os.close(uffd)
if sys.argv[5] == "finished":
    pager.send(struct.pack("<I", 0x52535446))
say("restored")
for line in sys.stdin:
    if line == "sum\\n":
        say(hashlib.sha256(memory.raw).hexdigest())
    elif line == "drop\\n":
        libc.madvise(ctypes.c_void_p(BASE), 1 << 20, 4)
        say("dropped")
    elif line == "fork\\n":
        if os.fork() == 0:
            say(hashlib.sha256(memory.raw).hexdigest())
            os._exit(0)
        os.wait()
"""
)


class Child:
    """A process that answers each line with a line."""

    def __init__(self, script: str, *words: object) -> None:
        argv = [sys.executable, "-c", script, str(BASE), str(SIZE), *map(str, words)]
        self.process: subprocess.Popen[str] = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, words: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def write_pagemap(folder: Path, pid: int, runs: list[tuple[int, int]]) -> None:
    """What CRIU would: runs of pages, to be placed later."""
    entries = [b"\x08\x01"]
    for start, end in runs:
        count = (end - start) // userfault.PAGE
        fields = ((ADDRESS, start), (OLD_COUNT, count), (FLAGS, LAZY), (COUNT, count))
        entries.append(b"".join(varint(field << 3) + varint(value) for field, value in fields))
    data = MAGIC + b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    (folder / f"pagemap-{pid}.img").write_bytes(data)


def memory_of(pid: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        return os.pread(memory.fileno(), SIZE, BASE)


def sum_of(pid: int) -> str:
    return hashlib.sha256(memory_of(pid)).hexdigest()


class Move:
    """One service's memory on its way, with everything at both ends."""

    def __init__(self, folder: Folder, whole: bool) -> None:
        self.folder = folder
        self.service = Child(SERVICE)
        assert self.service.hear() == "ready"
        self.memory = self.stream()  # which waits for the pager
        self.start_pager(*(["whole"] if whole else []))
        self.restored: Child | None = None

    def start_pager(self, *options: str) -> None:
        (self.folder.control / "pager").unlink(missing_ok=True)
        words = ["pager", self.folder.migration, self.folder.role, *options]
        run = f"import sys; from umsui.agent.main import main; sys.exit(main({words!r}))"
        self.pager = subprocess.Popen([sys.executable, "-c", run], stderr=subprocess.PIPE)
        self.until((self.folder.control / "pager").exists)

    @staticmethod
    def until(condition: Any) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.005)

    def _wire(self, program: str, **more: Any) -> subprocess.Popen[bytes]:
        run = (
            f"from umsui.agent import paging; from umsui.agent.host import Folder;"
            f"f = Folder({self.folder.migration!r}, 'destination'); print(paging.{program})"
        )
        return subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, **more)

    def stream(self) -> Memory:
        return Memory(self._wire("hand_over_stream(f)", stdin=subprocess.PIPE), 0.0, lambda *_, **__: None)

    def freeze(self, at_once: bool) -> int:
        os.kill(self.service.pid, signal.SIGSTOP)
        self.until(lambda: Path(f"/proc/{self.service.pid}/stat").read_text().split(") ")[1][0] == "T")
        return self.memory.complete([self.service.pid], at_once)

    def restore(self, finished: bool = True) -> Child:
        tracker = Tracker(self.service.pid)
        runs = [r for r in tracker.left() if r[0] >= BASE and r[1] <= BASE + SIZE]
        tracker.close()
        write_pagemap(self.folder.images, self.service.pid, runs)
        ready = self._wire("wait_until_ready(f, 60)")
        assert ready.communicate()[0] == b"True\n"
        end = "finished" if finished else "lost"
        self.restored = Child(RESTORED, self.folder.work, self.service.pid, end)
        assert self.restored.hear() == "restored"
        return self.restored

    def end(self) -> None:
        self.memory.close()
        for child in (self.service, self.restored):
            if child is not None:
                child.end()
        self.pager.kill()
        self.pager.communicate()


@pytest.fixture
def folder() -> Iterator[Folder]:
    made = Folder(f"memory{os.getpid()}", "destination")
    made.make("podman")
    made.work.mkdir(parents=True, exist_ok=True)
    yield made
    made.remove()


def moving(folder: Folder, whole: bool) -> Iterator[Move]:
    move = Move(folder, whole)
    yield move
    move.end()


@pytest.fixture
def whole(folder: Folder) -> Iterator[Move]:
    """Pre-copy: nothing may be missing when the restore begins."""
    yield from moving(folder, True)


@pytest.fixture
def lacking(folder: Folder) -> Iterator[Move]:
    """Hybrid and post-copy: what is missing is fetched afterwards."""
    yield from moving(folder, False)


def test_pre_copy_sends_again_only_what_was_written(whole: Move) -> None:
    whole.memory.ahead(lambda: [whole.service.pid])
    sent = whole.memory.sent
    assert sent >= SIZE // 2
    for at in (5, SIZE // 4, SIZE - 1):  # the last one in a page that was not there before
        assert whole.service.ask(f"{at} 77") == "written"
    changed = whole.freeze(at_once=True)
    assert changed < 1 << 20
    restored = whole.restore()
    whole.memory.close()  # the source is not needed any more
    assert restored.ask("sum") == sum_of(whole.service.pid)
    assert whole.pager.wait(60) == 0
    assert (whole.folder.control / "fetched").read_text() == "0"
    kept = Store(whole.folder.images).extents(whole.service.pid)
    assert [each for each in kept if BASE <= each[0] < BASE + SIZE] == []  # given back as it was placed


@pytest.mark.parametrize("how", ["whole", "lacking"])
def test_a_process_that_becomes_another_program_leaves_nothing_of_the_first(
    how: str, request: pytest.FixtureRequest
) -> None:
    move: Move = request.getfixturevalue(how)
    move.memory.ahead(lambda: [move.service.pid])
    first = sum_of(move.service.pid)
    assert move.service.ask("exec") == "ready"
    assert sum_of(move.service.pid) != first  # at the same addresses
    move.freeze(at_once=how == "whole")
    assert move.restore().ask("sum") == sum_of(move.service.pid)


def test_a_process_that_ends_meanwhile_is_left_out(whole: Move) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        whole.memory.ahead(lambda: [whole.service.pid, other.pid])
        other.kill()
    whole.memory.ahead(lambda: [whole.service.pid, other.pid])
    os.kill(whole.service.pid, signal.SIGSTOP)
    whole.memory.complete([whole.service.pid, other.pid], at_once=True)
    assert whole.restore().ask("sum") == sum_of(whole.service.pid)


def test_hybrid_fetches_what_had_changed_and_nothing_stale(lacking: Move) -> None:
    lacking.memory.ahead(lambda: [lacking.service.pid])
    before = lacking.memory.sent
    assert lacking.service.ask(f"{SIZE // 3} 9") == "written"
    lacking.freeze(at_once=False)
    restored = lacking.restore()
    assert restored.ask("sum") == sum_of(lacking.service.pid)
    assert lacking.memory.whole.wait(60)
    assert lacking.memory.sent - before < 1 << 20
    assert int((lacking.folder.control / "arrived").read_text()) == lacking.memory.sent


def test_post_copy_goes_on_over_a_new_stream_when_one_breaks(lacking: Move) -> None:
    lacking.memory.ahead(list)  # nothing; but the stream is open then
    lacking.freeze(at_once=False)
    lacking.memory.close()
    assert lacking.memory.stream.stdin is not None
    lacking.memory.stream.stdin.close()  # the link is cut before a single page went
    restored = lacking.restore()
    assert not lacking.memory.sent
    lacking.memory = lacking.stream()
    lacking.memory.know([lacking.service.pid])
    assert restored.ask("sum") == sum_of(lacking.service.pid)
    assert lacking.memory.whole.wait(60)
    assert lacking.pager.wait(60) == 0


def test_a_source_that_did_not_hear_the_last_word_hears_it_over_a_new_stream(lacking: Move) -> None:
    lacking.freeze(at_once=False)
    restored = lacking.restore()
    assert restored.ask("sum") == sum_of(lacking.service.pid)
    assert lacking.pager.wait(60) == 0
    lacking.memory.close()
    lacking.memory = lacking.stream()  # the pager has ended by now
    assert lacking.memory.whole.wait(60)


def test_what_the_restored_service_gives_up_stays_given_up(lacking: Move) -> None:
    lacking.freeze(at_once=False)
    restored = lacking.restore()
    expected = bytearray(memory_of(lacking.service.pid))
    assert restored.ask("drop") == "dropped"
    expected[: 1 << 20] = bytes(1 << 20)
    assert restored.ask("sum") == hashlib.sha256(expected).hexdigest()


def test_a_child_that_is_forked_meanwhile_has_the_memory_too(lacking: Move) -> None:
    lacking.freeze(at_once=False)
    restored = lacking.restore()
    assert restored.ask("fork") == sum_of(lacking.service.pid)
    assert restored.ask("sum") == sum_of(lacking.service.pid)


def test_an_image_that_is_no_pagemap_is_refused(folder: Folder) -> None:
    write_pagemap(folder.images, 7, [(BASE, BASE + 3 * userfault.PAGE)])
    assert [tuple(each) for each in lazy_pages(folder.images)[7].all] == [(BASE, BASE + 3 * userfault.PAGE, BASE)]
    (folder.images / "pagemap-7.img").write_bytes(b"nonsense")
    with pytest.raises(Exception, match="no pagemap"):
        lazy_pages(folder.images)


def test_direct_io_is_not_tracked(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x")
    flags = "os.O_RDONLY | os.O_DIRECT"
    script = f"import os, time; f = os.open({str(tmp_path / 'data')!r}, {flags}); print(f, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    tracker = Tracker(child.pid)
    try:
        with pytest.raises(OSError, match="O_DIRECT"):
            tracker.attach()
    finally:
        tracker.close()
        child.kill()
        child.communicate()


def test_frames_survive_their_journey() -> None:
    read, write = os.pipe()
    runs = [(4096, b"a" * 4096), (65536, b"b" * 8192)]
    os.write(write, pages.pages_frame(3, runs))
    os.close(write)
    frame = pages.read_frame(read)
    assert frame is not None
    assert [(start, bytes(data)) for start, data in pages.read_runs(read, frame)] == runs
    assert pages.read_frame(read) is None
    os.close(read)


def test_a_restore_that_is_lost_before_its_end_can_be_done_again_from_what_is_here(whole: Move) -> None:
    whole.memory.ahead(lambda: [whole.service.pid])
    whole.freeze(at_once=True)
    expected = sum_of(whole.service.pid)
    lost = whole.restore(finished=False)
    assert lost.ask("sum") == expected
    lost.end()
    whole.until((whole.folder.control / "fetched").exists)  # it says so, and holds what it has
    whole.pager.kill()
    whole.pager.communicate()
    whole.start_pager("whole", "again")
    whole.memory.close()
    assert whole.restore().ask("sum") == expected
