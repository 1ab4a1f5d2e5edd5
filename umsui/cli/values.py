"""What users type as values: rates, durations, approaches; each with its own error."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_NUMBER = r"(?P<number>\d+(?:\.\d*)?|\.\d+)"
_RATE = re.compile(rf"{_NUMBER}\s*(?P<prefix>[kKmMgG]?)(?P<binary>i?)(?P<unit>bit/s|bits|bit|bps|B/s|b/s)")
_DURATION = re.compile(rf"{_NUMBER}\s*(?P<unit>ms|s|min|m|h)?")
_PREFIX = {"": 0, "k": 1, "m": 2, "g": 3}
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Rate(click.ParamType[float]):
    """A rate, in bytes per second: ``100mbit``, ``12MB/s``, ``12MiB/s``. Lowercase ``b`` and ``bit`` are bits."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Bytes per second."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _RATE.fullmatch(str(value).strip())
        if not found:
            self.fail(f"{value!r} is no rate; write it like 100mbit, 1gbit, 12MB/s or 12MiB/s", param, ctx)
        base = 1024 if found["binary"] else 1000
        count = float(found["number"]) * float(base ** _PREFIX[found["prefix"].lower()])
        rate = count if found["unit"].startswith("B") else count / 8
        if rate < 1:
            self.fail("a rate must be more than nothing", param, ctx)
        return rate


class Duration(click.ParamType[float]):
    """A duration, in seconds: ``0.2``, ``200ms``, ``5s``, ``2min``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _DURATION.fullmatch(str(value).strip())
        if not found:
            self.fail(f"{value!r} is no duration; write it like 0.2, 200ms, 5s or 2min", param, ctx)
        seconds = float(found["number"]) * _SECONDS[found["unit"]]
        if not math.isfinite(seconds) or seconds <= 0:
            self.fail("a duration must be more than nothing", param, ctx)
        return seconds


RATE = Rate()
DURATION = Duration()
