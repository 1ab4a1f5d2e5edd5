"""The destination's end of the wire: the only command that a migration's key may run.

sshd starts it for each stream with the wanted program in SSH_ORIGINAL_COMMAND. Streams: ``pages RATE`` (CRIU's page
server), ``memory`` (the page stream, for the pager), ``images`` (the checkpoint's small files; the last of them starts
the restore), ``image`` (the container image), ``log`` (of the service, as it is before the freeze), ``rsync`` (files,
into the roots of this migration only).
Each imports only what it needs (see ``umsui.agent.main``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import List, NoReturn

from umsui.agent.host import Folder, Trouble, environment, private_folder, started, widen

CHUNK = 1 << 20
NOTE = "wire."  # and a process number: a file that tells when the process was started
SWITCH = 120.0  # seconds that the service may stand still
F_SETPIPE_SZ = 1031  # Linux; the fcntl module names it from Python 3.10 on
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
    from umsui.agent import relay

    criu = relay.real_criu()
    work = folder.control / "page-server"
    work.mkdir(mode=0o700, exist_ok=True)
    mine, theirs = socket.socketpair()
    widen(mine, BUFFER)
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


def _pump(source: int, target: int, rate: float) -> None:
    """Move bytes at ``rate`` per second at most (0: no limit)."""
    due = 0.0  # when the next chunk may come: time that nobody used is not saved up
    while chunk := os.read(source, CHUNK):
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
        if rate:
            now = time.monotonic()
            due = max(due, now) + len(chunk) / rate
            time.sleep(due - now)
    socket.socket(fileno=target).shutdown(socket.SHUT_WR)  # the other side sees the end


def images(folder: Folder) -> int:
    """Take the checkpoint's files; when all are here, let the waiting restore begin."""
    import tarfile

    from umsui.agent import extras, paging, relay

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            if not member.isfile() or "/" in member.name or member.name.startswith("."):
                fail(f"{member.name!r} is no checkpoint file")
            source = archive.extractfile(member)
            assert source is not None
            if extras.put(folder, member, source):
                continue
            target = folder.images / member.name
            with open(target, "wb") as file:
                file.write(source.read())
    if not (folder.images / "complete").exists():
        fail("the checkpoint ended early")
    if folder.state().get("lazy"):
        ready = paging.wait_until_ready(folder, SWITCH)
        if not ready:
            fail("the pager could not get ready: " + (folder.control / "pager.log").read_text()[-400:])
    handle = relay.Handle(folder, 5.0)
    handle.say("start")
    handle.wait("started", timeout=5.0)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    return 0


def image(folder: Folder) -> int:
    """Take a container image that comes without the layers that are here."""
    from umsui.agent import engines

    work = private_folder(folder.spool)
    try:
        engines.of(folder).take(sys.stdin.buffer, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


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


def end_all(folder: Folder) -> None:
    """End the streams whose source was cut off: sshd would keep them for hours."""
    for note in folder.control.glob(f"{NOTE}*"):
        pid = int(note.name[len(NOTE) :])
        if note.read_text() == str(started(pid)):
            os.kill(pid, signal.SIGKILL)


def main(migration: str) -> int:
    """Run what the source asks for, if it may."""
    try:
        return run(migration)
    except Trouble as trouble:
        fail(trouble.message)


def run(migration: str) -> int:
    """One stream; its words are checked first. Raises Trouble."""
    folder = Folder(migration, "destination")
    words = shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    if not folder.exists:
        fail("this migration is over")
    way = folder.state().get("inside")
    if way:
        from umsui.agent import door

        return door.knock(folder, way, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    (folder.control / f"{NOTE}{os.getpid()}").write_text(str(started(os.getpid())))
    if words[:1] == ["pages"] and len(words) == 2:
        return pages(folder, float(words[1]))
    if words == ["memory"]:
        from umsui.agent import paging

        return paging.hand_over_stream(folder)
    if words == ["images"]:
        return images(folder)
    if words == ["image"]:
        return image(folder)
    if words == ["log"]:
        from umsui.agent import extras

        extras.append(folder, sys.stdin.buffer)
        return 0
    if words[:1] == ["inside"]:
        from umsui.agent import inside

        inside.serve(folder, words[1:])
    if words[:1] == ["rsync"]:
        rsync(folder, words)
    fail(f"{words[:1]} is not a stream")
