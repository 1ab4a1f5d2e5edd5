"""A console in a real pseudo-terminal: keys and SGR mouse sequences in, the screen as text out."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import pexpect
import pyte

PATIENCE = 30.0


class Terminal:
    """``umsui`` at 120x36 in a pseudo-terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.screen = pyte.Screen(120, 36)
        self._stream = pyte.ByteStream(self.screen)
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLORTERM": "truecolor"}
        environment.pop("NO_COLOR", None)
        self.process = pexpect.spawn(
            sys.executable, ["-m", "umsui", *arguments], dimensions=(36, 120), env=environment, timeout=PATIENCE
        )

    def pump(self, seconds: float = 0.1) -> None:
        """Take what the console draws within ``seconds``."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self._stream.feed(self.process.read_nonblocking(65536, timeout=left))
            except pexpect.TIMEOUT:
                return
            except pexpect.EOF:
                return

    @property
    def text(self) -> str:
        """The screen, a line a row."""
        return "\n".join(self.screen.display)

    def wait(self, what: str | Callable[[str], bool], patience: float = PATIENCE) -> None:
        """Until the screen shows it; fails with the screen as it is."""
        shows = what if callable(what) else lambda text: what in text
        end = time.monotonic() + patience
        while not shows(self.text):
            assert time.monotonic() < end, f"never saw {what!r} on:\n{self.text}"
            self.pump()

    def find(self, what: str, left: int = 0) -> tuple[int, int]:
        """Column and row (from 1) of the first ``what`` that is right of ``left``."""
        for row, line in enumerate(self.screen.display):
            column = line.find(what, left)
            if column >= 0:
                return column + 1, row + 1
        raise AssertionError(f"no {what!r} on:\n{self.text}")

    def keys(self, text: str) -> None:
        """Type."""
        self.process.send(text)

    def drag(self, start: tuple[int, int], end: tuple[int, int], steps: int = 8) -> None:
        """Press the left button at ``start``, move to ``end``, release."""
        (x0, y0), (x1, y1) = start, end
        self.process.send(f"\x1b[<0;{x0};{y0}M")
        for step in range(1, steps + 1):
            x, y = x0 + (x1 - x0) * step // steps, y0 + (y1 - y0) * step // steps
            self.process.send(f"\x1b[<32;{x};{y}M")
            self.pump(0.05)
        self.process.send(f"\x1b[<0;{x1};{y1}m")

    def end(self, how: int = signal.SIGKILL) -> None:
        """Send the console a signal (by default one that it cannot catch) and see it off."""
        if self.process.isalive():
            self.process.kill(how)
        self.process.close(force=True)
