"""The console in a real pseudo-terminal: SGR mouse sequences, signals, and how little it sends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.console.terminal import DEMO, Terminal
from umsui.console import usable_terminal


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
