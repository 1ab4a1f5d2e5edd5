"""One migration while it is carried out: its document, its events, its clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Protocol

from umsui.coordinator.bus import Bus
from umsui.coordinator.codec import encode
from umsui.coordinator.journal import Decision, Journal
from umsui.coordinator.prober import Prober
from umsui.core.agents import Agents
from umsui.documents import result_document
from umsui.errors import Cancelled, UmsuiError
from umsui.interface.protocol import Move
from umsui.model import PHASE_OF, SHARE_OF, Event, Failure, Migration, Outcome, Overhead, Step, Traffic

log = logging.getLogger(__name__)

CANCELLED = "cancelled by the operator"
BYTES = {field.name for field in fields(Traffic)}


class Watch(Protocol):
    """``umsui.coordinator.vigil.Vigil``."""

    def look(self) -> None:
        """Look now."""

    def hold(self) -> None:
        """Not again for a while."""

    def stop(self) -> None:
        """Look no more."""


class Run:
    """What the workflow's steps share; ``recalled`` by a restarted coordinator from journal and recording."""

    def __init__(self, migration: Migration, journal: Journal, bus: Bus, *, recalled: bool = False) -> None:
        self._migration = migration
        self._journal = journal
        self._bus = bus
        self._lock = threading.RLock()
        self._cancel = threading.Event()
        self._took: dict[str, float] = {}
        self._began: dict[str, float] = {}  # of the steps that go on, by the monotonic clock
        self._done: set[str] = set()
        self._moved = Traffic()  # as far as an earlier coordinator saw
        self._seen: float | None = None  # the downtime, by an earlier coordinator's prober
        self._connected_at: float | None = None
        self._committed_at: float | None = None
        self._worked_until: float | None = None
        self._ended = False
        self.frozen_at: float | None = None
        self.move: Move | None = None
        self.agents = Agents()  # that its plan was made with, and that carry it out
        self.trouble: UmsuiError | None = None  # what somebody has changed behind its back
        self.prober: Prober | None = None
        self.vigil: Watch | None = None
        self.max_downtime: float | None = None
        self.ends_at: float | None = None
        self.idle = 0.0  # seconds spent on measuring only
        self.last_reply: float | None = None  # of the service at the source, before an earlier coordinator died
        if recalled:
            for event in journal.recording(migration.id):
                self._recall(event)

    def _recall(self, event: Mapping[str, Any]) -> None:
        """Take an event of the recording into account, as when it was emitted."""
        t = float(event["t"])
        if event["kind"] == "step" and event["state"] == "started":
            self._began[event["step"]] = time.monotonic() - (time.time() - t)
            self._note_start(event["step"], t)
        elif event["kind"] == "step":
            self._began.pop(event["step"], None)
            self._note_end(event["step"], t, float(event.get("seconds") or 0.0), event["state"])
        elif event["kind"] == "probe" and event.get("downtime") is not None:
            self._seen = float(event["downtime"])
        elif event["kind"] == "probe":
            replies = [asked + took for asked, took in event["samples"] if took is not None]
            self.last_reply = max([*replies, self.last_reply or 0.0]) or None
        elif event["kind"] == "progress" and event["what"] in BYTES:
            done = max(int(event["done"] or 0), getattr(self._moved, event["what"]))
            self._moved = replace(self._moved, **{event["what"]: done})

    @property
    def migration(self) -> Migration:
        """Its document, as it is now."""
        return self._migration

    @property
    def decision(self) -> Decision | None:
        """What was decided, if anything."""
        return self._journal.decision(self.id)

    @property
    def id(self) -> str:
        """The migration's id."""
        return self._migration.id

    # -- what the outside is told -----------------------------------------------------------------------------------

    def emit(self, kind: str, **data: Any) -> None:
        """Record an event and tell everyone; what comes after the outcome is for nobody."""
        with self._lock:  # listeners get them in the order in which they are recorded
            if self._ended:
                log.debug("%s: %s after the outcome", self.id, kind)
                return
            self._ended = kind == "outcome"
            if kind == "step":
                data = self._on_step(data)
            self._bus.publish("event", self._journal.record(Event(time.time(), self.id, kind, data)))

    def _on_step(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep the document and the clock up with a step that begins or ends."""
        name, now = str(data["step"]), time.monotonic()
        with self._lock:
            if data["state"] == "started":
                self._began[name] = now
                self._note_start(name, time.time())
                step = Step(name)
                if PHASE_OF[step] is not self._migration.phase:
                    self.emit("phase", phase=PHASE_OF[step].value)
                self.change(step=step, phase=PHASE_OF[step])
            else:
                data.setdefault("seconds", now - self._began.get(name, now))
                self._began.pop(name, None)
                self._note_end(name, time.time(), float(data["seconds"]), str(data["state"]))
        return data

    def _note_start(self, name: str, t: float) -> None:
        if name == Step.CONNECT and self._connected_at is None:
            self._connected_at = t
        if name == Step.FREEZE:
            self.frozen_at = t

    def _note_end(self, name: str, t: float, seconds: float, state: str) -> None:
        if state != "failed":
            self._done.add(name)
        self._took[name] = self._took.get(name, 0.0) + seconds
        if name == Step.COMMIT and self._committed_at is None:  # repeated after a crash, it opens no gate again
            self._committed_at = t

    def has_done(self, step: Step) -> bool:
        """Whether a step has come to its end, in this coordinator or an earlier one; the recording tells."""
        return step.value in self._done

    def goes_on(self, step: Step) -> bool:
        """Whether a step has begun and not ended, as far as this coordinator or an earlier one has told."""
        return step.value in self._began

    def change(self, **values: Any) -> None:
        """Change the document; journal and listeners get it."""
        with self._lock:
            self._migration = replace(self._migration, **values)
            self._journal.update(self._migration)
            self._bus.publish("migration", encode(self._migration))

    def log(self, message: str, level: str = "info") -> None:
        """A line for the operator."""
        self.emit("log", level=level, message=message)

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """A step from its start to its end; an error is told as this step's and goes on."""
        self.check()
        self.emit("step", step=step.value, state="started")
        try:
            yield
        except Exception as error:
            if isinstance(error, UmsuiError):
                error.step = error.step or step.value
            self.emit("step", step=step.value, state="failed", note=str(error))
            raise
        if step.value in self._began:  # else the approach has told its end itself
            self.emit("step", step=step.value, state="done")

    def broken(self, why: str) -> None:
        """Steps that the approach has begun and cannot end."""
        for name in list(self._began):
            self.emit("step", step=name, state="failed", note=why)

    # -- limits -----------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """The operator wants it off."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether the operator wants it off."""
        return self._cancel.is_set()

    @property
    def halted(self) -> bool:
        """Whether the approach should stop where it is: cancelled, or out of time; never after the decision."""
        stopped = self.cancelled or self.trouble is not None or self.overdue() is not None
        return self._migration.cancellable and stopped

    def upset(self, trouble: UmsuiError) -> None:
        """Somebody has changed something that must stay as it is: this ends at its next step."""
        self.trouble = self.trouble or trouble

    def overdue(self) -> UmsuiError | None:
        """What to say when the deadline has passed."""
        if self.ends_at is None or time.time() <= self.ends_at:
            return None
        return UmsuiError(
            "the deadline has passed before the commit", "allow more time with --deadline", code="deadline"
        )

    def check(self) -> None:
        """Raises Cancelled, or UmsuiError when out of time or upset; after the decision nothing of that counts."""
        if not self._migration.cancellable:
            return
        if self.cancelled:
            raise Cancelled("cancelled by the operator")
        stopped = self.trouble or self.overdue()
        if stopped is not None:
            raise stopped

    def check_downtime(self) -> None:
        """Guarantee 6: rather abort than exceed the budget. Raises UmsuiError."""
        down = self.prober.down if self.prober is not None else None
        if down is None and self.frozen_at is not None:
            down = time.time() - self.frozen_at
        if self.max_downtime is not None and down is not None and down > self.max_downtime:
            raise UmsuiError(
                f"the service has stood still for {down:.3f} s, more than the {self.max_downtime:g} s allowed",
                "allow more with --max-downtime, or choose a time when it changes less memory",
                code="downtime-budget",
            )

    # -- the end ----------------------------------------------------------------------------------------------------

    def measured(self) -> tuple[float | None, str]:
        """Downtime in seconds and where it comes from: the client where there is one, else freeze to thaw."""
        if self.prober is not None and self.prober.downtime is not None:
            return self.prober.downtime, "client"
        if self._seen is not None:
            return self._seen, "client"
        if self.frozen_at is None or self._committed_at is None:
            return None, "freeze"
        return self._committed_at - self.frozen_at, "freeze"  # not a sum of steps: they overlap

    def _interruption(self, outcome: Outcome) -> tuple[float | None, str]:
        """How long clients had no reply: also of a service that was frozen and then went on where it was."""
        if outcome is Outcome.COMMITTED:
            return self.measured()
        undone = outcome in (Outcome.ROLLED_BACK, Outcome.CANCELLED) and self.frozen_at is not None
        return (self.prober.outage, "client") if undone and self.prober else (None, self._migration.downtime_source)

    def worked(self) -> None:
        """All is done that there was to do: the clock of the total stops."""
        self._worked_until = time.time()

    def overhead(self) -> Overhead:
        """The paper's breakdown, of the steps' own times (``SHARE_OF``), in seconds.

        total = from the start of connect until all is removed or undone, without what serves the measurement only
        (the prober's quiet time).
        """
        shares = dict.fromkeys(SHARE_OF.values(), 0.0)
        for step, share in SHARE_OF.items():
            shares[share] += self._took.get(step.value, 0.0)
        until = self._worked_until or time.time()
        total = 0.0 if self._connected_at is None else until - self._connected_at - self.idle
        return Overhead(**shares, total=total)

    def traffic(self) -> Traffic:
        """Bytes moved, counting what an earlier coordinator saw."""
        now = self.move.traffic() if self.move is not None else Traffic()
        most = {name: max(getattr(now, name), getattr(self._moved, name)) for name in BYTES}
        whole = sum(most[name] for name in BYTES - {"wire"})
        return Traffic(**{**most, "wire": max(now.wire, whole if self._moved != Traffic() else 0)})

    def conclude(self, outcome: Outcome, failure: Failure | None = None) -> Outcome:
        """The last event; the document is then final. What was concluded before a crash stands, and is told."""
        if self.prober is not None:
            self.prober.stop()  # its last samples belong before the outcome
        if self._migration.finished is None:
            downtime, source = self._interruption(outcome)
            there = outcome in (Outcome.COMMITTED, Outcome.UNKNOWN)
            self.change(
                outcome=outcome,
                error=failure,
                downtime=downtime if downtime is not None else self._migration.downtime,
                downtime_source=source,
                endpoint=self._migration.endpoint if there else "",
                overhead=self.overhead(),
                bytes=self.traffic(),
                finished=time.time(),
                cancellable=False,
            )
        if not self._journal.concluded(self.id):
            self.emit("outcome", result=result_document(self._migration))
        return self._migration.outcome or outcome

    def close(self) -> None:
        """End what it holds; changes nothing at the nodes."""
        if self.prober is not None:
            self.prober.stop()
        if self.vigil is not None:
            self.vigil.stop()
        if self.move is not None:
            self.move.close()
        self.agents.close()
