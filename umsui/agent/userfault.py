"""What the agent asks of Linux beyond Python's standard library: userfaultfd, PAGEMAP_SCAN, ptrace, holes in files.

Sources: ioctl_userfaultfd(2), userfaultfd(2), Documentation/admin-guide/mm/pagemap.rst, ptrace(2), pidfd_getfd(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import mmap
import os
import platform
import signal
import struct
import time
from typing import Any, Iterator, List, NamedTuple, Tuple

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
LIBC.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
LIBC.syscall.restype = ctypes.c_long
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

UFFDIO_API, UFFDIO_REGISTER, UFFDIO_UNREGISTER = 0xC018AA3F, 0xC020AA00, 0x8010AA01
UFFDIO_WAKE, UFFDIO_COPY, UFFDIO_ZEROPAGE = 0x8010AA02, 0xC028AA03, 0xC020AA04
API_VERSION = 0xAA
TRACK_WRITES = 1 << 15 | 1 << 0  # UFFD_FEATURE_WP_ASYNC, UFFD_FEATURE_PAGEFAULT_FLAG_WP
REGISTER_WRITE_PROTECT = 1 << 1

EVENT = struct.Struct("<B7xQQQ")  # struct uffd_msg: what happened, and up to three words about it
PAGEFAULT, FORK, REMAP, REMOVE, UNMAP = 0x12, 0x13, 0x14, 0x15, 0x16

PAGEMAP_SCAN = 0xC0606610
WP_MATCHING = 1 << 0
CAN_TRACK, WRITTEN, PRESENT, SWAPPED, ZERO = 1 << 0, 1 << 1, 1 << 3, 1 << 4, 1 << 5
REGIONS = 2048  # that one scan answers at most

PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_SINGLESTEP, PTRACE_DETACH = 12, 13, 9, 17
PTRACE_SEIZE, PTRACE_INTERRUPT, SUSPEND_SECCOMP = 0x4206, 0x4207, 1 << 21
PTRACE_CONT, EVENT_STOP = 7, 128
STOPS = 3.0  # seconds that a process may take to stop for us
ALL_CHILDREN = 0x40000000  # __WALL: threads of others, too
SYS_USERFAULTFD, SYS_CLOSE, SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 323, 3, 434, 438  # x86-64
USER_MODE_ONLY = 1  # the unprivileged kind of userfaultfd: enough to track writes

PUNCH_HOLE, KEEP_SIZE, POPULATE = 2, 1, 0x8000


def ask(descriptor: int, request: int, *words: int) -> List[int]:
    """An ioctl whose argument is 64-bit words; answers the words as the kernel left them. Raises OSError."""
    buffer = (ctypes.c_uint64 * len(words))(*(word & (2**64 - 1) for word in words))
    if LIBC.ioctl(descriptor, request, ctypes.addressof(buffer)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return list(buffer)


def place(descriptor: int, target: int, source: int, length: int) -> Tuple[int, int]:
    """Copy from our ``source`` into the other address space: the bytes that went, and why no more did (0: all did)."""
    buffer = (ctypes.c_uint64 * 5)(target, source, length, 0, 0)
    if LIBC.ioctl(descriptor, UFFDIO_COPY, ctypes.addressof(buffer)) == 0:
        return length, 0
    code = ctypes.get_errno()
    went = ctypes.c_int64(buffer[4]).value
    return (went, code) if went > 0 else (0, -went or code)


@contextlib.contextmanager
def window(descriptor: int, offset: int, length: int) -> Iterator[int]:
    """The address of a part of a file, mapped and present while in use. Raises OSError."""
    address = LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED | POPULATE, descriptor, offset)
    if address in (None, ctypes.c_void_p(-1).value):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        yield address
    finally:
        LIBC.munmap(address, length)


def punch(descriptor: int, start: int, length: int) -> None:
    """Give a part of a file back; it is a hole then. Raises OSError."""
    if LIBC.fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, start, length) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Region(NamedTuple):
    """Neighbouring pages; ``zero``: the kernel's page of zeros, which need not be sent."""

    start: int
    end: int
    zero: bool


def scan(pagemap: int, start: int, end: int, written: bool = False, protect: bool = False) -> Iterator[Region]:
    """The populated pages in ``[start, end)``; with ``written`` only those that may have been written.

    With ``protect`` those that are answered count as unwritten from now on. Raises OSError.
    """
    if not written:
        yield from _scan(pagemap, start, end, (0, 0, PRESENT | SWAPPED), protect)
        return
    # Pages that are written or (inverted) cannot be tracked. Populated ones only: protecting a page that is not there
    # would leave a mark that CRIU, and we, would take for a page.
    for populated in (PRESENT, SWAPPED):
        yield from _scan(pagemap, start, end, (CAN_TRACK, populated, WRITTEN | CAN_TRACK), protect)


def _scan(pagemap: int, start: int, end: int, kinds: Tuple[int, int, int], protect: bool) -> Iterator[Region]:
    """``kinds``: which of the conditions are inverted, which must all hold, of which one must hold."""
    found = (ctypes.c_uint64 * (3 * REGIONS))()
    while start < end:
        request = (96, WP_MATCHING if protect else 0, start, end, 0, ctypes.addressof(found), REGIONS, 0)
        buffer = (ctypes.c_uint64 * 12)(*request, *kinds, ZERO)
        count = LIBC.ioctl(pagemap, PAGEMAP_SCAN, ctypes.addressof(buffer))
        if count < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        for at in range(0, 3 * count, 3):
            yield Region(found[at], found[at + 1], bool(found[at + 2]))
        start = max(buffer[4], found[3 * count - 2] if count else 0) or end  # a full answer may end before its last one


def can_track() -> bool:
    """Whether this kernel tells which pages were written (Linux 6.7 and newer, x86-64)."""
    if platform.machine() != "x86_64":
        return False
    descriptor = LIBC.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK | USER_MODE_ONLY)
    if descriptor < 0:
        return False
    pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        ask(descriptor, UFFDIO_API, API_VERSION, TRACK_WRITES, 0)
        list(scan(pagemap, 0, PAGE))
    except OSError:
        return False
    finally:
        os.close(descriptor)
        os.close(pagemap)
    return True


class _Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    NAMES = (
        *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
        *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
    )
    _fields_ = [(name, ctypes.c_uint64) for name in NAMES]


class _Borrowed:
    """Another process's main thread, stopped for a moment to make system calls for us. One OS thread must do it all."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ptrace(PTRACE_SEIZE, SUSPEND_SECCOMP)
        self.saved = _Registers()
        self.signals: List[int] = []  # that came for it meanwhile: it gets them when it goes on
        try:
            self._ptrace(PTRACE_INTERRUPT)
            while (status := self._stopped(STOPS)) >> 16 != EVENT_STOP:
                self._ptrace(PTRACE_CONT, os.WSTOPSIG(status))  # a signal was first: it gets it, and stops for us then
            self._ptrace(PTRACE_GETREGS, ctypes.addressof(self.saved))
            self.gate = self._system_call_instruction()  # of the program that it is now: one exec may have been before
        except OSError:
            with contextlib.suppress(OSError):  # one that does not stop is let go when this thread ends
                self._ptrace(PTRACE_DETACH)
            raise

    def _system_call_instruction(self) -> int:
        """Where the kernel's own code page in the process has one: nothing of the process is changed."""
        with open(f"/proc/{self.pid}/maps") as maps:
            line = next((line for line in maps if "[vdso]" in line), "")
        if not line:
            raise OSError(errno.ENOTSUP, "the process has no vdso")
        start, end = (int(word, 16) for word in line.split()[0].split("-"))
        with open(f"/proc/{self.pid}/mem", "rb", 0) as memory:
            offset = os.pread(memory.fileno(), end - start, start).find(b"\x0f\x05")
        if offset < 0:
            raise OSError(errno.ENOTSUP, "the vdso has no system call instruction")
        return start + offset

    def call(self, number: int, *arguments: int) -> int:
        """The answer of a system call made by the process. Raises OSError."""
        registers = _Registers.from_buffer_copy(self.saved)
        registers.rip, registers.rax, registers.orig_rax = self.gate, number, 2**64 - 1
        for name, value in zip(("rdi", "rsi", "rdx"), arguments):  # noqa: B905 - strict= needs Python 3.10
            setattr(registers, name, value)
        self._ptrace(PTRACE_SETREGS, ctypes.addressof(registers))
        while True:
            self._ptrace(PTRACE_SINGLESTEP)
            status = self._stopped()
            if status >> 16:
                raise OSError(errno.EINTR, f"the process stopped otherwise than asked ({status:#x})")
            if os.WSTOPSIG(status) == signal.SIGTRAP:
                break
            self.signals.append(os.WSTOPSIG(status))  # it came before the step: that has not been made
        self._ptrace(PTRACE_GETREGS, ctypes.addressof(registers))
        answer = ctypes.c_int64(registers.rax).value
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def give_back(self) -> None:
        """Let it go on exactly where it was."""
        self._ptrace(PTRACE_SETREGS, ctypes.addressof(self.saved))
        self._ptrace(PTRACE_DETACH)
        for number in self.signals:
            os.kill(self.pid, number)

    def _stopped(self, within: float = math.inf) -> int:
        """Until it stops; how it did. Raises OSError when it ends instead, or does not stop ``within`` seconds.

        Once its registers are ours there is no way back but to wait.
        """
        end = time.monotonic() + within
        while True:
            found, status = os.waitpid(self.pid, ALL_CHILDREN | os.WNOHANG)
            if found:
                break
            if time.monotonic() > end:
                raise OSError(errno.ETIMEDOUT, "the process does not stop: it is paused, or waits for a disk")
            time.sleep(0.0002)
        if not os.WIFSTOPPED(status):
            raise OSError(errno.ESRCH, f"the process ended ({status:#x})")
        return status

    def _ptrace(self, request: int, data: int = 0) -> None:
        if LIBC.ptrace(request, self.pid, None, data) == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def userfaultfd_of(pid: int) -> int:
    """A userfaultfd for another process's memory, made by that process and taken over from it (2 ms). Raises OSError.

    The kernel binds one to the memory of whoever makes it; there is no other way from outside.
    """
    borrowed = _Borrowed(pid)
    try:
        theirs = borrowed.call(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK | USER_MODE_ONLY)
        try:
            ours = _take(pid, theirs)
        finally:
            borrowed.call(SYS_CLOSE, theirs)
    finally:
        borrowed.give_back()
    return ours


def _take(pid: int, descriptor: int) -> int:
    handle = LIBC.syscall(SYS_PIDFD_OPEN, pid, 0)
    try:
        taken: Any = LIBC.syscall(SYS_PIDFD_GETFD, handle, descriptor, 0)
        if taken < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)
    return int(taken)
