"""The source's guard: no service stays frozen because someone died.

A process of its own, started before the freeze, holding one end of a pipe. When the agent dies (the pipe closes) and
the source has not voted to commit, the guard waits for a running dump to end (killing CRIU in the middle of one would
leave its parasite code in the service) and thaws the service. A source that has voted stays as it is: only the
coordinator's decision may end that.
"""

from __future__ import annotations

import os

from umsui.agent import engines, relay
from umsui.agent.host import Folder, Trouble, alive, wait_gone

DUMP_ENDS = 600.0  # seconds; a dump of hundreds of GiB


def thaw_unless_voted(folder: Folder) -> bool:
    """Give up the migration at the source, if that is still its own to decide; False when it has voted."""
    state = folder.state()
    if state.get("voted"):
        return False
    folder.note(abandoned=True)
    stop_dump(folder)
    if alive(state["pid"]):
        engines.of(folder).thaw(state["pid"])
    return True


def stop_dump(folder: Folder) -> None:
    """End a dump that has not begun, or is over and withheld; wait for one that goes on. Raises Trouble."""
    state = folder.state()
    dump = state.get("dump")
    if not dump or not alive(dump):
        return
    try:
        handle = relay.Handle(folder, 5.0)
        if handle.state == "armed":
            engines.of(folder).give_up(state["pid"])
        else:
            handle.wait("dumped", timeout=DUMP_ENDS)
        if handle.state in ("armed", "dumped"):
            handle.say("abort")
        handle.close()
    except OSError:
        pass  # no relay (yet, or any more): the runtime ends by itself
    if not wait_gone(dump, DUMP_ENDS):
        raise Trouble("dump-stuck", f"the dump (process {dump}) does not end")


def main(folder: Folder) -> int:
    """Wait for the agent's end or its word ``done``."""
    if os.read(0, 4) == b"done":
        return 0
    thaw_unless_voted(folder)
    return 0
