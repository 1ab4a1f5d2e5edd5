"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def waiting_for(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Until it holds; fails when it does not within some seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
