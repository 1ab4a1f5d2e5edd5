"""Kernel namespaces, as far as the agent needs them: see ``namespaces(7)``."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWCGROUP, CLONE_NEWNET = 0x02000000, 0x40000000  # linux/sched.h


def same(pid: int, kind: str) -> bool:
    """Whether a process is in this one's own namespace of that kind. Raises OSError: it has ended."""
    return os.path.samefile(f"/proc/{pid}/ns/{kind}", f"/proc/self/ns/{kind}")


def enter(path: str, kind: int) -> None:
    """Have this thread in the namespace that ``path`` is a name of. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("setns", descriptor, kind)
    finally:
        os.close(descriptor)


def call(name: str, *arguments: int) -> None:
    """``setns``, ``unshare``: Python has them from 3.12 on. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
