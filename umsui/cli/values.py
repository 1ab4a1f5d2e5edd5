"""What users type as values: rates and durations; each with its own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from umsui import units


class Value(click.ParamType[float]):
    """Something with a unit, as ``read`` reads it."""

    def __init__(self, name: str, read: Callable[[str], float]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In the unit that ``read`` gives."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return self._read(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


RATE = Value("rate", units.rate)
"""Bytes per second."""
DURATION = Value("duration", units.duration)
"""Seconds."""
