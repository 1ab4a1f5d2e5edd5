"""A stream that is handed over into a container, between real processes; this machine stands for the container."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import waiting_for
from umsui.agent import door
from umsui.agent.host import Folder, Trouble

REPO = Path(__file__).parents[3]

SHARED = """
import os, sys
sys.path.insert(0, {repo!r})
from pathlib import Path
from umsui.agent import door, host, wire
host.CONTROL, host.IMAGES = Path({run!r}), Path({shm!r})
folder = host.Folder("abc123", "source")
"""

# Takes streams with programs of this test's own.
INSIDE = """
def stream(migration):
    words = os.environ["SSH_ORIGINAL_COMMAND"]
    print(migration, words, "complains", file=sys.stderr, flush=True)
    if words == "killed": os.kill(os.getpid(), 9)
    if words == "refused": raise SystemExit("umsui wire: it may not")
    if words == "another program": os.execvp("cat", ["cat"])
    while data := os.read(0, 1 << 16): os.write(1, data.upper())
    return 7
wire.main = stream
sys.exit(door.main(folder))
"""

NODE = "sys.exit(door.knock(folder, {'pid': %d, 'id': ''}, sys.argv[1]))"


def program(folder: Folder, script: str) -> list[str]:
    shared = SHARED.format(repo=str(REPO), run=str(folder.control.parent), shm=str(folder.images.parent))
    return [sys.executable, "-c", shared + script]


@pytest.fixture
def inside(folder: Folder) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(program(folder, INSIDE)) as process:
        waiting_for((folder.control / door.NAME).exists)
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("words", "out", "status"),
    [
        ("memory", b"SOME BYTES" * 10_000, 7),
        ("another program", b"some bytes" * 10_000, 0),
        ("killed", b"", 255),
        ("refused", b"", 1),
    ],
)
def test_bytes_words_and_status_go_through(
    inside: subprocess.Popen[bytes], folder: Folder, words: str, out: bytes, status: int
) -> None:
    argv = [*program(folder, NODE % os.getpid()), words]
    done = subprocess.run(argv, input=b"some bytes" * 10_000, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (status, out), done.stderr
    assert f"abc123 {words} complains" in done.stderr.decode()
    assert (b"it may not" in done.stderr) is (words == "refused")


def test_many_at_once_and_nothing_is_left_of_them(inside: subprocess.Popen[bytes], folder: Folder) -> None:
    argv = program(folder, NODE % os.getpid())
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    streams = [subprocess.Popen([*argv, f"stream {number}"], **pipes) for number in range(5)]
    for number, stream in enumerate(reversed(streams)):
        assert stream.communicate(f"text {number}".encode(), timeout=20)[0] == f"TEXT {number}".encode()
        assert stream.returncode == 7
    children = Path(f"/proc/{inside.pid}/task/{inside.pid}/children")
    waiting_for(lambda: children.read_text() == "")


def test_a_way_that_leads_nowhere_or_elsewhere_is_no_way(
    inside: subprocess.Popen[bytes], folder: Folder, tmp_path: Path
) -> None:
    with pytest.raises(Trouble, match="not of the container"):
        door.knock(folder, {"pid": os.getpid(), "id": "0123456789abcdef"}, "memory")
    socket = folder.control / door.NAME
    socket.rename(tmp_path / "door")
    socket.symlink_to(tmp_path / "door")  # a link in there could lead out of it
    with pytest.raises(Trouble, match="nobody takes the stream"):
        door.knock(folder, {"pid": os.getpid(), "id": ""}, "memory")
    socket.unlink()
    socket.write_text("no socket")
    with pytest.raises(Trouble, match="no socket"):
        door.knock(folder, {"pid": os.getpid(), "id": ""}, "memory")
    with pytest.raises(Trouble, match="nobody takes the stream"):
        door.knock(folder, {"pid": 1 << 22, "id": ""}, "memory")
