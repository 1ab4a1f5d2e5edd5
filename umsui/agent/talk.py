"""Into a running container, to the socket of umsui's supervisor there.

Also a program of its own, for whoever is on another machine: ``python3 -c <this text> PID NAME CONTAINER`` joins
standard input and output to the socket. An engine's ``exec`` would do the same, but costs the node a tenth of a second
of a processor when it begins, and podman's the same again when it ends, which may be while the service stands still.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import sys

ROOM = ("dev", "shm", ".umsui")  # where its sockets are
CHUNK = 1 << 18


def enter(pid: int, name: str) -> socket.socket:
    """Connect to a socket of the container whose first process is ``pid``. Raises OSError.

    Step by step and following no link: the service could put one there that leads out of the container.
    """
    at = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in ROOM:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    try:
        if not stat.S_ISSOCK(os.fstat(target).st_mode):
            raise FileNotFoundError(f"/{'/'.join(ROOM)}/{name} is no socket")
        end = socket.socket(socket.AF_UNIX)
        end.connect(f"/proc/self/fd/{target}")
    finally:
        os.close(target)
    return end


def join(end: socket.socket) -> None:
    """Standard input to it, and what it says to standard output, until it ends."""
    waits = [0, end.fileno()]
    while True:
        for ready in select.select(waits, [], [])[0]:
            data = os.read(ready, CHUNK)
            if ready == 0 and not _passed_on(end, data):
                waits.remove(0)
            elif ready != 0 and not data:
                return
            elif ready != 0:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()


def _passed_on(end: socket.socket, data: bytes) -> bool:
    """False at the end of the input, and when the other side takes no more of it: it may still say why."""
    with contextlib.suppress(OSError):
        if data:
            end.sendall(data)
            return True
        end.shutdown(socket.SHUT_WR)
    return False


def main(pid: int, name: str, container: str) -> None:
    """Join them. Ends with what is wrong."""
    try:
        end = enter(pid, name)
        with open(f"/proc/{pid}/cgroup") as groups:  # numbers are used again
            if container not in groups.read():
                sys.exit(f"process {pid} is not of the container {container} (any more)")
    except OSError as error:
        sys.exit(f"umsui does not listen in the container {container} ({error})")
    join(end)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
