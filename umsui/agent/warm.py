"""What the kernel is slow at only the first time: it is made to do it before the service stands still for it.

Both are global to the kernel and change nothing that anybody can see; where they are refused, the switch takes longer.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import threading

from umsui.agent.host import Cgroup, Trouble
from umsui.agent.userfault import LIBC

SYS_PERF_EVENT_OPEN = 298  # x86-64
ATTRIBUTES = struct.Struct("<IIQ24xQ16x")  # struct perf_event_attr, its first version: kind, size, what, flags
SOFTWARE, NOTHING, NEVER, CLOSED_ON_EXEC = 1, 9, 1, 8


def breakpoints() -> int:
    """Let CRIU set its hardware breakpoints at once; they are quick as long as the answered descriptor is open.

    The first one of a machine switches perf on in the scheduler, which takes 18 ms. A counter of nothing, of this
    process, does it before. -1 when it may not.
    """
    if platform.machine() != "x86_64":
        return -1
    attributes = ATTRIBUTES.pack(SOFTWARE, ATTRIBUTES.size, NOTHING, NEVER)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return int(LIBC.syscall(SYS_PERF_EVENT_OPEN, buffer, 0, -1, -1, CLOSED_ON_EXEC))


def cgroups() -> None:
    """Let a process change its cgroup at once, as a restored one has to, soon after this call (a thread does it).

    The first to do so after a while waits for all CPUs, 8 to 20 ms: so this one goes to where it is already. Once is
    enough for the next 10 ms and more; whoever forks would wait for each further time.
    """
    threading.Thread(target=_move, name="cgroups", daemon=True).start()


def _move() -> None:
    with contextlib.suppress(OSError, Trouble):
        place = os.open(Cgroup(os.getpid()).path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(place, b"0")
        finally:
            os.close(place)
