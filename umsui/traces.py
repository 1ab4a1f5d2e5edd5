"""The trace of a migration: each step with its offset and duration, and when the service stood still."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from umsui.model import PHASE_OF, Event, Step


@dataclass(slots=True)
class Span:
    """One step: ``start`` in seconds from the first event, ``seconds`` long (None when it did not end)."""

    step: str
    start: float
    seconds: float | None = None
    state: str = "started"
    note: str = ""
    frozen: bool = False


def spans(events: Iterable[Event]) -> list[Span]:
    """The steps in the order in which they began; a step that ran again after a crash appears again."""
    found: list[Span] = []
    running: dict[str, Span] = {}
    began: float | None = None
    for event in events:
        began = event.t if began is None else began
        if event.kind != "step":
            continue
        name, state, offset = str(event.data["step"]), str(event.data["state"]), event.t - began
        if state == "started":
            running[name] = Span(name, offset)
            found.append(running[name])
            continue
        took = event.data.get("seconds")
        span = running.pop(name, None)
        if span is None:
            span = Span(name, offset - (took or 0.0))
            found.append(span)
        span.state, span.note = state, str(event.data.get("note") or "")
        span.seconds = float(took) if took is not None else offset - span.start
    _mark_frozen(found)
    return found


def _mark_frozen(found: list[Span]) -> None:
    """The service stands still from the freeze until the commit has opened the destination's gate."""
    starts = [span.start for span in found if span.step == Step.FREEZE]
    ends = [span.start + (span.seconds or 0.0) for span in found if span.step == Step.COMMIT]
    if not starts:
        return
    until = ends[-1] if ends else max(span.start + (span.seconds or 0.0) for span in found)
    for span in found:
        span.frozen = span.step in _FROZEN and starts[-1] <= span.start <= until


_FROZEN = (Step.FREEZE, Step.CHECKPOINT, Step.TRANSFER, Step.RESTORE, Step.COMMIT)


def frozen_seconds(found: list[Span]) -> float:
    """How long the service stood still, by the steps."""
    still = [span for span in found if span.frozen]
    if not still:
        return 0.0
    return max(span.start + (span.seconds or 0.0) for span in still) - min(span.start for span in still)


def trace_document(found: list[Span]) -> dict[str, Any]:
    """The trace for scripts, in seconds."""
    steps = [
        {
            "step": span.step,
            "phase": phase(span.step),
            "start": round(span.start, 6),
            "seconds": None if span.seconds is None else round(span.seconds, 6),
            "state": span.state,
            "frozen": span.frozen,
            "note": span.note,
        }
        for span in found
    ]
    return {"steps": steps, "frozen": round(frozen_seconds(found), 6)}


def phase(step: str) -> str:
    """The phase that a step belongs to."""
    try:
        return PHASE_OF[Step(step)].value
    except ValueError:
        return "-"
