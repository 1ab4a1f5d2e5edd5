"""Rates and durations as people write them: ``100mbit``, ``12MB/s``, ``200ms``, ``2min``."""

from __future__ import annotations

import math
import re

_NUMBER = r"(?P<number>\d+(?:\.\d*)?|\.\d+)"
_RATE = re.compile(rf"{_NUMBER}\s*(?P<prefix>[kKmMgG]?)(?P<binary>i?)(?P<unit>bit/s|bits|bit|bps|B/s|b/s)")
_DURATION = re.compile(rf"{_NUMBER}\s*(?P<unit>ms|s|min|m|h)?")
_PREFIX = {"": 0, "k": 1, "m": 2, "g": 3}
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def rate(text: str) -> float:
    """Bytes per second; lowercase ``b`` and ``bit`` are bits. Raises ValueError, in words for people."""
    found = _RATE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no rate; write it like 100mbit, 1gbit, 12MB/s or 12MiB/s")
    base = 1024 if found["binary"] else 1000
    count = float(found["number"]) * float(base ** _PREFIX[found["prefix"].lower()])
    per_second = count if found["unit"].startswith("B") else count / 8
    if per_second < 1:
        raise ValueError("a rate must be more than nothing")
    return per_second


def duration(text: str) -> float:
    """Seconds; without a unit, too. Raises ValueError, in words for people."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no duration; write it like 0.2, 200ms, 5s or 2min")
    seconds = float(found["number"]) * _SECONDS[found["unit"]]
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError("a duration must be more than nothing")
    return seconds


def written_rate(per_second: float) -> str:
    """A rate as ``rate`` reads it, exactly."""
    bits = per_second * 8
    for word, size in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)):
        if bits >= size:
            return f"{bits / size:.12g}{word}"
    return f"{bits:.12g}bit"
