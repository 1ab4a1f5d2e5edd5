"""The main job, as an operator does it: in a terminal, with the mouse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.terminal import Terminal

pytestmark = pytest.mark.lab


@pytest.fixture
def terminals(fresh_lab: RunningLab) -> Iterator[list[Terminal]]:
    """Consoles that a test opens; they and their coordinator end with it."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.end()
    umsui("coordinator", "stop", "--force")


def umsui(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    return subprocess.run([sys.executable, "-m", "umsui", *arguments], capture_output=True, text=True, check=False)


def ask(lab: RunningLab, host: str, path: str = "/") -> dict[str, Any]:
    """What memhog answers on a host."""
    with urllib.request.urlopen(f"http://{lab.host(host).address}:8000{path}", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def last_outcome(patience: float = 60.0) -> str:
    """How the newest migration ended."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = json.loads(umsui("migrations", "last", "--json").stdout)
        if found["outcome"]:
            return str(found["outcome"])
        time.sleep(0.2)
    raise AssertionError("it never ended")


def start_by_key(terminal: Terminal) -> None:
    """Pick memhog up, carry it to the next column, drop it, start."""
    terminal.wait(lambda text: re.search(r"memhog +\S up", text) is not None)  # its card, not the last migration's line
    if "▌memhog" not in terminal.text:  # another card, perhaps of another column, was there first and has the cursor
        terminal.keys("/memhog\r")
        terminal.wait("▌memhog")
    terminal.keys("m")
    terminal.wait("drop")
    terminal.keys("\r")
    terminal.wait("predicted")
    terminal.keys("\r")


def test_drag_with_the_mouse(fresh_lab: RunningLab, terminals: list[Terminal]) -> None:
    before = ask(fresh_lab, "azure-1")
    console = Terminal()
    terminals.append(console)
    console.wait(lambda text: "memhog" in text and text.count("● live") == 3)
    console.drag(console.find("memhog"), (console.find("gcp-lab")[0] + 4, console.find("memhog")[1]))
    console.wait("predicted")
    assert "azure-lab → gcp-lab" in console.text
    console.keys("\r")
    console.wait("committed", 60)
    after = ask(fresh_lab, "gcp-1")
    assert after["nonce"] == before["nonce"]
    assert after["count"] > before["count"]
    assert ask(fresh_lab, "gcp-1", "/checksum")["ok"] is True
    assert "memhog" not in fresh_lab.run("azure-1", "podman", "ps", "-a", "--format", "{{.Names}}")


def test_release_outside_puts_it_back(fresh_lab: RunningLab, terminals: list[Terminal]) -> None:
    console = Terminal()
    terminals.append(console)
    console.wait("memhog")
    before = umsui("migrations", "--json").stdout
    console.drag(console.find("memhog"), (60, 1))
    console.pump(1.0)
    assert "Move memhog" not in console.text
    assert umsui("migrations", "--json").stdout == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP], ids=["kill -9", "hang up"])
def test_the_migration_outlives_its_console(
    fresh_lab: RunningLab, terminals: list[Terminal], how: signal.Signals
) -> None:
    before = ask(fresh_lab, "azure-1")
    console = Terminal()
    terminals.append(console)
    start_by_key(console)
    console.wait("phases")
    console.end(how)
    assert last_outcome() == "committed"
    place = next(host for host in ("gcp-1", "onprem-1") if "memhog" in fresh_lab.run(host, "podman", "ps"))
    assert ask(fresh_lab, place)["nonce"] == before["nonce"]


def test_a_second_console_sees_the_same(fresh_lab: RunningLab, terminals: list[Terminal]) -> None:
    first, second = Terminal(), Terminal()
    terminals += [first, second]
    second.wait("memhog")
    start_by_key(first)
    second.wait(lambda text: "⇄" in text or "moving" in text.lower())
    first.wait("committed", 60)
    second.wait("committed", 20)


def test_a_shell_in_a_service_and_back(fresh_lab: RunningLab, terminals: list[Terminal]) -> None:
    """The console steps aside for the shell, whose words are the container's own, and is there again after it."""
    console = Terminal()
    terminals.append(console)
    console.wait(lambda text: re.search(r"redis +\S up", text) is not None)
    console.keys("/redis\rl")
    console.wait("azure-lab/redis")
    console.keys("s")
    # Where the cursor is then differs, and with it where the line is broken.
    console.wait(lambda text: "inazure-lab/redis;exitreturnstotheconsole" in re.sub(r"\s", "", text))
    console.keys("echo $((6 * 7)) in $(cat /proc/1/comm)\r")
    console.wait("42 in redis-server")
    console.keys("exit\r")
    console.wait(lambda text: "42 in" not in text and "Esc board" in text)
    console.keys("\x1b\x1b")  # the board, and without its filter
    console.wait(lambda text: "/ filter" in text and "memhog" in text)
