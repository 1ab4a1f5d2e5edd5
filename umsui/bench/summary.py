"""Medians, percentiles and ratios of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from umsui.bench.rows import Row

BASELINES = ("podman", "criu")  # tools that are not ours


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing, in its unit."""

    median: float
    p95: float  # by nearest rank: with fewer than 20 runs it is the worst of them
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All runs of one tool at one size between two orchestrators."""

    tool: str
    approach: str
    strategy: str
    mib: int
    processes: int
    dirty_mib_s: int
    runs: int
    committed: int
    intact: int
    downtime: Spread | None
    total: Spread | None
    wire: Spread | None
    source: str  # orchestrators
    destination: str
    refused: str  # why, where no run was even begun
    foreseen: tuple[int, int]  # runs whose downtime was inside the predicted interval, of those with one

    @property
    def sound(self) -> bool:
        """Whether every run ended at the destination with all its data."""
        return self.runs == self.committed == self.intact


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` (0 to 1) of them do not exceed. Raises ValueError on none."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of those that are known; None when none is."""
    known = [value for value in values if value is not None]
    return Spread(median(known), percentile(known, 0.95), len(known)) if known else None


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """One for each tool, approach, pair and size, by size and then in the order of their first rows."""
    groups: dict[tuple[int, int, int, str, str, str, str, str], list[Row]] = {}
    for row in rows:
        how = (row.tool, row.approach, row.strategy, row.source, row.destination)
        groups.setdefault((row.mib, row.processes, row.dirty_mib_s, *how), []).append(row)
    return [_summary(groups[key]) for key in sorted(groups, key=lambda key: key[:3])]


def _summary(rows: Sequence[Row]) -> Summary:
    first, done = rows[0], [row for row in rows if row.outcome == "committed"]
    return Summary(
        first.tool,
        first.approach,
        first.strategy,
        first.mib,
        first.processes,
        first.dirty_mib_s,
        runs=len(rows),
        committed=len(done),
        intact=sum(row.intact for row in done),
        downtime=spread(row.downtime for row in done),
        total=spread(row.total for row in done),
        wire=spread(row.wire_bytes for row in done),
        source=first.source,
        destination=first.destination,
        foreseen=(sum(row.foreseen is True for row in done), sum(row.foreseen is not None for row in done)),
        refused=first.reason if all(row.outcome == "refused" for row in rows) else "",
    )


def ratios(found: Iterable[Summary], baseline: str = "podman") -> dict[Summary, float]:
    """Each of ours: its median downtime over that of ``baseline`` at the same size, where both are known."""
    listed = list(found)
    base = {_size(each): each.downtime.median for each in listed if each.tool == baseline and each.downtime}
    return {
        each: each.downtime.median / base[_size(each)]
        for each in listed
        if each.tool not in BASELINES and each.downtime and base.get(_size(each))
    }


def _size(each: Summary) -> tuple[int, int, int]:
    return (each.mib, each.processes, each.dirty_mib_s)
