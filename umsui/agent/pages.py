"""The page stream between a service's two ends: frames over one SSH channel, both ways.

Source to destination: PAGES (``start`` is the number of runs that follow: a table of them, then their ``length``
bytes), STALE (what was sent of this range is old), SYNC (answer
when all before it is stored), DONE (all that goes before the switch has gone). Destination to source: WANT (these
pages, please), ACK (of a SYNC, or of one PAGES frame), WHOLE (nothing is missing any more).
"""

from __future__ import annotations

import os
import struct
from typing import Iterator, List, NamedTuple, Optional, Tuple

HEADER = struct.Struct("<B7xQQQ")
RUN = struct.Struct("<QQ")  # start and length in bytes
PAGES, STALE, SYNC, DONE, WANT, ACK, WHOLE = range(1, 8)
LARGEST = 1 << 20  # bytes in one PAGES frame
RUNS = 512  # and runs


class Frame(NamedTuple):
    """``kind`` and what it is about: a process (by its number inside), an address, a length in bytes."""

    kind: int
    pid: int = 0
    start: int = 0
    length: int = 0

    def packed(self) -> bytes:
        """As it travels."""
        return HEADER.pack(*self)


def read_frame(descriptor: int) -> Optional[Frame]:
    """The next frame; None at the end of the stream. Raises OSError."""
    header = read_exactly(descriptor, HEADER.size)
    return Frame(*HEADER.unpack(header)) if len(header) == HEADER.size else None


def pages_frame(pid: int, runs: List[Tuple[int, bytes]]) -> bytes:
    """Pages of a process as they travel; a run is an address and what is there."""
    table = b"".join(RUN.pack(start, len(data)) for start, data in runs)
    length = sum(len(data) for _, data in runs)
    return b"".join((Frame(PAGES, pid, len(runs), length).packed(), table, *(data for _, data in runs)))


def read_runs(descriptor: int, frame: Frame) -> Iterator[Tuple[int, memoryview]]:
    """The runs that follow a PAGES frame. Raises EOFError when the stream ends before, and OSError."""
    table = read_exactly(descriptor, frame.start * RUN.size)
    data = memoryview(read_exactly(descriptor, frame.length))
    if len(data) < frame.length:
        raise EOFError
    at = 0
    for start, length in RUN.iter_unpack(table):
        yield start, data[at : at + length]
        at += length


def read_exactly(descriptor: int, size: int) -> bytes:
    """``size`` bytes, or fewer when the stream ends before. Raises OSError."""
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = os.readv(descriptor, [view[got:]])
        if not count:
            break
        got += count
    return bytes(view[:got])


def write_all(descriptor: int, data: bytes) -> None:
    """All of it. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
