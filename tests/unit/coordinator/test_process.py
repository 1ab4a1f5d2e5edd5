"""The coordinator as a process: real starts, in folders of their own."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import waiting_for
from umsui import locations
from umsui.coordinator import client as client_module
from umsui.coordinator.client import Client, ensure_running
from umsui.errors import BadInput, Unreachable
from umsui.model import Exit


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("CONFIG", "DATA", "RUNTIME", "LAB"):
        monkeypatch.setenv(f"UMSUI_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.delenv("UMSUI_CONFIG", raising=False)
    monkeypatch.delenv("UMSUI_LAB_INSTANCE", raising=False)
    yield tmp_path
    pid_file = locations.coordinator_pid_file()
    if pid_file.exists():
        end(int(pid_file.read_text()))


def start() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "umsui.coordinator"], text=True, stderr=subprocess.PIPE)


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_one_life(folders: Path, record_property: pytest.RecordProperty) -> None:
    path = locations.coordinator_socket()
    path.parent.mkdir()
    left = socket.socket(socket.AF_UNIX)  # as a coordinator that was killed leaves it
    left.bind(str(path))
    left.close()
    began = time.monotonic()
    first, second = start(), start()
    waiting_for(lambda: client_module._answers(path), 20)
    info = Client().info()
    print(f"\ncoordinator: first answer after {time.monotonic() - began:.2f} s (two starts at once)", end=", ")
    status = Path(f"/proc/{info['pid']}/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmRSS")).replace("\t", ""))

    winner, loser = (first, second) if first.pid == info["pid"] else (second, first)
    assert winner.pid == info["pid"] == int(locations.coordinator_pid_file().read_text())
    assert loser.wait(10) == 0
    assert winner.poll() is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0 or path.parent.stat().st_uid == os.getuid()
    assert Client().board() == []

    watcher = socket.socket(socket.AF_UNIX)
    watcher.connect(str(path))
    watcher.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: umsui\r\n\r\n")
    assert watcher.recv(12) == b"HTTP/1.1 200"
    began = time.monotonic()
    winner.terminate()
    assert winner.wait(10) == 0
    print(f"coordinator: ended {time.monotonic() - began:.2f} s after SIGTERM, with a console watching")
    assert time.monotonic() - began < 5
    assert not path.exists()
    assert not locations.coordinator_pid_file().exists()
    watcher.close()


def test_started_on_demand_and_again_while_the_last_one_ends(folders: Path) -> None:
    ensure_running()
    pid = Client().info()["pid"]
    ensure_running()
    assert Client().info()["pid"] == pid
    Client().shutdown()
    waiting_for(lambda: not locations.coordinator_socket().exists())
    ensure_running()  # the first one has not let go of its lock yet
    assert Client().info()["pid"] != pid


def test_a_bad_config_is_told(folders: Path) -> None:
    (folders / "config").mkdir()
    (folders / "config" / "config.toml").write_text("clusterz = 1\n")
    process = start()
    _, words = process.communicate(timeout=20)
    assert process.returncode == Exit.USAGE.value
    assert "config.toml:1: unknown key `clusterz`" in words
    assert "Traceback" not in words


def test_a_start_that_fails_is_told(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unreachable, match="did not start") as caught:
        ensure_running()
    assert "coordinator.log" in caught.value.fix


def test_a_bad_config_is_told_to_who_needs_a_coordinator(folders: Path) -> None:
    (folders / "config").mkdir()
    (folders / "config" / "config.toml").write_text("clusterz = 1\n")
    with pytest.raises(BadInput, match=r"config\.toml:1: unknown key `clusterz`") as caught:
        ensure_running()
    assert caught.value.exit is Exit.USAGE
    assert caught.value.fix


def test_one_that_hangs_is_told(folders: Path) -> None:
    process = start()
    waiting_for(lambda: client_module._answers(locations.coordinator_socket()), 20)
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="hangs"):
        ensure_running(0.3)
    assert time.monotonic() - began < 2
    process.kill()
    process.wait()


def test_after_a_kill_another_one_is_started_at_once(folders: Path) -> None:
    """The socket of one that was just killed still accepts connections for a moment."""
    ensure_running()
    for _ in range(3):
        os.kill(Client().info()["pid"], signal.SIGKILL)
        ensure_running()
        assert Client().board() == []


def test_the_log_does_not_grow_for_ever(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LOG_LIMIT", 10)
    log = folders / "data" / "coordinator.log"
    log.parent.mkdir()
    log.write_text("an old line, long enough\n")
    ensure_running()
    assert (folders / "data" / "coordinator.log.1").read_text() == "an old line, long enough\n"


def test_a_console_pays_for_no_http_library() -> None:
    code = "import sys, umsui.coordinator.client; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout.split()
    assert not {"asyncio", "httpx", "pydantic", "fastapi", "dbos", "paramiko"} & set(found)
