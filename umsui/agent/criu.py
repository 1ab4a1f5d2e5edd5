"""CRIU, as both ends need to know it: its options, its limits, its words, and the relay that stands before it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from umsui.agent import relay
from umsui.agent.host import Folder, Trouble

OPTIONS = [
    "tcp-close",  # established connections are closed: their clients connect again, to the new place
    "skip-in-flight",
    "file-locks",
    "link-remap",
    "ghost-limit 1073741824",  # bytes of a deleted but still open file that go into the images
    "network-lock skip",  # all its processes are frozen: nobody is there to answer a packet
]
PIPE_LIMIT = 1 << 30  # bytes; fs.pipe-max-size while lazy pages are served


def words(log: Path) -> str:
    """The errors in a CRIU log; what they mean is in their own words."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return f"no log at {log}"
    errors = [line.split("Error ", 1)[1] for line in lines if "Error " in line and "RLIMIT_NOFILE" not in line]
    return "; ".join(errors[:4]) or "(no error in its log)"


def wait_for_relay(
    folder: Folder, process: "subprocess.Popen[bytes]", log: Path, timeout: float = 60.0
) -> relay.Handle:
    """Connect to the relay as soon as the runtime has reached it. Raises Trouble when the runtime ends before."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            return relay.Handle(folder, timeout)
        except (FileNotFoundError, ConnectionError):  # not there yet, or just ended
            if process.poll() is not None:
                raise Trouble("not-armed", log.read_text(errors="replace").strip()[-600:] or "it ended") from None
            time.sleep(0.005)
    raise Trouble("not-armed", f"the runtime did not call criu within {timeout:g} s")


def raise_pipe_limit() -> None:
    """CRIU keeps lazy pages in pipes as large as they come; without CAP_SYS_RESOURCE the node's limit stops it."""
    limit = Path("/proc/sys/fs/pipe-max-size")
    if int(limit.read_text()) < PIPE_LIMIT:
        limit.write_text(str(PIPE_LIMIT))
