"""The memory that has arrived, in the destination's tmpfs: one sparse file a process, each page at its own address.

A hole is a page that has not arrived; placing a page in the service and giving it back here are one step, so that the
service's memory is there once, not twice, when all is done.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

from umsui.agent import userfault


class Store:
    """Pages by process (its number inside) and address. Thread-safe: each call is a system call or two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: Dict[int, int] = {}

    def file(self, pid: int) -> int:
        """The descriptor of a process's file."""
        if pid not in self.files:
            path = self.folder / f"memory-{pid}"
            self.files[pid] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self.files[pid]

    def put(self, pid: int, start: int, data: memoryview) -> None:
        """Pages as they are now. Raises OSError (ENOSPC: the destination's memory is full)."""
        while data:
            went = os.pwrite(self.file(pid), data, start)
            data, start = data[went:], start + went

    def drop(self, pid: int, start: int, end: int) -> None:
        """Forget pages."""
        userfault.punch(self.file(pid), start, end - start)

    def extents(self, pid: int) -> Iterator[Tuple[int, int]]:
        """What is here, in order: one walk over the file, however large its holes are."""
        file, at = self.file(pid), 0
        while (start := self._data(file, at)) is not None:
            at = os.lseek(file, start, os.SEEK_HOLE)
            yield start, at

    @staticmethod
    def _data(file: int, at: int) -> Optional[int]:
        try:
            return os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return None  # nothing but a hole follows
