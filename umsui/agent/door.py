"""Into an outer container: the wire ends on its node, and each stream is handed over to a program in there.

The engine's ``exec`` would lead there, too, but start three programs for each stream, two of which would then pass on
every byte of it. Here the node's end (``knock``) connects to a socket that the program in the container (``main``) has
made, through /proc, and hands it the descriptors that sshd gave it: bytes go straight from sshd to whom they are for.
What runs in the container is what the agent started there: it has the container's rights and no others.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from typing import Any, Mapping

from umsui.agent import wire
from umsui.agent.host import Folder, Trouble, beneath, environment, is_of, spawn

NAME = "door"  # of the program, and of its socket in the migration's folder
LONGEST = 1 << 16  # bytes of the words that are asked for
OPENED = 10.0  # seconds that the program may take to be there
NO_ANSWER = 255  # the exit status where nobody tells one


# -- on the node ----------------------------------------------------------------------------------------------------


def knock(folder: Folder, way: Mapping[str, Any], words: str) -> int:
    """Hand this stream over to a container (its ``id``, its first process ``pid``). Raises Trouble.

    Answers how the program ended that took it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            _connect(connection, f"/proc/{way['pid']}/root", folder)
        except OSError as error:
            raise Trouble("no-door", f"nobody takes the stream in the container: {error}") from error
        if not is_of(way["pid"], way["id"]):
            raise Trouble("no-door", f"process {way['pid']} is not of the container (any more)")
        socket.send_fds(connection, [words.encode()], [0, 1, 2])
        ended = connection.recv(1)
    return ended[0] if ended else NO_ANSWER


def _connect(connection: socket.socket, root: str, folder: Folder) -> None:
    with beneath(root, str(folder.control)) as at:
        target = os.open(NAME, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        if not stat.S_ISSOCK(os.fstat(target).st_mode):
            raise FileNotFoundError(f"{folder.control}/{NAME} is no socket")
        connection.connect(f"/proc/self/fd/{target}")
    finally:
        os.close(target)


# -- in the container -----------------------------------------------------------------------------------------------


def open_up(folder: Folder) -> int:
    """Start the program and wait until it can be spoken to; its process. Raises Trouble."""
    log = folder.control / f"{NAME}.log"
    argv = [sys.executable, "-IS", str(folder.agent), NAME, folder.migration, folder.role]
    started = spawn(argv, log, environment())
    end = time.monotonic() + OPENED
    while not (folder.control / NAME).exists():
        if started.poll() is not None or time.monotonic() > end:
            words = log.read_text(errors="replace").strip()[-400:]
            raise Trouble("no-door", f"what takes the streams in the container did not start: {words}")
        time.sleep(0.002)
    return started.pid


def main(folder: Folder) -> int:
    """Take stream after stream, each in a process of its own, until the migration is over."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fresh = folder.control / f"{NAME}.new"
    fresh.unlink(missing_ok=True)
    listener.bind(str(fresh))
    listener.listen(64)
    fresh.rename(folder.control / NAME)  # whoever sees it may connect
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _take(folder, connection)
        connection.close()


def _take(folder: Folder, connection: socket.socket) -> int:
    """One stream: be its end of the wire, in a process of its own, and tell how that ended."""
    words, descriptors, _, _ = socket.recv_fds(connection, LONGEST, 3)
    if len(descriptors) < 3:  # who knocked has gone
        return 1
    child = os.fork()
    if child == 0:
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ["SSH_ORIGINAL_COMMAND"] = words.decode()
        return wire.main(folder.migration)
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    connection.send(bytes([code if code >= 0 else NO_ANSWER]))
    return 0
