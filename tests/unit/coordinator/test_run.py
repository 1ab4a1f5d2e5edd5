"""What a restarted coordinator knows of a migration that an earlier one began."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from umsui.coordinator.bus import Bus
from umsui.coordinator.journal import Journal
from umsui.coordinator.run import Run
from umsui.model import Event, Outcome, Step, Traffic

from .world import migration, request

FROZEN, THAWED = 1010.0, 1010.25


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path)
    made.add(migration(), request())
    return made


def before(journal: Journal, *events: tuple[float, str, dict[str, Any]]) -> Run:
    for t, kind, data in events:
        journal.record(Event(t, "aaaa", kind, data))
    return Run(journal.migration("aaaa"), journal, Bus(), recalled=True)


def step(t: float, name: str, state: str, **more: Any) -> tuple[float, str, dict[str, Any]]:
    return (t, "step", {"step": name, "state": state, **more})


SWITCHED = [
    step(1000.0, "connect", "started"),
    step(1001.0, "connect", "done", seconds=1.0),
    (1009.0, "probe", {"samples": [[1008.9, 0.001], [1008.95, None]], "down": None, "downtime": None}),
    step(FROZEN, "freeze", "started"),
    step(1010.1, "freeze", "done", seconds=0.1),
    (1010.2, "progress", {"what": "memory", "done": 5, "total": 9, "rate": None}),
]


def test_the_gate_opens_once_however_often_commit_is_repeated(journal: Journal) -> None:
    run = before(journal, *SWITCHED, step(THAWED, "commit", "done", seconds=0.05))
    assert run.has_done(Step.COMMIT)
    run.emit("step", step="commit", state="done")
    assert run.measured() == (pytest.approx(0.25), "freeze")


def test_what_the_client_saw_is_not_lost(journal: Journal) -> None:
    seen = (1010.3, "probe", {"samples": [[1010.2, 0.01]], "down": 0.21, "downtime": 0.21})
    run = before(journal, *SWITCHED, step(THAWED, "commit", "done", seconds=0.05), seen)
    assert run.measured() == (0.21, "client")


def test_what_failed_is_not_done(journal: Journal) -> None:
    run = before(journal, *SWITCHED, step(THAWED, "commit", "failed", seconds=0.05))
    assert not run.has_done(Step.COMMIT)


def test_without_a_commit_there_is_no_downtime_yet(journal: Journal) -> None:
    run = before(journal, *SWITCHED)
    assert not run.has_done(Step.COMMIT)
    assert run.measured() == (None, "freeze")
    assert run.last_reply == pytest.approx(1008.901)
    assert run.traffic() == Traffic(memory=5, wire=5)


def test_the_clock_goes_on(journal: Journal) -> None:
    run = before(journal, *SWITCHED)
    run.conclude(Outcome.ROLLED_BACK)
    overhead = run.migration.overhead
    assert (overhead.creation, overhead.checkpoint) == (1.0, pytest.approx(0.1))
    assert overhead.total > 1000


def test_what_was_undone_has_an_outage_and_no_new_address(journal: Journal) -> None:
    run = before(journal, *SWITCHED)
    run.change(endpoint="10.0.0.2:80")
    run.prober = SimpleNamespace(outage=1.5, stop=lambda: None)  # type: ignore[assignment]
    run.conclude(Outcome.CANCELLED)
    found = run.migration
    assert (found.downtime, found.downtime_source, found.endpoint) == (1.5, "client", "")


def test_a_step_that_was_going_on_is_told_to_have_failed(journal: Journal) -> None:
    run = before(journal, *SWITCHED, step(1010.2, "transfer", "started"))
    run.broken("interrupted")
    last = list(journal.recording("aaaa"))[-1]
    assert (last["step"], last["state"], last["note"]) == ("transfer", "failed", "interrupted")


def test_a_conclusion_stands_and_is_told_once(journal: Journal) -> None:
    run = before(journal, *SWITCHED)
    assert run.conclude(Outcome.ROLLED_BACK) is Outcome.ROLLED_BACK
    again = Run(journal.migration("aaaa"), journal, Bus(), recalled=True)
    assert again.conclude(Outcome.COMMITTED) is Outcome.ROLLED_BACK
    assert [event["kind"] for event in journal.recording("aaaa")].count("outcome") == 1
