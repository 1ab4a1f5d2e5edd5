"""The console in a real pseudo-terminal: SGR mouse sequences, signals, and how little it sends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.terminal import DEMO, Terminal
from umsui.console import usable_terminal

STUB = """
import sys
from umsui import console
from umsui.console import link
from tests.console.fake import FakeFeed
from umsui.console.clock import SystemClock
link.CoordinatorFeed = lambda: FakeFeed(SystemClock())
sys.exit(console.run(mouse="--no-mouse" not in sys.argv))
"""
"""The console as ``umsui`` opens it, on a scripted coordinator."""


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal((*DEMO, "--speed", "2"))
    try:
        yield made
    finally:
        made.close()


def test_drag_with_the_mouse_from_card_to_report(terminal: Terminal) -> None:
    terminal.until(lambda text: "redis" in text)
    x, y = terminal.where("nginx")
    to, _ = terminal.where("azure-lab")
    terminal.mouse(x, y, press=True)
    for step in range(1, 6):
        terminal.mouse(x + (to - x) * step // 5, y + step)
        terminal.read(0.05)
    terminal.until(lambda text: "drop: post-copy" in text)
    terminal.mouse(to, y + 5, release=True)
    terminal.until(lambda text: "13 checks passed" in text and "gcp-lab is protected" in text)
    terminal.send("nginx\r")
    terminal.until(lambda text: "what a client sees" in text)
    terminal.until(lambda text: "✓ committed" in text)
    assert "118 ms" in terminal.text()
    terminal.send("\x1b")
    terminal.until(lambda text: "3.41 s in all" in text)


def test_few_bytes(terminal: Terminal) -> None:
    """A drag step costs at most 1 KB, an idle second at most 100 bytes."""
    terminal.until(lambda text: "redis" in text)
    terminal.settle()
    x, y = terminal.where("redis")
    terminal.mouse(x, y, press=True)
    for step in range(1, 6):
        terminal.mouse(x + 2 * step, y + step)
        terminal.read(0.1)
    terminal.settle()
    costs = []
    for step in range(6):
        terminal.mouse(x + 10 + step, y + 6)
        costs.append(terminal.read(0.12))
    assert max(costs) <= 1000
    terminal.send("\x1b")
    terminal.settle()
    assert terminal.read(5.0) <= 500


def test_the_terminal_closes(terminal: Terminal) -> None:
    """SIGHUP ends the console, at once and without a trace."""
    terminal.until(lambda text: "redis" in text)
    terminal.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 3
    while terminal.process.poll() is None and time.monotonic() < end:
        terminal.read(0.05)
    assert terminal.process.poll() == 0
    assert b"Traceback" not in terminal.raw


def test_suspend_and_back(terminal: Terminal) -> None:
    terminal.until(lambda text: "redis" in text)
    terminal.send("\x1a")
    end = time.monotonic() + 5
    state = ""
    while state != "T" and time.monotonic() < end:
        terminal.read(0.05)
        with open(f"/proc/{terminal.process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            state = file.read().rpartition(")")[2].split()[0]
    assert state == "T"
    terminal.screen.reset()
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.until(lambda text: "redis" in text)
    terminal.send("q")
    end = time.monotonic() + 3
    while terminal.process.poll() is None and time.monotonic() < end:
        terminal.read(0.05)
    assert terminal.process.poll() == 0


def test_no_color_means_none_at_all() -> None:
    """Not one colour is ever named to the terminal, whatever the theme in the config says."""
    made = Terminal((*DEMO, "--speed", "4"), env={"NO_COLOR": "1", "UMSUI_CONSOLE_THEME": "light"})
    try:
        made.until(lambda text: "redis" in text)
        made.send("?")
        made.until(lambda text: "While a card is picked up" in text)
        made.send("\x1b")
        made.until(lambda text: "While a card is picked up" not in text)
        made.send("m")
        made.until(lambda text: "Enter drop" in text)
        made.settle()
        named = {code for found in re.findall(rb"\x1b\[([\d;]*)m", bytes(made.raw)) for code in found.split(b";")}
        assert named <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"39", b"49"}, "39 and 49 are the terminal's own"
    finally:
        made.close()


def test_resize_paints_what_fits(terminal: Terminal) -> None:
    terminal.until(lambda text: "redis" in text and "nginx" in text)
    for size in ((80, 24), (200, 50), (60, 15), (120, 36)):
        terminal.resize(*size)
        terminal.until(lambda text: "AZURE" in text and "camera-hub" in text)
        terminal.settle()
        assert all(len(line) <= size[0] for line in terminal.screen.display)
    terminal.until(lambda text: "redis" in text and "nginx" in text and "ledger" in text)


def test_the_mouse_can_stay_the_terminals(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[console]\nmouse = false\n")
    folders = {f"UMSUI_{name}_DIR": str(tmp_path) for name in ("CONFIG", "DATA", "RUNTIME", "LAB")}
    for extra, wanted in (((), False), (("--no-mouse",), False)):
        made = Terminal((sys.executable, "-c", STUB, *extra), env=folders)
        try:
            made.until(lambda text: "umsui" in text)
            made.settle()
            assert (b"\x1b[?1003h" in made.raw) is wanted
        finally:
            made.close()
        (tmp_path / "config.toml").write_text("")


def test_over_ssh_there_are_fewer_frames_and_no_animation() -> None:
    made = Terminal((sys.executable, "-c", "from umsui import console\nconsole.remote()\n"
                     "from textual import constants\nprint('fps', constants.MAX_FPS, constants.TEXTUAL_ANIMATIONS)\n"
                     "import time; time.sleep(5)"), env={"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})  # fmt: skip
    try:
        made.until(lambda text: "fps 15 none" in text)
    finally:
        made.close()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed (apt-get install tmux)")
def test_drag_under_tmux(tmp_path: Path) -> None:
    """The same drag, with tmux between the console and the terminal: it has its own idea of mouse and keys."""
    wanted = ("mouse on", "set-clipboard on", "default-terminal tmux-256color")
    (tmp_path / "tmux.conf").write_text("".join(f"set -g {each}\n" for each in wanted))
    socket = str(tmp_path / "tmux.sock")
    made = Terminal(("tmux", "-S", socket, "-f", str(tmp_path / "tmux.conf"), "new-session", *DEMO, "--speed", "4"))
    try:
        made.until(lambda text: "redis" in text, 30)
        x, y = made.where("nginx")
        to, _ = made.where("azure-lab")
        made.mouse(x, y, press=True)
        for step in range(1, 6):
            made.mouse(x + (to - x) * step // 5, y + step)
            made.read(0.1)
        made.until(lambda text: "drop: post-copy" in text)
        made.mouse(to, y + 5, release=True)
        made.until(lambda text: "gcp-lab is protected" in text)
        made.send("\x1b")
        made.until(lambda text: "checks passed" not in text)
        made.send("c")
        made.until(lambda text: "Copied" in text)
        assert b"\x1b]52;" in made.raw, "the copy goes through tmux to the terminal"
    finally:
        subprocess.run(["tmux", "-S", socket, "kill-server"], check=False, capture_output=True)
        made.close()


def test_ascii_where_the_locale_is_not_utf8() -> None:
    made = Terminal((*DEMO, "--ascii"))
    try:
        made.until(lambda text: "redis" in text)
        made.settle()
        assert made.text().isascii()
    finally:
        made.close()


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_dumb_terminals_get_no_console(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    assert not usable_terminal()
