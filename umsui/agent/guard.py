"""The source's guard: no service stays frozen because someone died.

A process of its own, started before the freeze, holding one end of a pipe. When the agent dies (the pipe closes) and
the source has not voted to commit, the guard waits for a running dump to end (killing CRIU in the middle of one would
leave its parasite code in the service) and thaws the service. A source that has voted stays as it is: only the
coordinator's decision may end that.
"""

from __future__ import annotations

import os

from umsui.agent.host import Cgroup, Folder, alive, wait_gone

DUMP_ENDS = 600.0  # seconds; a dump of hundreds of GiB


def thaw_unless_voted(folder: Folder) -> bool:
    """Give up the migration at the source, if that is still its own to decide; False when it has voted."""
    state = folder.state()
    if state.get("voted"):
        return False
    folder.note(abandoned=True)
    dump = state.get("dump")
    if dump and alive(dump):
        wait_gone(dump, DUMP_ENDS)
    if alive(state["pid"]):
        Cgroup(state["pid"]).thaw()
    return True


def main(folder: Folder) -> int:
    """Wait for the agent's end or its word ``done``."""
    if os.read(0, 4) == b"done":
        return 0
    thaw_unless_voted(folder)
    return 0
