"""A short past of the numbers that polling yields anyway, for screens that show them over time. Bounded."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from umsui.vitals import Points

POINTS = 90
SPACING = 9.0  # seconds between two points at least: together a quarter of an hour


class History:
    """One series a key. For 10,000 keys it takes 14 MB."""

    def __init__(self) -> None:
        self._series: dict[str, tuple[array[float], array[float]]] = {}

    def note(self, now: float, values: Mapping[str, float]) -> None:
        """What is so at ``now``; keys that are not there any more are forgotten."""
        for key in self._series.keys() - values.keys():
            del self._series[key]
        for key, value in values.items():
            times, amounts = self._series.setdefault(key, (array("d"), array("d")))
            if times and now - times[-1] < SPACING:
                continue
            times.append(now)
            amounts.append(value)
            if len(times) > POINTS:
                del times[0], amounts[0]

    def of(self, key: str) -> Points:
        """The series of a key, oldest first."""
        series: tuple[Iterable[float], Iterable[float]] = self._series.get(key, ((), ()))
        return tuple(zip(*series, strict=True))
