"""umsui's supervisor in a container that only an orchestrator leads into: the same words, through a local program.

``umsui.agent.inside`` and ``inside_files`` do the same on a node; here each connection is a process of this machine
that the orchestrator's adapter starts, and bytes go from one such process to another through pipes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from umsui.agent.host import Trouble
from umsui.agent.inside import PATIENCE, Channel, Inside, adopted

CHUNK = 1 << 20
STEP = 1 << 16  # bytes between two looks at the clock where a rate is kept

Talk = Callable[[str], "subprocess.Popen[bytes]"]
"""A process joined with the supervisor's socket of this name: its three ends are pipes."""


class Words(Protocol):
    """Where a process's complaints are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """All of them, at its end."""


def widen(process: subprocess.Popen[bytes]) -> None:
    """Let more be under way at once: fewer, larger steps cost less."""
    for end in (process.stdout, process.stdin):
        with contextlib.suppress(OSError):  # a user may have no more pipes of this size
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, CHUNK)  # type: ignore[arg-type]


class RemoteChannel(Channel):
    """A connection through a local process; what that complains of is told with what fails."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        self._complaints: Words = process.stderr
        widen(process)
        super().__init__(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()), adopted(process))

    def line(self, timeout: float = PATIENCE) -> str:
        """The next line. Raises Trouble, with the process's own words."""
        try:
            return super().line(timeout)
        except Trouble as trouble:
            self.end()
            words = self._complaints.read().decode(errors="replace").strip()[-400:]
            raise Trouble(trouble.code, f"{trouble.message}: {words}" if words else trouble.message) from trouble


class RemoteInside(Inside):
    """umsui in one running container, wherever that is."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def open(self, name: str = "talk") -> Channel:
        """A connection to its socket ``talk`` (or ``pages``, while a dump is armed)."""
        return RemoteChannel(self._talk(name))

    def process(self, words: str) -> subprocess.Popen[bytes]:
        """A connection that has been told its first line; its ends are pipes."""
        process = self._talk("talk")
        assert process.stdin is not None
        process.stdin.write(words.encode() + b"\n")
        process.stdin.flush()
        return process


class RemoteUplink:
    """The destination's container, as ``umsui.agent.inside_files.Mirror`` speaks to it."""

    def __init__(self, inside: RemoteInside, rate: float) -> None:
        self._inside = inside
        self.rate = rate  # bytes per second that a stream may take; 0: no limit

    def stream(self, words: str, **ends: Any) -> subprocess.Popen[bytes]:
        """``inside VERB ROOT`` there."""
        _, verb, root = shlex.split(words)
        process = self._inside.process(f"{verb} {root}")
        if ends.get("stdin") == subprocess.DEVNULL:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        return process


class Pipeline:
    """Memory on its way from one process to another, in the kernel; ``moved`` tells how much there has been."""

    def __init__(self, source: int, target: int, rate: float) -> None:
        """Takes the descriptors over."""
        self.moved = 0
        self._ends, self._rate = (source, target), rate
        threading.Thread(target=self._run, name="memory", daemon=True).start()

    def _run(self) -> None:
        source, target = self._ends
        due = time.monotonic()
        try:
            while count := os.splice(source, target, STEP if self._rate else CHUNK):
                self.moved += count
                if self._rate:
                    now = time.monotonic()
                    due = max(due, now) + count / self._rate
                    time.sleep(max(0.0, due - now))
        except OSError:
            pass  # one of them has ended: the dump or the restore says why
        finally:
            os.close(source)
            os.close(target)


class MemoryWay:
    """From a dump to where its memory is taken (``verb``), and the answers back: no step of ours between them."""

    def __init__(self, source: RemoteInside, destination: RemoteInside, verb: str, rate: float) -> None:
        """``rate``: bytes per second; 0: no limit."""
        out, into = source.open("pages"), destination.open()
        into.say(verb)
        out.say("here")
        self._there = Pipeline(out.reader, into.writer, rate)
        Pipeline(into.reader, out.writer, 0.0)
        self._ends = (out, into)
        for channel in self._ends:
            channel.reader = channel.writer = -1  # the pipelines have them now

    @property
    def moved(self) -> int:
        """Bytes that have gone so far."""
        return self._there.moved

    def end(self) -> None:
        """Break it off."""
        for channel in self._ends:
            channel.end()

    def close(self) -> None:
        """Break it off, and give back what it had."""
        for channel in self._ends:
            channel.close()
