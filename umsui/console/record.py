"""A migration as its events tell it: the fold behind the migration screen, the board's percentages and the replay.

Times in a record are seconds since the migration's first event, whatever the events' own zero is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any

from umsui.model import SHARE_OF, Event, Overhead, Step

EPOCH = 1e8
"""A time beyond this is Unix time, not seconds since the migration began."""


@dataclass(slots=True)
class StepRun:
    """One step as it happened."""

    state: str = "pending"  # pending | started | done | failed | skipped
    began: float = 0.0
    seconds: float | None = None
    note: str = ""


@dataclass(slots=True)
class LogLine:
    """One line of the log."""

    t: float
    level: str
    message: str


@dataclass(slots=True)
class Amount:
    """How much of one kind of bytes has gone."""

    done: int = 0
    total: int | None = None


@dataclass(slots=True)
class Record:
    """Everything that is known of one migration from its events."""

    origin: float | None = None
    last: float = 0.0
    phase: str = ""
    steps: dict[str, StepRun] = field(default_factory=dict)
    samples: list[tuple[float, float | None]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    amounts: dict[str, Amount] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)  # bytes of kinds that are still to come
    lazy: bool = True  # whether memory stays behind at the source for a while: post-copy and hybrid
    down: float | None = None
    downtime: float | None = None
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=5000))
    result: Mapping[str, Any] | None = None

    def apply(self, event: Event) -> None:
        """Take in one event; unknown kinds are left alone, so that an older console can read a newer recording."""
        if self.origin is None:
            self.origin = event.t if event.t > EPOCH else 0.0
        t = self.time(event.t)
        self.last = max(self.last, t)
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(t, event.data)

    def time(self, t: float) -> float:
        """Seconds since the first event."""
        return t - (self.origin or 0.0) if t > EPOCH else t

    def step(self, name: str) -> StepRun:
        """The run of a step, pending when it has not begun."""
        return self.steps.get(name) or StepRun()

    @property
    def frozen_at(self) -> float | None:
        """When the freeze began: the charts' time zero."""
        run = self.steps.get(Step.FREEZE)
        return run.began if run is not None and run.state != "skipped" else None

    @property
    def outage(self) -> tuple[float, float, bool] | None:
        """Begin, end so far, and whether it is over: as the client saw it, else from freeze to thaw."""
        frozen = self.frozen_at
        if frozen is None:
            return None
        begin = self._silence(frozen)
        if self.downtime is not None:
            return begin, begin + self.downtime, True
        if self.result is not None:
            return None
        return begin, max(begin + (self.down or 0.0), begin), False

    @property
    def exposure(self) -> tuple[float, float, bool] | None:
        """Begin, end so far, and whether it is over, of the time in which losing the source would lose the service.

        From the commit to the last page; None where memory did not stay behind.
        """
        if not self.lazy:
            return None
        drain, commit = self.steps.get(Step.DRAIN), self.steps.get(Step.COMMIT)
        if drain is None or commit is None or drain.state == "skipped" or commit.seconds is None:
            return None
        over = drain.seconds is not None
        return (
            commit.began + commit.seconds,
            drain.began + drain.seconds if drain.seconds is not None else self.last,
            over,
        )

    def _silence(self, frozen: float) -> float:
        """When the client heard the last reply before its wait: the beginning of the longest silence around the freeze.

        The freeze itself is told a little before or after that, by another process.
        """
        latest = frozen + (self.downtime or 0.0) + 0.5
        first = bisect_left(self.samples, frozen - 0.2, key=itemgetter(0))
        replies = sorted(t + reply for t, reply in self.samples[first:] if reply is not None and t <= latest)
        if self.downtime is None or len(replies) < 2:
            return max(replies[-1:] or [frozen])
        return max(pairwise(replies), key=lambda pair: pair[1] - pair[0])[0]

    @property
    def fraction(self) -> float | None:
        """How much of the bytes has gone, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total and self.amounts else None

    @property
    def rate(self) -> float:
        """Bytes per second, last heard."""
        return self.rates[-1][1] if self.rates else 0.0

    @property
    def done(self) -> int:
        """Bytes gone."""
        return sum(amount.done for amount in self.amounts.values())

    @property
    def total(self) -> int:
        """Bytes to go in all, as far as known."""
        told = sum(max(amount.total or 0, amount.done) for amount in self.amounts.values())
        coming = sum(size for what, size in self.expected.items() if what not in self.amounts)
        return told + (coming if self.result is None else 0)

    @property
    def left(self) -> float | None:
        """Seconds until the bytes have gone, at the last rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 and self.total else None

    def overhead(self, now: float) -> Overhead:
        """The cost so far, as the coordinator counts it; its result replaces this when it is there."""
        shares = dict.fromkeys(SHARE_OF.values(), 0.0)
        for step, share in SHARE_OF.items():
            run = self.step(step)
            if run.state not in ("pending", "skipped"):
                shares[share] += run.seconds if run.seconds is not None else max(now - run.began, 0.0)
        connect = self.step(Step.CONNECT)
        return Overhead(**shares, total=0.0 if connect.state == "pending" else now - connect.began)

    def _on_phase(self, _t: float, data: Mapping[str, Any]) -> None:
        self.phase = str(data.get("phase", ""))

    def _on_step(self, t: float, data: Mapping[str, Any]) -> None:
        run = self.steps.setdefault(str(data.get("step", "")), StepRun())
        state = str(data.get("state", ""))
        again = run.state == state  # steps may run twice; that is no news
        if state == "started" or run.state == "pending":
            run.began = t
        run.state = state
        seconds = data.get("seconds")
        if seconds is not None:
            run.seconds = float(seconds)
            run.began = min(run.began, t - run.seconds)
        elif state in ("done", "failed"):
            run.seconds = t - run.began
        run.note = str(data.get("note") or run.note)
        if state in ("done", "failed") and not again:
            level = "error" if state == "failed" else "step"
            note = f": {run.note}" if run.note else ""
            self.log.append(LogLine(t, level, f"{data.get('step')} {state}{note}"))

    def _on_progress(self, t: float, data: Mapping[str, Any]) -> None:
        amount = self.amounts.setdefault(str(data.get("what", "")), Amount())
        amount.done = max(amount.done, int(data.get("done") or 0))
        if data.get("total") is not None:
            amount.total = int(data["total"])
        if data.get("rate") is not None:
            self.rates.append((t, float(data["rate"])))

    def _on_probe(self, _t: float, data: Mapping[str, Any]) -> None:
        for t, reply in data.get("samples", ()):
            self.samples.append((self.time(float(t)), None if reply is None else float(reply)))
        self.down = _maybe(data.get("down"))
        if data.get("downtime") is not None:
            self.downtime = float(data["downtime"])

    def _on_log(self, t: float, data: Mapping[str, Any]) -> None:
        self.log.append(LogLine(t, str(data.get("level", "info")), str(data.get("message", ""))))

    def _on_outcome(self, _t: float, data: Mapping[str, Any]) -> None:
        result = data.get("result")
        self.result = result if isinstance(result, Mapping) else {}
        if self.downtime is None:
            self.downtime = _maybe(self.result.get("downtime"))


def _maybe(value: Any) -> float | None:
    return None if value is None else float(value)
