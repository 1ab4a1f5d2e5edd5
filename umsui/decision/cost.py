"""What a migration will cost: downtime and total with an interval, learning from those that went before.

A small model with measured constants says what the bytes alone would take; the ratios of measured to predicted in
the history correct it, and their spread becomes the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from umsui.model import Approach, Estimate, Migration, Outcome, Strategy

DUMP_RATE = 1.7e9  # bytes/s: CRIU writing pages
RESTORE_RATE = 1.6e9  # CRIU reading them
WALK_RATE = 10e9  # CRIU walking over pages that went ahead
COMPARE_RATE = 1.2e9  # CRIU's pages looked up among those that went ahead, from inside the service's container
WIRE_RATE = 300e6  # ssh with AES-GCM, page server and dump sharing two cores
UNKNOWN_BANDWIDTH = 117e6  # what 1 Gbit/s carries
PER_PROCESS = 0.006  # a further process at freeze, dump and restore
CREATION = 1.4  # connect the ends, reserve the destination, arm
AFTERWARDS = 0.4  # first reply, remove the source, clean up
PASS = 0.03  # the shortest pass over memory that is being written: look, send, hear that it is stored
STREAM_START = 0.06  # starting a copy of its own (image, volumes)

# What the freeze costs without any memory, as a client saw it: between the figures of two kinds of machine.
FIXED: dict[Approach, float] = {Approach.ORCHESTRATOR: 0.12, Approach.SERVICE: 0.125, Approach.CONTAINER: 0.15}

# The model's own interval, from its first comparison with reality.
PRIOR_LOW, PRIOR_HIGH = 0.65, 1.7
PRIOR_WEIGHT = 3  # so many migrations count as much as the prior
RATIO_BOUNDS = (0.2, 10.0)  # a migration during which the machine slept teaches nothing
WINDOW = 50

Clusters = tuple[str, str]  # source and destination
Ratios = dict[Clusters | None, list[float]]  # measured over modelled; None: wherever it was


@dataclass(frozen=True, slots=True)
class Load:
    """What has to travel, in bytes, and over what."""

    memory: int
    processes: int = 1
    rootfs: int = 0
    volumes: int = 0
    image: int = 0
    bandwidth: float | None = None  # bytes/s; None when unknown
    rtt: float = 0.0
    dirty: float | None = None  # bytes/s written; None when unknown


@dataclass(frozen=True, slots=True)
class Forecast:
    """Downtime as a client sees it, and the whole move."""

    downtime: Estimate
    total: Estimate


def forecast(
    approach: Approach,
    strategy: Strategy,
    load: Load,
    history: Iterable[Migration] = (),
    between: Clusters | None = None,
) -> Forecast:
    """The prediction for one approach and strategy; ``history`` in any order.

    What was moved ``between`` the same source and destination cluster counts for more than all else, which has one
    vote beside it: their engines, machines and link are what the model knows least of.
    """
    past = [m for m in history if m.approach is approach and m.strategy is strategy]
    whole = stop_copy_downtime(approach, load)
    frozen, look = load.memory, 0.0
    if strategy is not Strategy.STOP_COPY:
        look = load.memory / (COMPARE_RATE if approach is Approach.SERVICE else WALK_RATE)
        frozen = residual(load, PASS + look) if strategy is Strategy.PRE_COPY else 0
    down = look + stop_copy_downtime(approach, replace(load, memory=frozen))
    total = CREATION + ahead(load) + whole + AFTERWARDS
    return Forecast(
        downtime=_learned(down, model_ratios(past, "downtime", _measured_downtime), between),
        total=_learned(total, model_ratios(past, "total", lambda m: m.overhead.total or None), between),
    )


def stop_copy_downtime(approach: Approach, load: Load) -> float:
    """Seconds frozen when all memory travels while the service stands still.

    Dump, wire and restore overlap, so that the slowest of them sets the pace.
    """
    pace = min(_bandwidth(load), WIRE_RATE, DUMP_RATE, RESTORE_RATE)
    return FIXED[approach] + 4 * load.rtt + PER_PROCESS * max(0, load.processes - 1) + load.memory / pace


def residual(load: Load, last: float) -> int:
    """Bytes that a service writes in the ``last`` pass (seconds) over its memory: they travel while it stands still.

    Each pass sends what was written during the one before, so that passes shrink by (written / carried) a second,
    down to what the time of a pass alone lets it write; a service that writes faster than the link carries gains
    nothing.
    """
    return load.memory if outruns(load) else min(load.memory, int((load.dirty or 0.0) * last))


def outruns(load: Load) -> bool:
    """Whether the service writes its memory faster than the link carries it."""
    return (load.dirty or 0.0) >= min(_bandwidth(load), WIRE_RATE)


def window(load: Load) -> float:
    """Seconds between the switch and the last page, when memory follows afterwards."""
    return load.memory / min(_bandwidth(load), WIRE_RATE)


def ahead(load: Load) -> float:
    """Seconds to copy image, files and volumes while the service runs."""
    parts = (load.rootfs, load.volumes, load.image)
    pace = min(_bandwidth(load), WIRE_RATE)
    return sum(parts) / pace + STREAM_START * sum(1 for part in parts if part)


def _bandwidth(load: Load) -> float:
    return max(1.0, UNKNOWN_BANDWIDTH if load.bandwidth is None else load.bandwidth)


def _measured_downtime(migration: Migration) -> float | None:
    return migration.downtime


def _learned(base: float, known: Ratios, between: Clusters | None) -> Estimate:
    """Scale the model's answer by the median ratio of measured to modelled; the spread of ratios is the interval."""
    here, everywhere = known.get(between, []), known[None]
    scale = _scale(here, _scale(everywhere))
    low, high = _spread([ratio / scale for ratio in here or everywhere])
    mid = base * scale
    return Estimate(low=mid * low, mid=mid, high=mid * high)


def model_ratios(past: Iterable[Migration], key: str, measured: Callable[[Migration], float | None]) -> Ratios:
    """Measured over what the bare model had said, oldest first: by clusters, and all of them as None.

    A recorded prediction was itself scaled by what was known then. That scale is worked out again here, in the same
    order, and taken out: otherwise each good prediction would unlearn what made it good.
    """
    everywhere: list[float] = []
    ratios: Ratios = {None: everywhere}
    committed = (m for m in past if m.outcome is Outcome.COMMITTED and m.finished is not None)
    for migration in sorted(committed, key=lambda m: (m.started, m.id)):
        predicted, seen = migration.predicted.get(key), measured(migration)
        if not predicted or len(predicted) != 3 or predicted[1] < 1e-6 or not seen or seen <= 0:
            continue
        here = ratios.setdefault((migration.source.cluster, migration.destination.cluster), [])
        ratio = seen / (predicted[1] / _scale(here, _scale(everywhere)))
        for each in (here, everywhere):
            each.append(min(max(ratio, RATIO_BOUNDS[0]), RATIO_BOUNDS[1]))
    return ratios


def _scale(ratios: Sequence[float], general: float = 1.0) -> float:
    # What is known in general has one vote: a single odd migration moves the prediction half of the way at most.
    return median((general, *ratios[-WINDOW:]))


def _spread(relative: Sequence[float]) -> tuple[float, float]:
    """Low and high as factors of mid: the prior, giving way to the ratios seen as they become many."""
    if not relative:
        return PRIOR_LOW, PRIOR_HIGH
    ordered = sorted(relative[-WINDOW:])
    edge = len(ordered) // 10  # the outer tenths are left out once there are enough
    weight = len(ordered) / (len(ordered) + PRIOR_WEIGHT)
    low = weight * ordered[edge] + (1 - weight) * PRIOR_LOW
    high = weight * ordered[-1 - edge] + (1 - weight) * PRIOR_HIGH
    return min(low, 0.95), max(high, 1.05)
