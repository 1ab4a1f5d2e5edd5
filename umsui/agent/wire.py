"""The destination's end of the wire: the only command that a migration's key may run.

sshd starts it for each stream with the wanted program in SSH_ORIGINAL_COMMAND. Streams: ``pages RATE`` (CRIU's page
server), ``images`` (the checkpoint's small files; the last of them starts the restore), ``image`` (the container
image), ``rsync`` (files, into the roots of this migration only).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import List, NoReturn, Optional

from umsui.agent import relay
from umsui.agent.host import Folder, environment

CHUNK = 1 << 20
NOTED_EACH = 0.05  # seconds between two notes of how much has arrived
F_SETPIPE_SZ = 1031  # Linux; the fcntl module names it from Python 3.10 on
SO_SNDBUFFORCE = 32  # Linux; past the limit that is set for users
BUFFER = 4 << 20  # bytes that may be under way in a socket: fewer, larger steps cost less


# Options of rsync's server that read, write or obey something else than the stream and the root.
ELSEWHERE = (
    *("--sender", "--daemon", "--config", "--log-file", "--protect-args", "--secluded-args", "--remote-option"),
    *("--write-batch", "--only-write-batch", "--read-batch", "--backup-dir", "--temp-dir", "--partial-dir"),
)


def fail(words: str) -> NoReturn:
    """Refuse, with words that arrive at the source."""
    raise SystemExit(f"umsui wire: {words}")


def pages(folder: Folder, rate: float) -> int:
    """Run CRIU's page server and pump the connection into it (it wants a socket; sshd gives pipes).

    ``rate`` limits it, in bytes per second (0: no limit); the source feels it through the connection.
    """
    criu = relay.real_criu(str(folder.control / "bin"))
    work = folder.control / "page-server"
    work.mkdir(mode=0o700, exist_ok=True)
    mine, theirs = socket.socketpair()
    mine.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    with contextlib.suppress(OSError):  # standard input may be a socket instead
        fcntl.fcntl(0, F_SETPIPE_SZ, CHUNK)
    number = theirs.fileno()
    argv = [criu, "page-server", "--images-dir", str(folder.images), "--work-dir", str(work), "-o", "page-server.log"]
    server = subprocess.Popen(
        [*argv, "-v2", "--ps-socket", str(number)], env=environment(CRIU_CONFIG_FILE="/dev/null"), pass_fds=[number]
    )
    folder.note(server=server.pid)
    theirs.close()
    threading.Thread(target=_pump, args=(0, mine.fileno(), rate), daemon=True).start()
    while answer := mine.recv(CHUNK):
        os.write(1, answer)
    return server.wait()


def lazy(folder: Folder, rate: float) -> int:
    """Post-copy: CRIU's lazy-pages daemon, which fetches pages over this connection as the service touches them.

    It reads the checkpoint, so it starts when that has arrived; the restore starts when the daemon listens.
    """
    while not (folder.images / "complete").exists():
        if not folder.exists:
            fail("this migration is over")
        time.sleep(0.001)
    bundle = folder.state()["bundle"]
    criu = relay.real_criu(str(folder.control / "bin"))
    mine, theirs = socket.socketpair()
    number = theirs.fileno()
    argv = [criu, "lazy-pages", "--images-dir", str(folder.images), "--work-dir", bundle, "-o", "lazy-pages.log", "-v2"]
    daemon = subprocess.Popen(
        [*argv, "--page-server", "--ps-socket", str(number)],
        env=environment(CRIU_CONFIG_FILE="/dev/null"),
        pass_fds=[number],
    )
    folder.note(server=daemon.pid)
    theirs.close()
    threading.Thread(target=_pump, args=(0, mine.fileno(), rate, folder.control / "arrived"), daemon=True).start()
    threading.Thread(target=_ask, args=(mine,), daemon=True).start()
    code = daemon.wait()
    (folder.control / "fetched").write_text(str(code))
    return code


def _ask(requests: socket.socket) -> None:
    while request := requests.recv(CHUNK):
        os.write(1, request)


def _pump(source: int, target: int, rate: float, arrived: Optional[Path] = None) -> None:
    """Move bytes at ``rate`` per second at most (0: no limit); note in ``arrived`` how many there have been."""
    due = told = 0.0  # when the next chunk may come: time that nobody used is not saved up
    moved = 0
    while chunk := os.read(source, CHUNK):
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
        moved += len(chunk)
        now = time.monotonic()
        if arrived is not None and now - told > NOTED_EACH:
            told = now
            arrived.write_text(str(moved))
        if rate:
            due = max(due, now) + len(chunk) / rate
            time.sleep(due - now)
    socket.socket(fileno=target).shutdown(socket.SHUT_WR)  # the other side sees the end


def images(folder: Folder) -> int:
    """Take the checkpoint's files; when all are here, let the waiting restore begin."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            if not member.isfile() or "/" in member.name or member.name.startswith("."):
                fail(f"{member.name!r} is no checkpoint file")
            source = archive.extractfile(member)
            assert source is not None
            target = folder.images / member.name
            with open(target, "wb") as file:
                file.write(source.read())
    if not (folder.images / "complete").exists():
        fail("the checkpoint ended early")
    if folder.state().get("lazy"):
        wait_for_socket(os.path.join(folder.state()["bundle"], "lazy-pages.socket"), 5.0)
    handle = relay.Handle(folder, 5.0)
    handle.say("start")
    handle.wait("started", timeout=5.0)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    return 0


def wait_for_socket(path: str, timeout: float) -> None:
    """Until there is one at ``path``."""
    end = time.monotonic() + timeout
    while not os.path.exists(path):
        if time.monotonic() > end:
            fail(f"CRIU's lazy-pages daemon did not start within {timeout:g} s")
        time.sleep(0.0005)


def rsync(folder: Folder, words: List[str]) -> NoReturn:
    """Be the receiving rsync, if it writes into a root of this migration."""
    if not may_receive(words, folder.state().get("roots", [])):
        fail("rsync may only write into the roots of this migration")
    os.execvpe("rsync", words, environment())  # noqa: S606 - rsync itself, no shell


def may_receive(words: List[str], roots: List[str]) -> bool:
    """Whether these words make rsync write into one of ``roots`` and nowhere else: no log, no backup."""
    options = words[2:-2]
    short = [option.split("e", 1)[0] for option in options if not option.startswith("--")]  # -e… tells its abilities
    return (
        words[:2] == ["rsync", "--server"]
        and words[-2:-1] == ["."]
        and words[-1] in {f"{root.rstrip('/')}/" for root in roots}
        and all(option.startswith("-") and "/" not in option for option in options)
        and not any(option.startswith(ELSEWHERE) for option in options)
        and not any("s" in option for option in short)  # it would read other words from its input
    )


def main(migration: str) -> int:
    """Run what the source asks for, if it may."""
    folder = Folder(migration, "destination")
    words = shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    if not folder.exists:
        fail("this migration is over")
    if words[:1] == ["pages"] and len(words) == 2:
        return pages(folder, float(words[1]))
    if words[:1] == ["lazy"] and len(words) == 2:
        return lazy(folder, float(words[1]))
    if words == ["images"]:
        return images(folder)
    if words == ["image"]:
        os.execvpe("podman", ["podman", "load", "-q"], environment())  # noqa: S606
    elif words[:1] == ["rsync"]:
        rsync(folder, words)
    fail(f"{words[:1]} is not a stream")
