"""Services that cannot move, each for a reason of its own; real ones, on the host azure-1."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from umsui.lab.host import run_in
from umsui.lab.topology import Host

PROGRAMS = Path(__file__).parent / "programs"
MEMHOG, REDIS = "localhost/umsui/memhog:1", "localhost/umsui/redis:1"
LISTEN = (
    "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('/srv/out/x.sock'); s.listen(); "
    "kept = s.accept(); time.sleep(1e6)"
)


@dataclass(frozen=True)
class Obstacle:
    """A service that is refused, and by which check."""

    name: str
    check: str
    run: str  # podman's words after ``podman create --name NAME``
    program: str = ""  # to be compiled and put into the container
    words: str = ""  # that the finding must have


UNCONFINED = "--security-opt seccomp=unconfined --entrypoint"  # the usual profile forbids io_uring
OBSTACLES = (
    Obstacle("terminal", "tty", f"--tty {REDIS} sleep 1000", words="terminal"),
    Obstacle("rings", "io-uring", f"{UNCONFINED} /uring {MEMHOG}", "uring", "io_uring"),
    Obstacle("fuse", "devices", f"--device /dev/fuse {REDIS} sh -c 'exec 6<>/dev/fuse; sleep 1000'", words="/dev/fuse"),
    Obstacle("out", "unix-sockets", f"-v /srv/out:/o --entrypoint /connect {MEMHOG} /o/x.sock", "connect", "x.sock"),
    Obstacle("other-user", "rlimits", f"--user 33 {REDIS} sleep 1000", words="user 33"),
    Obstacle("lonely", "network", f"--network only-here {REDIS} sleep 1000", words="only-here"),
    Obstacle("needy", "bind", f"-v /usr/lib:/host-lib:ro {REDIS} sleep 1000", words="/usr/lib"),
)


def compiled(program: str) -> bytes:
    """The program, linked so that it runs anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / program
        subprocess.run(["gcc", "-O2", "-static", "-o", made, PROGRAMS / f"{program}.c"], check=True)
        return made.read_bytes()


def start(host: Host, obstacles: tuple[Obstacle, ...] = OBSTACLES) -> None:
    """Run them all."""
    prepare = "mkdir -p /srv/out && rm -f /srv/out/x.sock; podman network create only-here >/dev/null 2>&1 || true; "
    listen = f'setsid python3 -c "{LISTEN}" </dev/null >/dev/null 2>&1 & echo $! >/srv/out/pid'
    run_in(host, ["sh", "-c", prepare + listen])
    for each in obstacles:
        script = f"podman create --name {each.name} {each.run} >/dev/null"
        text = None
        if each.program:
            text = base64.b64encode(compiled(each.program)).decode()
            script += f" && base64 -d > /tmp/{each.program} && chmod +x /tmp/{each.program}"
            script += f" && podman cp /tmp/{each.program} {each.name}:/{each.program}"
        run_in(host, ["sh", "-c", f"{script} && podman start {each.name} >/dev/null"], stdin=text)


def stop(host: Host) -> None:
    """Remove what they leave behind."""
    run_in(
        host,
        [
            "sh",
            "-c",
            "podman rm -f -a -t 0 >/dev/null; podman network rm only-here >/dev/null 2>&1 || true; "
            "kill $(cat /srv/out/pid) || true; rm -rf /srv/out",
        ],
    )
