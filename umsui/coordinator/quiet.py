"""Keeps polls from the moments in which a service stands still.

A poll costs its node a tenth of a second or more of a processor, and this process some; a switch that has to share
them takes longer, and all that time nobody is served.
"""

from __future__ import annotations

import random
import threading
import time

LONGEST = 5.0  # seconds that a poll waits at most: the board must not go blind when one switch follows another
LOOK = 1.0  # seconds after which it is seen whether it has to wait any more, give or take half of it: not all at once


class Quiet:
    """Which migrations are about to switch. All methods are for any thread."""

    def __init__(self) -> None:
        self._near: frozenset[str] = frozenset()  # replaced as a whole
        self._lock = threading.Lock()

    def begin(self, migration_id: str) -> None:
        """A switch is near."""
        with self._lock:
            self._near |= {migration_id}

    def end(self, migration_id: str) -> None:
        """It is over, one way or the other. May be called twice, and without ``begin``."""
        with self._lock:
            self._near -= {migration_id}

    def rest(self, asked: threading.Event) -> None:
        """Until no switch is near; or somebody has ``asked`` for a poll, who is not left waiting."""
        end = time.monotonic() + LONGEST
        while self._near and time.monotonic() < end:
            if asked.wait(LOOK * random.uniform(0.5, 1.5)):  # noqa: S311 - jitter
                return
