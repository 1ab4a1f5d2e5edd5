"""The console's only source of time, so that tests and replays can stand still."""

from __future__ import annotations

import time
from typing import Protocol

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Wall time to show, and a steady one to measure with."""

    def wall(self) -> float:
        """Unix time."""

    def steady(self) -> float:
        """Seconds that never jump, and go on while the machine sleeps: what is shown ages then, too."""


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        """Unix time."""
        return time.time()

    def steady(self) -> float:
        """Seconds that never jump."""
        return time.clock_gettime(_STEADY)
