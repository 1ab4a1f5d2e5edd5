"""What others say to the destination's pager, a program of its own, over its socket; and what they see of it."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Callable

from umsui.agent import pages
from umsui.agent.host import Folder, Trouble
from umsui.agent.pages import Frame

STARTS = 10.0  # seconds that it may take to be there


def fetched(folder: Folder) -> str:
    """How the pager has ended: "" not yet, "0" well, else why not."""
    with contextlib.suppress(FileNotFoundError):
        return (folder.control / "fetched").read_text()
    return ""


def wait_until_there(folder: Folder, alive: Callable[[], bool] = lambda: True) -> bool:
    """Until it can be spoken to; False when it is not ``alive`` any more, or takes too long."""
    end = time.monotonic() + STARTS
    while not (folder.control / "pager").exists():
        if not alive() or time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def hand_over_stream(folder: Folder) -> int:
    """Be the channel that the page stream comes through, until the pager has had enough of it. Raises Trouble."""
    if fetched(folder) == "0":  # it had all of it, and the stream that it said so on was cut
        pages.write_all(1, Frame(pages.WHOLE).packed())
        return 0
    wait_until_there(folder)  # it is being started meanwhile
    with _connect(folder) as pager:
        socket.send_fds(pager, [b"stream"], [0, 1])
        pager.recv(1)
    return 0


def wait_until_ready(folder: Folder, timeout: float) -> bool:
    """Tell the pager that the checkpoint is here; whether the restore may begin. Raises Trouble, OSError."""
    with _connect(folder) as pager:
        pager.settimeout(timeout)
        pager.send(b"images")
        return pager.recv(16) == b"listening"


def _connect(folder: Folder) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(folder.control / "pager"))
    except OSError as error:
        raise Trouble("no-pager", "the pager has ended") from error
    return connection
