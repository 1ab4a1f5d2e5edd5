"""How fast a running service writes its memory, estimated without touching it.

The kernel's marks of written pages would tell exactly, but setting them means borrowing a descriptor from inside each
process; a plan changes nothing. So some thousand pages, chosen evenly at random of all that there are, are read twice:
the share that differs, of all memory, is what was written meanwhile. A page that is written again and again counts
once, as it does for a pass of pre-copy of that length.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import zlib
from typing import Dict, Iterable, List, Optional, Tuple

from umsui.agent import userfault
from umsui.agent.tracker import areas
from umsui.agent.userfault import PAGE

PAGES = 4096  # that are looked at: of 1 GiB, with 0.2 s between the looks, one stands for 1.3 MB/s
LEAST = 0.2  # seconds between the looks

Run = Tuple[int, int, int]  # a process, and where some of its memory begins and ends


class Sample:
    """A first look at the memory of some processes; ``rate`` is the second one."""

    def __init__(self, pids: Iterable[int]) -> None:
        runs = [run for pid in pids for run in populated(pid)]
        self._pages = sum(end - start for _, start, end in runs) // PAGE
        self._seen = looked(chosen(runs, self._pages))
        self._when = time.monotonic()

    def rate(self) -> Optional[float]:
        """Bytes written per second since, at least ``LEAST`` seconds; None when nothing could be seen."""
        if not self._seen:
            return None
        time.sleep(max(0.0, self._when + LEAST - time.monotonic()))
        now = looked(self._seen)
        took = time.monotonic() - self._when
        if not now:
            return None
        changed = sum(now[page] != self._seen[page] for page in now)
        return changed / len(now) * self._pages * PAGE / took


def populated(pid: int) -> List[Run]:
    """The memory of a process that a checkpoint carries; none of one that has ended, or where that cannot be seen."""
    found: List[Run] = []
    with contextlib.suppress(OSError):
        pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
        try:
            for start, end in areas(pid):
                found += [(pid, each.start, each.end) for each in userfault.scan(pagemap, start, end) if not each.zero]
        finally:
            os.close(pagemap)
    return found


def chosen(runs: List[Run], pages: int) -> List[Tuple[int, int]]:
    """``PAGES`` of them at most, each as likely as any other: process and address."""
    wanted = iter(sorted(random.sample(range(pages), min(pages, PAGES))))
    found: List[Tuple[int, int]] = []
    number, before = next(wanted, -1), 0
    for pid, start, end in runs:
        after = before + (end - start) // PAGE
        while before <= number < after:
            found.append((pid, start + (number - before) * PAGE))
            number = next(wanted, -1)
        before = after
    return found


def looked(pages: Iterable[Tuple[int, int]]) -> Dict[Tuple[int, int], int]:
    """What is in them now, as checksums; without those that are not there any more."""
    found: Dict[Tuple[int, int], int] = {}
    memory: Dict[int, int] = {}
    try:
        for pid, at in pages:
            with contextlib.suppress(OSError):
                if pid not in memory:
                    memory[pid] = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
                found[pid, at] = zlib.crc32(os.pread(memory[pid], PAGE, at))
    finally:
        for descriptor in memory.values():
            os.close(descriptor)
    return found
