"""One migration while it is carried out: its document, its events, its clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from umsui.coordinator.bus import Bus
from umsui.coordinator.codec import encode
from umsui.coordinator.journal import Journal
from umsui.coordinator.prober import Prober
from umsui.documents import result_document
from umsui.errors import Cancelled, UmsuiError
from umsui.interface.protocol import Move
from umsui.model import PHASE_OF, Event, Failure, Migration, Outcome, Overhead, Step


class Run:
    """What the workflow's steps share; a restarted coordinator makes it anew from the journal."""

    def __init__(self, migration: Migration, journal: Journal, bus: Bus) -> None:
        self._migration = migration
        self._journal = journal
        self._bus = bus
        self._lock = threading.RLock()
        self._cancel = threading.Event()
        self._took: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self.frozen_at: float | None = None
        self.move: Move | None = None
        self.prober: Prober | None = None
        self.max_downtime: float | None = None
        self.ends_at: float | None = None

    @property
    def migration(self) -> Migration:
        """Its document, as it is now."""
        return self._migration

    @property
    def id(self) -> str:
        """The migration's id."""
        return self._migration.id

    # -- what the outside is told -----------------------------------------------------------------------------------

    def emit(self, kind: str, **data: Any) -> None:
        """Record an event and tell everyone."""
        with self._lock:  # listeners get them in the order in which they are recorded
            if kind == "step":
                data = self._on_step(data)
            self._bus.publish("event", self._journal.record(Event(time.time(), self.id, kind, data)))

    def _on_step(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep the document and the clock up with a step that begins or ends."""
        name, now = str(data["step"]), time.monotonic()
        with self._lock:
            if data["state"] == "started":
                self._began[name] = now
                if name == Step.FREEZE:
                    self.frozen_at = time.time()
                step = Step(name)
                if PHASE_OF[step] is not self._migration.phase:
                    self.emit("phase", phase=PHASE_OF[step].value)
                self.change(step=step, phase=PHASE_OF[step])
            else:
                data.setdefault("seconds", now - self._began.get(name, now))
                self._took[name] = self._took.get(name, 0.0) + float(data["seconds"])
        return data

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
        self.emit("step", step=step.value, state="done")

    # -- limits -----------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """The operator wants it off."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether the operator wants it off."""
        return self._cancel.is_set()

    def check(self) -> None:
        """Raises Cancelled, or UmsuiError when the deadline has passed; after the commit neither counts."""
        if not self._migration.cancellable:
            return
        if self.cancelled:
            raise Cancelled("cancelled by the operator")
        if self.ends_at is not None and time.time() > self.ends_at:
            raise UmsuiError(
                "the deadline has passed before the commit", "allow more time with --deadline", code="deadline"
            )

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
        frozen = [
            self._took.get(each.value, 0.0) for each in (Step.FREEZE, Step.CHECKPOINT, Step.TRANSFER, Step.RESTORE)
        ]
        return (sum(frozen) + self._took.get(Step.COMMIT.value, 0.0) if any(frozen) else None), "freeze"

    def overhead(self) -> Overhead:
        """The paper's breakdown: transfer counts what went ahead, too; total is from the start until now."""
        took = {step: self._took.get(step.value, 0.0) for step in Step}
        return Overhead(
            creation=took[Step.CONNECT] + took[Step.RESERVE],
            checkpoint=took[Step.FREEZE] + took[Step.CHECKPOINT],
            transfer=took[Step.COPY_AHEAD] + took[Step.TRANSFER],
            restoration=took[Step.RESTORE] + took[Step.COMMIT],
            total=time.time() - self._migration.started,
        )

    def conclude(self, outcome: Outcome, failure: Failure | None = None) -> None:
        """The last event; the document is then final."""
        downtime, source = self.measured() if outcome is Outcome.COMMITTED else (None, self._migration.downtime_source)
        moved = self.move.traffic() if self.move is not None else self._migration.bytes
        self.change(
            outcome=outcome,
            error=failure,
            downtime=downtime if downtime is not None else self._migration.downtime,
            downtime_source=source,
            overhead=self.overhead(),
            bytes=moved,
            finished=time.time(),
            cancellable=False,
        )
        self.emit("outcome", result=result_document(self._migration))

    def close(self) -> None:
        """End what it holds; changes nothing at the nodes."""
        if self.prober is not None:
            self.prober.stop()
        if self.move is not None:
            self.move.close()
