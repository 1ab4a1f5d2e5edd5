"""The wire that the coordinator carries: its end at the source."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from umsui.agent import joint
from umsui.agent.host import Folder

REPO = Path(__file__).parents[3]


def program(folder: Folder, name: str, **ends: Any) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pathlib import Path; from umsui.agent import host, joint; "
        f"host.CONTROL = Path({str(folder.control.parent)!r}); "
        f"sys.exit(joint.{name}(host.Folder('abc123', 'source')))"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPO, **ends)


def dialled(folder: Folder) -> socket.socket:
    """What ssh gets from the program that it asks for a connection."""
    mine, theirs = socket.socketpair()
    with mine, theirs, program(folder, "dial", stdin=theirs, stdout=theirs) as dial:
        _, (descriptor,), _, _ = socket.recv_fds(mine, 1, 1)
        assert dial.wait(10) == 0
    return socket.socket(fileno=descriptor)


def test_what_ssh_says_comes_out_and_what_comes_in_is_said_to_it(folder: Folder) -> None:
    with program(folder, "main", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as joined:
        assert joined.stdin is not None
        assert joined.stdout is not None
        joined.stdin.write(b"SSH-2.0-banner\n")  # a server speaks first
        joined.stdin.flush()
        with dialled(folder) as way:
            assert way.recv(100) == b"SSH-2.0-banner\n"
            much = bytes(range(256)) * (1 << 14)
            sender = threading.Thread(target=way.sendall, args=(much,))
            sender.start()
            assert joined.stdout.read(len(much)) == much
            sender.join()
            joined.stdin.close()  # the coordinator is gone: ssh hears it
            assert way.recv(100) == b""
        assert joined.wait(10) == 0


def test_a_coordinator_that_hangs_up_before_ssh_has_called_leaves_nothing(folder: Folder) -> None:
    with program(folder, "main", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as joined:
        assert joined.stdin is not None
        joined.stdin.close()
        assert joined.wait(10) == 1


def test_ssh_is_told_when_nobody_has_joined_the_ends(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint, "DIALLED", 0.1)
    assert joint.dial(folder) == 1
    monkeypatch.setattr(joint, "DIALLED", 100)
    folder.remove()
    assert joint.dial(folder) == 1
