"""A real pseudo-terminal with a console in it: what is sent there is counted, and shown as a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-m", "tests.console.demo")


class Terminal:
    """Starts a command in a pseudo-terminal of its own session."""

    def __init__(
        self, command: tuple[str, ...] = DEMO, size: tuple[int, int] = (120, 36), env: dict[str, str] | None = None
    ) -> None:
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.received = 0
        self.raw = bytearray()
        self.started = time.monotonic()
        self.first_paint: float | None = None
        surroundings = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "SSH_CONNECTION")}
        surroundings |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", **(env or {})}
        self.fd, worker = pty.openpty()
        fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.process = subprocess.Popen(
            command, stdin=worker, stdout=worker, stderr=worker, env=surroundings, cwd=ROOT, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  (no threads here)
        )  # fmt: skip
        os.close(worker)

    def read(self, seconds: float) -> int:
        """Take in what comes for a while; how many bytes that were."""
        end, before = time.monotonic() + seconds, self.received
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self._take(data)
        return self.received - before

    def _take(self, data: bytes) -> None:
        self.received += len(data)
        self.raw += data
        self._answer(data)
        self._stream.feed(data.replace(b"\x1b[>", b"\x1b["))
        if self.first_paint is None and "umsui" in self.text():
            self.first_paint = time.monotonic() - self.started

    def _answer(self, data: bytes) -> None:
        """Terminals answer questions; without the answer to ?2026 there are no synchronized updates."""
        if b"\x1b[?2026$p" in data:
            self.send("\x1b[?2026;2$y")

    def text(self) -> str:
        """What is on screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, fits: Callable[[str], bool], seconds: float = 15.0) -> None:
        """Read until the screen fits."""
        end = time.monotonic() + seconds
        while not fits(self.text()):
            if time.monotonic() > end:
                raise AssertionError(f"never came:\n{self.text()}")
            self.read(0.05)

    def reaction(self, text: str, patience: float = 1.0) -> float | None:
        """Seconds from typing to the end of the update that follows; None where nothing is painted."""
        begin, data = time.monotonic(), bytearray()
        self.send(text)
        while time.monotonic() - begin < patience:
            if select.select([self.fd], [], [], 0.05)[0]:
                data += os.read(self.fd, 65536)
            if b"\x1b[?2026l" in data:
                took = time.monotonic() - begin
                self._take(bytes(data))  # afterwards: what reading costs here is not the console's
                return took
        self._take(bytes(data))
        return None

    def settle(self, quiet: float = 0.3) -> None:
        """Read until nothing comes any more (a clock's tick apart)."""
        while self.read(quiet) > 200:
            pass

    def resize(self, width: int, height: int) -> None:
        """The window has another size."""
        self.screen.resize(height, width)
        self.screen.reset()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def send(self, text: str) -> None:
        """Type."""
        os.write(self.fd, text.encode())

    def mouse(self, x: int, y: int, *, press: bool = False, release: bool = False) -> None:
        """An SGR mouse sequence; neither press nor release is a move with the button held."""
        code = 0 if press or release else 32
        self.send(f"\x1b[<{code};{x + 1};{y + 1}{'m' if release else 'M'}")

    def where(self, text: str) -> tuple[int, int]:
        """The cell at which a text begins."""
        for y, line in enumerate(self.screen.display):
            if text in line:
                return line.index(text), y
        raise AssertionError(f"not on screen: {text}")

    def close(self) -> int | None:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        code = self.process.wait(5)
        os.close(self.fd)
        return code
