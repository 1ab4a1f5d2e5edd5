"""Images with umsui inside: the supervisor as a program of its own, names, and errors that say what to do."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from umsui.adapters import Completed
from umsui.errors import BadInput, CommandFailed
from umsui.inside import build

PT_INTERP = 3
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The supervisor."""
    program = tmp_path_factory.mktemp("inside") / "init"
    program.write_bytes(build.supervisor())
    program.chmod(0o755)
    return program


@needs_gcc
def test_it_is_static_and_made_once() -> None:
    assert build.supervisor()[:4] == b"\x7fELF"
    offset, size, count = struct.unpack_from("<Q14xHH", build.supervisor(), 32)
    kinds = [struct.unpack_from("<I", build.supervisor(), offset + size * number)[0] for number in range(count)]
    assert PT_INTERP not in kinds  # no loader: a base without a C library will do


@needs_gcc
@pytest.mark.parametrize("command", [["true"], ["sh", "-c", "exit 7"], ["/no/such"]])
def test_beside_another_first_process_it_steps_aside(init: Path, command: list[str]) -> None:
    """Then the command runs as if it were not there, and its exit code is the command's."""
    done = subprocess.run([init, *command], capture_output=True, check=False, timeout=20)
    assert done.returncode == {"true": 0, "sh": 7, "/no/such": 127}[command[0]]


@needs_gcc
def test_as_first_process_it_ends_as_the_service_does(init: Path) -> None:
    """Signals are passed on; orphans are the service's own; its number is past those that umsui itself takes."""
    script = 'trap "exit 9" TERM; (sleep 0.1 & exec true); echo $$; kill -TERM 1; for i in 1 2 3 4 5; do sleep 1; done'
    own = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'  # where its socket is
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", own, "sh"]
    argv += [str(init), "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    if "not permitted" in done.stderr:
        pytest.skip("needs a PID namespace of its own")
    assert done.returncode == 9
    assert int(done.stdout) >= 300


def test_names() -> None:
    assert build.default_tag("nginx:1.27") == "nginx:1.27-umsui"
    assert build.default_tag("host:5000/nginx") == "host:5000/nginx:umsui"
    with pytest.raises(BadInput):
        build.default_tag("nginx@sha256:abc")


def test_what_went_wrong_is_told() -> None:
    def answers(words: str) -> build.Run:
        def run(argv: Sequence[str], stdin: bytes) -> Completed:
            return Completed(0, words.encode(), b"python3: not found")

        return run

    error = {"code": "no-criu", "message": "criu is not installed here", "fix": "apt install criu"}
    with pytest.raises(CommandFailed, match="criu is not installed"):
        build.build(answers(json.dumps({"error": error})), "podman", "base", "tag")
    with pytest.raises(CommandFailed, match="python3: not found"):
        build.build(answers(""), "podman", "base", "tag")
    made = build.build(answers(json.dumps({"image": "tag", "id": "abc", "bytes": 5})), "podman", "base", "tag")
    assert (made.image, made.id, made.bytes) == ("tag", "abc", 5)
