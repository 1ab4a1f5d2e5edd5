"""kill -9 of the coordinator at every step: a real process, a real signal, DBOS and journal on disk.

Afterwards the service runs at exactly one place, the journal says where and why, and a further start changes nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from umsui.coordinator.journal import Decision, Journal
from umsui.model import Outcome

from . import crashing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["umsui.coordinator.engine", "umsui.coordinator.server"])

UNTOUCHED = ["add:after", "verify:before", "planned:before"]
UNDONE = [
    f"{step}:{when}" for step in ("connect", "reserve", "copy_ahead", "arm", "switch") for when in ("before", "after")
]
UNDONE += ["switch:middle", "commit:before"]
DECIDED = [
    "commit:after",
    "finish:before",
    "finish:middle",
    "finish:after",
    "final:before",
    "final:after",
    "outcome:before",
    "outcome:after",
]
TWICE = [
    ["switch:after", "rollback:before"],
    ["switch:after", "rollback:middle"],
    ["switch:after", "rollback:after"],
    ["arm:after", "abort:before"],
    ["arm:after", "abort:after"],
    ["switch:middle", "rollback:middle", "final:after"],
    ["switch:middle", "rollback:middle", "outcome:after"],
    ["commit:after", "commit:before", "finish:before"],
    ["commit:after", "finish:after", "final:after"],
    ["add:after", "switch:middle"],
]


class Life:
    """One migration through as many coordinators as it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, points: list[str]) -> None:
        (self.folder / "die.json").write_text(json.dumps(points))
        for number in range(len(points)):
            assert self.start(first=number == 0) == -signal.SIGKILL, f"it did not die at {self.left()}"
        assert self.left() == []
        assert self.start() == 0, f"not ended: {self.nodes}"

    def start(self, *, first: bool = False) -> int | None:
        process = FORKS.Process(target=crashing.coordinator, args=(self.folder, first))
        process.start()
        process.join(60)
        code = process.exitcode
        process.kill()
        return code

    def left(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "die.json").read_text())
        return found

    @property
    def nodes(self) -> dict[str, Any]:
        return crashing.Nodes(self.folder).state


def check(life: Life) -> Outcome:
    """What must hold, however it went."""
    nodes = life.nodes
    assert nodes["wrong"] == []
    places = (nodes["source"], nodes["destination"])
    assert places in (("running", "none"), ("gone", "running")), places
    journal = Journal(life.folder)
    (migration,) = journal.all()
    decision = journal.decision(migration.id)
    assert decision is (Decision.COMMIT if places == ("gone", "running") else Decision.ABORT)
    assert migration.outcome is (Outcome.COMMITTED if decision is Decision.COMMIT else Outcome.ROLLED_BACK)
    assert migration.finished is not None
    assert (migration.error is None) is (decision is Decision.COMMIT)
    with sqlite3.connect(life.folder / "journal.sqlite") as db:
        assert db.execute("SELECT why FROM migrations").fetchone()[0]
    events = list(journal.recording(migration.id))
    assert [event["kind"] for event in events].count("outcome") == 1
    assert events[-1]["kind"] == "outcome"
    assert events[-1]["result"]["outcome"] == migration.outcome.value
    journal.close()
    return migration.outcome


@pytest.mark.parametrize("point", UNTOUCHED)
def test_killed_before_anything_is_touched_it_begins_again(tmp_path: Path, point: str) -> None:
    life = Life(tmp_path)
    life.run([point])
    assert check(life) is Outcome.COMMITTED


@pytest.mark.parametrize("point", UNDONE)
def test_killed_before_the_decision_it_is_undone(tmp_path: Path, point: str) -> None:
    life = Life(tmp_path)
    life.run([point])
    assert check(life) is Outcome.ROLLED_BACK
    assert life.nodes["calls"].count("rollback") == 1


@pytest.mark.parametrize("point", DECIDED)
def test_killed_after_the_decision_it_is_finished(tmp_path: Path, point: str) -> None:
    life = Life(tmp_path)
    life.run([point])
    assert check(life) is Outcome.COMMITTED
    assert "rollback" not in life.nodes["calls"]


@pytest.mark.parametrize("points", TWICE, ids="+".join)
def test_killed_again_and_again(tmp_path: Path, points: list[str]) -> None:
    life = Life(tmp_path)
    life.run(points)
    check(life)


@pytest.mark.parametrize(
    ("point", "commits", "finishes"), [("drain:before", 1, 1), ("finish:before", 1, 1), ("cleaned:before", 1, 1)]
)
def test_what_was_done_is_not_done_again(tmp_path: Path, point: str, commits: int, finishes: int) -> None:
    """Nodes that are clean know nothing of the migration any more: asked again, they could only fail."""
    life = Life(tmp_path)
    life.run([point])
    assert check(life) is Outcome.COMMITTED
    calls = life.nodes["calls"]
    assert (calls.count("commit"), calls.count("finish")) == (commits, finishes)


def test_what_has_ended_is_left_alone(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.run(["finish:after"])
    before = life.nodes
    assert life.start() == 0
    assert life.nodes == before
    check(life)
