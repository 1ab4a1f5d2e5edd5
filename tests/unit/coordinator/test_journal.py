from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from umsui.coordinator.journal import AlreadyDecided, Decision, Journal
from umsui.errors import BadInput
from umsui.model import Event, Outcome

from .world import SPEC, migration, plan_of, request

A, B = "aaaa", "bbbb"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path)
    made.add(migration(A), request())
    return made


def test_a_decision_is_made_once(journal: Journal) -> None:
    assert journal.decision(A) is None
    journal.decide(A, Decision.COMMIT, "both voted")
    journal.decide(A, Decision.COMMIT, "again")
    with pytest.raises(AlreadyDecided):
        journal.decide(A, Decision.ABORT, "too late")
    assert journal.decision(A) is Decision.COMMIT


def test_racing_decisions_have_one_winner(journal: Journal) -> None:
    barrier = threading.Barrier(8)

    def decide(number: int) -> Decision | None:
        wanted = Decision.COMMIT if number % 2 else Decision.ABORT
        barrier.wait()
        try:
            journal.decide(A, wanted, "race")
        except AlreadyDecided:
            return None
        return wanted

    with ThreadPoolExecutor(8) as pool:
        won = {each for each in pool.map(decide, range(8)) if each}
    assert won == {journal.decision(A)}


def test_touch_is_true_once(journal: Journal, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: journal.touch(A), range(8))) == [False] * 7 + [True]
    journal.close()
    assert not Journal(tmp_path).touch(A)
    assert not Journal(tmp_path).touch("nobody")


class Law(RuleBasedStateMachine):
    """The journal against a model of it, closed and opened again at any time."""

    @initialize(folder=st.just(None))
    def begin(self, folder: None) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="umsui-journal-"))
        self.journal = Journal(self.folder)
        self.decided: dict[str, Decision | None] = {}
        self.touched: set[str] = set()
        self.told: dict[str, list[int]] = {}
        self.count = 0
        for each in (A, B):
            self.journal.add(migration(each), request())
            self.decided[each], self.told[each] = None, []

    @rule(which=st.sampled_from([A, B]), decision=st.sampled_from(Decision))
    def decide(self, which: str, decision: Decision) -> None:
        try:
            self.journal.decide(which, decision, "why")
        except AlreadyDecided:
            assert self.decided[which] not in (None, decision)
        else:
            assert self.decided[which] in (None, decision)
            self.decided[which] = decision

    @rule(which=st.sampled_from([A, B]))
    def touch(self, which: str) -> None:
        assert self.journal.touch(which) is (which not in self.touched)
        self.touched.add(which)

    @rule(which=st.sampled_from([A, B]))
    def record(self, which: str) -> None:
        self.count += 1
        flat = self.journal.record(
            Event(1.0, which, "log", {"message": "é\u2028\n" * (self.count % 3), "k": self.count})
        )
        assert flat["n"] == len(self.told[which])
        self.told[which].append(self.count)

    @rule()
    def crash(self) -> None:
        self.journal = Journal(self.folder)  # the other one is just left, as by kill -9

    @rule(which=st.sampled_from([A, B]))
    def end(self, which: str) -> None:
        self.journal.update(replace(migration(which), outcome=Outcome.COMMITTED, finished=5.0))

    @invariant()
    def holds(self) -> None:
        for each in (A, B):
            assert self.journal.decision(each) is self.decided[each]
            recorded = list(self.journal.recording(each))
            assert [event["k"] for event in recorded] == self.told[each]
            assert [event["n"] for event in recorded] == list(range(len(recorded)))
        assert {m.id for m in self.journal.running()} == {m.id for m in self.journal.all() if m.finished is None}

    def teardown(self) -> None:
        import shutil

        if hasattr(self, "folder"):
            self.journal.close()
            shutil.rmtree(self.folder)


Law.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestLaw = Law.TestCase


WRITER = """
import sys
from pathlib import Path
from umsui.coordinator.journal import Decision, Journal
from umsui.model import Event
journal = Journal(Path(sys.argv[1]))
for number in range(100000):
    journal.record(Event(float(number), "aaaa", "log", {"message": "x" * 3000}))
    if number == 20:
        journal.decide("aaaa", Decision.COMMIT, "both voted")
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_said(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    last = -1
    while last < 60:
        last = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    last = max([last, *(int(line) for line in writer.stdout.read().split()[:-1])])
    writer.wait()
    again = Journal(tmp_path)
    assert again.decision(A) is Decision.COMMIT
    with pytest.raises(AlreadyDecided):
        again.decide(A, Decision.ABORT, "no")
    recorded = list(again.recording(A))
    assert [event["t"] for event in recorded[: last + 1]] == [float(each) for each in range(last + 1)]
    assert again.record(Event(0.0, A, "log", {}))["n"] == len(recorded)


def test_a_torn_line_costs_only_itself(journal: Journal, tmp_path: Path) -> None:
    for number in range(3):
        journal.record(Event(float(number), A, "log", {}))
    journal.close()
    path = tmp_path / "recordings" / f"{A}.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    again = Journal(tmp_path)
    assert [event["n"] for event in again.recording(A)] == [0, 1]
    assert again.record(Event(9.0, A, "log", {}))["n"] == 3
    assert [(event["n"], event["t"]) for event in again.recording(A)] == [(0, 0.0), (1, 1.0), (3, 9.0)]


def test_an_old_recording_has_numbers_too(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "recordings" / f"{A}.jsonl"
    path.write_text('{"t":1.0,"migration":"aaaa","kind":"log"}\n' * 2)
    assert [event["n"] for event in journal.recording(A)] == [0, 1]


def test_threads_record_in_one_order(journal: Journal) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: journal.record(Event(1.0, A, "log", {"k": n})), range(200)))
    recorded = list(journal.recording(A))
    assert [event["n"] for event in recorded] == list(range(200))
    assert sorted(event["k"] for event in recorded) == list(range(200))


def test_a_full_disk_does_not_stop_a_migration(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal._files[A] = (Path("/dev/full").open("a", buffering=1), 0)  # noqa: SIM115
    assert [journal.record(Event(1.0, A, "log", {}))["n"] for _ in range(3)] == [0, 1, 2]
    assert journal.record(Event(1.0, A, "outcome", {"result": {}}))["n"] == 3
    assert not journal._files


def test_the_outcome_closes_the_file(journal: Journal) -> None:
    journal.record(Event(1.0, A, "outcome", {"result": {}}))
    assert not journal._files


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=8, unique=True))
def test_law_newest_first(tmp_path_factory: pytest.TempPathFactory, starts: list[float]) -> None:
    journal = Journal(tmp_path_factory.mktemp("j"))
    for number, start in enumerate(starts):
        journal.add(replace(migration(str(number)), started=start), request())
    assert [each.started for each in journal.all()] == sorted(starts, reverse=True)
    assert len(journal.all(limit=2)) == min(2, len(starts))
    journal.close()


def test_what_was_written_is_what_is_read(journal: Journal, tmp_path: Path) -> None:
    from .world import SPEC

    assert journal.order(A) is None
    journal.planned(A, plan_of(request()), SPEC)
    assert Journal(tmp_path).order(A) == (plan_of(request()), SPEC)
    assert Journal(tmp_path).request(A) == request()
    assert Journal(tmp_path).migration(A) == migration(A)


@pytest.mark.parametrize("call", ["decision", "migration", "request", "order"])
def test_what_is_not_there(journal: Journal, call: str) -> None:
    with pytest.raises(BadInput, match="no migration nobody") as caught:
        getattr(journal, call)("nobody")
    assert caught.value.code == "unknown-migration"
    assert list(journal.recording("nobody")) == []
    with pytest.raises(BadInput):
        journal.decide("nobody", Decision.ABORT, "")


def test_no_secret_is_written_down(journal: Journal, tmp_path: Path) -> None:
    secret = "hunter2-hunter2"
    spec = replace(
        SPEC,
        environment={"PASSWORD": secret},
        command=("serve", secret),
        entrypoint=(secret,),
        labels={"l": secret},
        annotations={"a": secret},
        health={"test": secret},
    )
    journal.planned(A, plan_of(request()), spec)
    journal.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"memhog" in written
    assert secret.encode() not in written
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("*.sqlite*"))


def test_the_document_costs_no_fsync(journal: Journal) -> None:
    level = "PRAGMA synchronous"
    assert (journal._db.execute(level).fetchone()[0], journal._quick.execute(level).fetchone()[0]) == (2, 1)


def test_whether_it_is_concluded(journal: Journal, tmp_path: Path) -> None:
    assert not journal.concluded(A)
    journal.record(Event(1.0, A, "log", {"message": '"kind":"outcome"'}))
    assert not journal.concluded(A)
    journal.record(Event(2.0, A, "outcome", {"result": {}}))
    assert journal.concluded(A)
    with (tmp_path / "recordings" / f"{A}.jsonl").open("a") as file:
        file.write('{"t": 3, "kind"')
    assert not journal.concluded(A)
