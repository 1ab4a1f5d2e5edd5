"""What a service is doing, read from this machine's own /proc."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from umsui.adapters import Completed
from umsui.errors import CommandFailed
from umsui.interface import vitals


class Here:
    """This machine as a node."""

    address = "here"

    def __init__(self, replace: tuple[str, str] = ("", "")) -> None:
        self.replace = replace

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        script = stdin.decode().replace(*self.replace) if self.replace[0] else stdin.decode()
        done = subprocess.run(list(argv), input=script.encode(), capture_output=True, timeout=timeout, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)


OURS = ('pids=$(grep -lsF "$id" /proc/[0-9]*/cgroup | head -n 256 | sed', 'pids=$(echo "/proc/$id/cgroup" | sed')
"""In place of a container's cgroup: the process itself."""


def test_a_process_its_sockets_and_its_volumes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            found = vitals.observe(Here(OURS), str(os.getpid()), [str(tmp_path)])  # type: ignore[arg-type]
            local = client.getsockname()[1]
    [process] = found.processes
    assert process.pid == os.getpid()
    assert process.memory > 1 << 20
    assert process.cpu > 0
    assert "python" in process.command or "pytest" in process.command
    told = {(each.protocol, each.state, each.local, each.remote) for each in found.sockets}
    assert ("tcp", "LISTEN", f"127.0.0.1:{port}", "") in told
    assert ("tcp", "ESTABLISHED", f"127.0.0.1:{local}", f"127.0.0.1:{port}") in told
    [volume] = found.volumes
    assert volume.path == str(tmp_path)
    assert volume.bytes is not None
    assert volume.bytes >= 100_000


def test_a_container_that_is_not_there_has_nothing() -> None:
    found = vitals.observe(Here(), "f" * 64)  # type: ignore[arg-type]
    assert found.processes == ()
    assert found.sockets == ()


def test_a_node_that_does_not_tell() -> None:
    with pytest.raises(CommandFailed, match="did not tell"):
        vitals.observe(Here(("part end", "exit 3")), "f" * 64)  # type: ignore[arg-type]
