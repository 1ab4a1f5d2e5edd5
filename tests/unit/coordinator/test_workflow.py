"""The workflow with a scripted Move: what is called, what is decided, how it ends; DBOS is the real one."""

from __future__ import annotations

import copy
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from dbos import DBOS

from tests.waiting import waiting_for
from umsui.cli.follow import exit_of
from umsui.config import Config
from umsui.coordinator import engine as engine_module
from umsui.coordinator import workflow
from umsui.coordinator.bus import Bus
from umsui.coordinator.engine import Engine
from umsui.coordinator.journal import Decision, Journal
from umsui.coordinator.run import Run
from umsui.core.session import AgentError
from umsui.errors import BadInput, Cancelled, HostKeyChanged, Refused, UmsuiError, Unknown, Unreachable
from umsui.interface.protocol import Order
from umsui.model import (
    Approach,
    Exit,
    Failure,
    Finding,
    Migration,
    MigrationRequest,
    Outcome,
    Phase,
    Port,
    Step,
    Strategy,
)

from .world import SPEC, FakeInventory, Hands, Script, migration, plan_of, planned, raising, request

STEPS = ["connect", "reserve", "copy_ahead", "arm", "switch"]
WHOLE = [*STEPS, "commit", "finish", "close"]
KIND = (Approach.ORCHESTRATOR, Strategy.STOP_COPY, "podman", "podman")

Act = Callable[[Order], None]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Mapping[str, Script]]]:
    """An engine that starts on what a coordinator left that was killed: at three moments, with DBOS's memory lost."""
    folder = tmp_path_factory.mktemp("coordinator")
    journal = Journal(folder)
    scripts = {name: Script() for name in ("unborn", "touched", "decided")}
    for name in scripts:
        journal.add(replace(migration(name), service=f"azure-lab/{name}", started=time.time()), request())
    for name in ("touched", "decided"):
        journal.touch(name)
        journal.planned(name, plan_of(request()), SPEC)
    journal.decide("decided", Decision.COMMIT, "both ends have voted")
    engine = Engine(Config(), journal, Bus())
    engine.inventory = FakeInventory()  # type: ignore[assignment]
    patch = pytest.MonkeyPatch()
    patch.setattr(engine_module, "APPROACHES", {KIND: lambda order: scripts[order.id](order)})
    patch.setattr(engine_module, "planned", planned)
    engine.start(folder)
    waiting_for(lambda: not engine.running(), 20)
    patch.undo()
    yield engine, scripts
    engine.stop()
    journal.close()


def test_what_was_left_is_finished_or_undone(left: tuple[Engine, Mapping[str, Script]]) -> None:
    engine, scripts = left
    outcomes = {name: engine.journal.migration(name).outcome for name in scripts}
    assert outcomes == {"unborn": Outcome.COMMITTED, "touched": Outcome.ROLLED_BACK, "decided": Outcome.COMMITTED}
    assert scripts["unborn"].calls == WHOLE
    assert scripts["touched"].calls == ["rollback", "close"]
    assert scripts["decided"].calls == ["commit", "finish", "close"]
    error = engine.journal.migration("touched").error
    assert error is not None
    assert error.code == "interrupted"
    assert not engine.journal.running()


class World:
    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.engine = engine
        self.patch = patch
        self.inventory = FakeInventory()
        self.script = Script()
        engine.inventory = self.inventory  # type: ignore[assignment]
        patch.setattr(engine_module, "APPROACHES", {KIND: self.make})
        patch.setattr(engine_module, "planned", planned)

    def make(self, order: Order) -> Any:
        return self.script(order)

    def migrate(self, at: Mapping[str, Act] | None = None, **more: Any) -> Migration:
        """One migration, to its end."""
        self.script.at = at or {}
        begun = self.engine.migrate(request(**more), "")
        waiting_for(lambda: not self.engine.running(), 20)
        return self.engine.journal.migration(begun.id)

    def events(self, migration: Migration) -> list[dict[str, Any]]:
        return list(self.engine.journal.recording(migration.id))


@pytest.fixture
def world(left: tuple[Engine, Any], monkeypatch: pytest.MonkeyPatch) -> World:
    return World(left[0], monkeypatch)


def test_committed(world: World) -> None:
    done = world.migrate({"switch": lambda order: time.sleep(0.03)})
    assert done.outcome is Outcome.COMMITTED
    assert exit_of(done) is Exit.DONE
    assert world.script.calls == WHOLE
    assert world.engine.journal.decision(done.id) is Decision.COMMIT
    assert (done.downtime_source, done.error, done.cancellable) == ("freeze", None, False)
    assert done.downtime is not None
    assert done.downtime >= 0.03
    assert done.bytes.memory == 5
    assert done.finished is not None
    assert done.predicted == {"downtime": [0.1, 0.2, 0.3], "total": [1.0, 2.0, 3.0]}
    assert done.overhead.total > 0
    events = world.events(done)
    assert [e["phase"] for e in events if e["kind"] == "phase"] == [Phase.PRE, Phase.MIGRATION, Phase.POST]
    finished = [e["step"] for e in events if e["kind"] == "step" and e["state"] == "done"]
    skipped = (Step.FIRST_REPLY, Step.DRAIN)  # nobody to ask, and nothing to wait for after stop-and-copy
    assert finished == [step.value for step in Step if step not in skipped]
    assert events[-1]["kind"] == "outcome"
    assert events[-1]["result"]["outcome"] == "committed"
    assert [e["t"] for e in events] == sorted(e["t"] for e in events)


FAILURES = [
    AgentError("it broke", "mend it", code="agent-said"),
    Unreachable("gone", code="agent-gone"),
    Refused("differs", code="not-identical"),
    RuntimeError("a bug"),
    OSError(28, "No space left on device"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_rolls_back_once(world: World, step: str, error: Exception) -> None:
    done = world.migrate({step: raising(copy.copy(error))})
    assert done.outcome is Outcome.ROLLED_BACK
    assert exit_of(done) is Exit.ROLLED_BACK
    assert world.script.calls == [*STEPS[: STEPS.index(step) + 1], "rollback", "close"]
    assert world.engine.journal.decision(done.id) is Decision.ABORT
    assert done.error is not None
    assert done.error.code == (error.code if isinstance(error, UmsuiError) else "fault")
    assert str(error) in done.error.message
    assert done.error.step == {"copy_ahead": "copy-ahead", "switch": "transfer"}.get(step, step)
    assert done.downtime is None
    failed = [e for e in world.events(done) if e.get("state") == "failed"]
    assert [e["step"] for e in failed] == [done.error.step]


@pytest.mark.parametrize("step", STEPS)
def test_cancelled_at_any_step(world: World, step: str) -> None:
    done = world.migrate({step: lambda order: world.engine.cancel(order.id) and None})
    assert done.outcome is Outcome.CANCELLED
    assert exit_of(done) is Exit.CANCELLED
    assert world.script.calls == [*STEPS[: STEPS.index(step) + 1], "rollback", "close"]
    assert world.engine.journal.decision(done.id) is Decision.ABORT


@pytest.mark.parametrize("step", ["commit", "finish"])
def test_too_late_to_cancel(world: World, step: str) -> None:
    said: list[UmsuiError] = []

    def cancel(order: Order) -> None:
        try:
            world.engine.cancel(order.id)
        except UmsuiError as error:
            said.append(error)

    done = world.migrate({step: cancel})
    assert done.outcome is Outcome.COMMITTED
    assert [error.code for error in said] == ["too-late"]
    with pytest.raises(UmsuiError, match="any more"):
        world.engine.cancel(done.id)
    with pytest.raises(BadInput):
        world.engine.cancel("nobody")


def test_a_downtime_budget_is_kept(world: World) -> None:
    done = world.migrate({"switch": lambda order: time.sleep(0.08)}, max_downtime=0.05)
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.error is not None
    assert done.error.code == "downtime-budget"
    assert world.script.calls == [*STEPS, "rollback", "close"]
    world.script.calls.clear()
    assert world.migrate(max_downtime=5.0).outcome is Outcome.COMMITTED


def test_a_deadline_is_kept(world: World) -> None:
    done = world.migrate({"reserve": lambda order: time.sleep(0.1)}, deadline=0.05)
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.error is not None
    assert done.error.code == "deadline"
    assert "copy_ahead" not in world.script.calls


@pytest.mark.parametrize("error", [Unknown("where is it?"), AgentError("no", code="x"), KeyError("a bug")], ids=repr)
def test_what_cannot_be_undone_is_unknown(world: World, error: Exception) -> None:
    done = world.migrate({"arm": raising(AgentError("first", code="first")), "rollback": raising(error)})
    assert done.outcome is Outcome.UNKNOWN
    assert exit_of(done) is Exit.UNKNOWN
    assert world.script.calls == [*STEPS[:4], "rollback", "close"]
    assert done.error is not None
    assert done.error.step == "arm"
    assert "first" in done.error.message
    assert str(error) in done.error.message


@pytest.mark.parametrize("step", ["commit", "finish"])
@pytest.mark.parametrize("error", [AgentError("no", code="not-restored"), KeyError("a bug")], ids=repr)
def test_what_cannot_be_finished_is_unknown_and_never_undone(world: World, step: str, error: Exception) -> None:
    done = world.migrate({step: raising(error)})
    assert done.outcome is Outcome.UNKNOWN
    assert "rollback" not in world.script.calls
    assert ("finish" in world.script.calls) is (step == "finish")
    assert world.engine.journal.decision(done.id) is Decision.COMMIT


@pytest.mark.parametrize(("step", "count"), [("commit", 2), ("rollback", 2), ("finish", 2)])
def test_a_node_that_is_away_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, count: int
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(workflow, "time", Naps(naps))
    at = {step: raising(Unreachable("away"), count)}
    if step == "rollback":
        at["arm"] = raising(AgentError("no", code="x"))
    done = world.migrate(at)
    assert done.outcome is (Outcome.ROLLED_BACK if step == "rollback" else Outcome.COMMITTED)
    assert world.script.calls.count(step) == count + 1
    assert [nap for nap in naps if nap] == ([0.5] if step == "commit" else [0.5, 1.0])  # a commit is tried at once


class Naps:
    """``time``, but nobody waits: it passes with each nap."""

    time = staticmethod(time.time)

    def __init__(self, naps: list[float]) -> None:
        self._naps = naps
        self.sleep = naps.append

    def monotonic(self) -> float:
        return sum(self._naps)


@pytest.mark.parametrize("fails", ["before", "after"])
def test_what_ended_wrongly_is_taken_up_at_the_next_start(world: World, fails: str) -> None:
    """The disk is full when the outcome should be written."""

    def full(self: Run, outcome: Outcome, failure: Failure | None = None) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    world.script.at = {"arm": raising(AgentError("no", code="x"))} if fails == "before" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "conclude", full)
        begun = world.engine.migrate(request(), "")
        waiting_for(lambda: DBOS.get_workflow_status(begun.id).status == "ERROR", 10)  # type: ignore[union-attr]
    assert [each.id for each in world.engine.running()] == [begun.id]
    world.script.calls.clear()
    world.engine._take_up()
    waiting_for(lambda: not world.engine.running(), 10)
    expected = Outcome.ROLLED_BACK if fails == "before" else Outcome.COMMITTED
    assert world.engine.journal.migration(begun.id).outcome is expected
    assert world.script.calls == (["rollback", "close"] if fails == "before" else ["close"])  # all was done


def test_without_a_decision_it_is_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(world.engine.journal, "decide", full)
    done = world.migrate()
    assert done.outcome is Outcome.ROLLED_BACK
    assert world.script.calls == [*STEPS, "rollback", "close"]


@pytest.fixture
def post_copy(world: World) -> World:
    kind = (Approach.ORCHESTRATOR, Strategy.POST_COPY, "podman", "podman")
    world.patch.setattr(engine_module, "APPROACHES", {kind: world.make})
    world.patch.setattr(engine_module, "planned", partial(planned, strategy=Strategy.POST_COPY))
    return world


def test_post_copy_removes_the_source_when_the_last_page_has_come(post_copy: World) -> None:
    done = post_copy.migrate()
    assert done.outcome is Outcome.COMMITTED
    assert done.strategy is Strategy.POST_COPY
    assert post_copy.script.calls == [*STEPS, "commit", "drain", "finish", "close"]


def test_post_copy_waits_for_a_node_that_is_away(post_copy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(workflow, "time", Naps(naps))
    done = post_copy.migrate({"drain": raising(Unreachable("away"), 2)})
    assert done.outcome is Outcome.COMMITTED
    assert [nap for nap in naps if nap] == [0.5, 1.0]


def test_post_copy_does_not_wait_for_ever(post_copy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(workflow, "time", Naps(naps))
    done = post_copy.migrate({"drain": raising(Unreachable("away"), 100)})
    assert done.outcome is Outcome.UNKNOWN
    assert done.error is not None
    assert (done.error.code, done.error.step) == ("source-gone", "drain")
    assert workflow.GONE < sum(naps) < workflow.GONE + 2 * workflow.RETRY
    assert "finish" not in post_copy.script.calls


@pytest.mark.parametrize("error", [AgentError("pages are lost", code="x"), KeyError("a bug")], ids=repr)
def test_post_copy_removes_nothing_when_pages_are_missing(post_copy: World, error: Exception) -> None:
    done = post_copy.migrate({"drain": raising(error)})
    assert done.outcome is Outcome.UNKNOWN
    assert done.error is not None
    assert done.error.step == "drain"
    assert post_copy.script.calls == [*STEPS, "commit", "drain", "close"]


def test_refused_before_anything_is_touched(world: World) -> None:
    finding = Finding("criu-version", False, True, "CRIU is too old", "it fails", "install 4.2", "gcp-lab/n1")
    world.patch.setattr(engine_module, "planned", partial(planned, findings=(finding,)))
    done = world.migrate()
    assert done.outcome is Outcome.REFUSED
    assert exit_of(done) is Exit.REFUSED
    assert done.error is not None
    assert (done.error.step, done.error.code, done.error.fix) == ("verify", "criu-version", "install 4.2")
    assert world.script.calls == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(Unreachable("away"), Exit.UNREACHABLE), (HostKeyChanged("who?"), Exit.UNREACHABLE), (BadInput("no"), Exit.USAGE)],
    ids=repr,
)
def test_no_plan_can_be_made(world: World, error: Exception, code: Exit) -> None:
    def fail(*_: Any) -> Any:
        raise error

    world.patch.setattr(engine_module, "planned", fail)
    done = world.migrate()
    assert done.outcome is Outcome.REFUSED
    assert exit_of(done) is code
    assert world.script.calls == []


def test_it_goes_where_it_was_meant_to(world: World) -> None:
    """Also when another node of the cluster has more memory free by the time that the plan is made again."""
    asked: list[MigrationRequest] = []

    def note(request: MigrationRequest, *more: Any) -> Any:
        asked.append(request)
        return planned(request, *more)

    world.patch.setattr(engine_module, "planned", note)
    begun = world.engine.migrate(replace(request(), service="memhog"), "")
    waiting_for(lambda: not world.engine.running(), 20)
    assert world.engine.journal.migration(begun.id).outcome is Outcome.COMMITTED
    assert [(each.service, each.node) for each in asked] == [("azure-lab/memhog", "n1")]


def test_one_service_moves_once_at_a_time(world: World) -> None:
    held = threading.Event()
    world.script.at = {"reserve": lambda order: held.wait(5) and None}
    first = world.engine.migrate(request(), "")
    with pytest.raises(BadInput) as caught:
        world.engine.migrate(request(), "")
    assert caught.value.code == "already-moving"
    assert first.id in caught.value.fix
    for service in ("azure-lab/memhog", "gcp-lab/memhog"):  # where it is, and where it will be
        with pytest.raises(BadInput, match=first.id):
            world.engine.refuse_moving(service)
    world.engine.refuse_moving("azure-lab/redis")
    held.set()
    waiting_for(lambda: not world.engine.running())


@pytest.mark.parametrize("step", ["copy_ahead", "arm", "switch"])
def test_what_is_changed_behind_its_back_calls_it_off(world: World, step: str) -> None:
    touched = threading.Event()
    trouble = AgentError("the service was paused while it was being moved", "find out who did that", code="changed")

    def look(order: Order) -> None:
        if touched.is_set():
            raise trouble

    def work(order: Order) -> None:
        touched.set()
        waiting_for(order.cancelled, 5)  # the approach is told

    done = world.migrate({"intact": look, step: work})
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.error is not None
    assert (done.error.code, done.error.message) == ("changed", trouble.message)
    assert "commit" not in world.script.calls
    assert "rollback" in world.script.calls


def test_a_step_that_fails_for_want_of_what_was_removed(world: World) -> None:
    gone = threading.Event()

    def fail(order: Order) -> None:
        gone.set()
        raise AgentError("no such file or directory", code="files-not-copied")

    def look(order: Order) -> None:
        if gone.is_set():
            raise AgentError("the service was removed while it was being moved", code="changed")

    done = world.migrate({"copy_ahead": fail, "intact": look})
    assert done.error is not None
    assert done.error.code == "changed"


def test_a_look_that_fails_changes_nothing(world: World) -> None:
    assert world.migrate({"intact": raising(Unreachable("gone"))}).outcome is Outcome.COMMITTED
    assert (
        world.migrate({"intact": raising(AgentError("no such method", code="bad-input"))}).outcome is Outcome.COMMITTED
    )


def test_a_protected_cluster_wants_the_name(world: World) -> None:
    world.inventory.protected = True
    for confirm in ("", "yes", "azure-lab/memhog"):
        with pytest.raises(BadInput) as caught:
            world.engine.migrate(request(), confirm)
        assert caught.value.code == "protected"
    assert not world.engine.running()
    world.engine.migrate(request(), "memhog")
    waiting_for(lambda: not world.engine.running())


def test_a_name_not_seen_yet_is_looked_for(world: World) -> None:
    with pytest.raises(BadInput):
        world.engine.migrate(replace(request(), service="azure-lab/other"), "")
    assert world.inventory.refreshed == 1


def test_why_no_client_saw_it(world: World) -> None:
    nobody = socket.create_server(("127.0.0.1", 0))
    port = nobody.getsockname()[1]
    nobody.close()
    for ports, why in ((), "it publishes no TCP port"), ((Port(port, 80),), f"127.0.0.1:{port}: "):
        world.inventory.spec = replace(SPEC, ports=ports)
        done = world.migrate()
        assert done.downtime_source == "freeze"
        (told,) = [each["message"] for each in world.events(done) if "freeze to thaw" in each.get("message", "")]
        assert why in told


def test_downtime_is_what_a_client_saw(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source = socket.create_server(("127.0.0.1", 0))
    port = source.getsockname()[1]
    destination = socket.socket()
    destination.bind(("127.0.0.2", port))
    seen: dict[str, float] = {}

    def serve(server: socket.socket, key: str, first: bool) -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller:
                caller.recv(100)
                now = time.time()
                caller.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                seen[key] = seen.get(key, now) if first else now

    threading.Thread(target=serve, args=(source, "last", False), daemon=True).start()

    def freeze(order: Order) -> None:
        source.shutdown(socket.SHUT_RDWR)
        source.close()
        time.sleep(0.1)

    def open_gate(order: Order) -> None:
        destination.listen(64)
        threading.Thread(target=serve, args=(destination, "first", True), daemon=True).start()

    spec = replace(SPEC, ports=(Port(port, 80),))

    def end(place: Any) -> Any:
        found = FakeInventory(spec).end(place)
        hands: Any = Hands(spec)
        hands.address = "127.0.0.1" if place.cluster == "azure-lab" else "127.0.0.2"
        return replace(found, transport=hands)

    monkeypatch.setattr(world.inventory, "end", end)
    monkeypatch.setattr(workflow, "AFTER", 0.1)
    done = world.migrate({"switch": freeze, "commit": open_gate})
    destination.close()
    assert done.outcome is Outcome.COMMITTED
    assert done.downtime_source == "client"
    assert done.downtime == pytest.approx(seen["first"] - seen["last"], abs=0.025)
    probes = [event for event in world.events(done) if event["kind"] == "probe"]
    assert probes[-1]["downtime"] == pytest.approx(done.downtime)
    assert [event["step"] for event in world.events(done) if event.get("step") == "first-reply"]


def test_a_cancel_that_was_accepted_is_never_followed_by_a_commit(world: World) -> None:
    """Between the last look at the flag and the decision: the decision itself must lose."""
    decide = world.engine.journal.decide

    def late(migration_id: str, decision: Decision, why: str) -> None:
        if decision is Decision.COMMIT:
            world.engine.cancel(migration_id)
        decide(migration_id, decision, why)

    world.patch.setattr(world.engine.journal, "decide", late)
    done = world.migrate()
    assert done.outcome is Outcome.CANCELLED
    assert "commit" not in world.script.calls
    assert world.script.calls[-2:] == ["rollback", "close"]


def test_a_deadline_ends_a_long_step(world: World) -> None:
    def copy_ahead(order: Order) -> None:
        waiting_for(order.cancelled)
        raise Cancelled("told to stop")

    done = world.migrate({"copy_ahead": copy_ahead}, deadline=1.0)
    assert done.outcome is Outcome.ROLLED_BACK
    assert done.error is not None
    assert (done.error.step, done.error.code) == ("copy-ahead", "deadline")


def test_after_the_decision_nobody_is_told_to_stop(world: World) -> None:
    told: list[bool] = []

    def commit(order: Order) -> None:
        time.sleep(1.1)
        told.append(order.cancelled())

    assert world.migrate({"commit": commit}, deadline=1.0).outcome is Outcome.COMMITTED
    assert told == [False]


def test_a_fault_while_verifying_is_no_refusal(world: World) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("a bug")

    world.patch.setattr(engine_module, "planned", broken)
    done = world.migrate()
    assert (done.outcome, exit_of(done)) == (Outcome.ROLLED_BACK, Exit.ROLLED_BACK)
    assert world.script.calls == []


def test_the_total_is_the_work_without_the_measuring(world: World) -> None:
    def slow_plan(*asked: Any) -> Any:
        time.sleep(1.5)
        return planned(*asked)

    world.patch.setattr(engine_module, "planned", slow_plan)
    done = world.migrate({"connect": lambda order: time.sleep(0.05), "reserve": lambda order: time.sleep(0.05)})
    assert 0.1 <= done.overhead.creation < 1.0
    assert 0.1 <= done.overhead.total < 1.4  # without the plan


def test_nothing_comes_after_the_outcome(world: World) -> None:
    orders: list[Order] = []
    done = world.migrate({"connect": orders.append})
    orders[0].emit("log", level="info", message="an agent that is late")
    assert world.events(done)[-1]["kind"] == "outcome"


def test_the_approach_gets_all_of_the_specification(world: World) -> None:
    """The journal keeps no secrets; what is created at the destination must have them all the same."""
    world.inventory.spec = replace(SPEC, environment={"PASSWORD": "hunter2"}, labels={"a": "b"}, command=("serve",))
    orders: list[Order] = []
    done = world.migrate({"reserve": orders.append})
    assert orders[0].specification == world.inventory.spec
    kept = world.engine.journal.order(done.id)
    assert kept is not None
    assert kept[1].environment == {}


def stuck(world: World, call: str, **more: Act) -> Migration:
    """A migration that ends as unknown because ``call`` fails."""
    done = world.migrate({call: raising(AgentError("it will not go", code="stuck")), **more})
    assert done.outcome is Outcome.UNKNOWN
    world.script.calls.clear()
    world.script.at = {}
    return done


def resolved(world: World, migration: Migration) -> Migration:
    world.engine.resolve(migration.id)
    waiting_for(lambda: not world.engine.running(), 20)
    return world.engine.journal.migration(migration.id)


def test_an_unknown_outcome_is_finished_by_what_was_decided(world: World) -> None:
    done = resolved(world, stuck(world, "finish"))
    assert (done.outcome, done.error) == (Outcome.COMMITTED, None)
    assert "finish" in world.script.calls
    assert "commit" not in world.script.calls  # that was done
    events = world.events(done)
    assert [event["kind"] for event in events].count("outcome") == 1
    assert events[-1]["result"]["outcome"] == "committed"
    logs = [event["message"] for event in events if event["kind"] == "log"]
    assert any("the outcome was unknown: it will not go" in line for line in logs)
    assert any("commit had been decided" in line and "azure-lab/n1: absent" in line for line in logs)


def test_an_unknown_outcome_is_undone_by_what_was_decided(world: World) -> None:
    fails = {"switch": raising(AgentError("no", code="not-dumped"))}
    done = resolved(world, stuck(world, "rollback", **fails))
    assert done.outcome is Outcome.ROLLED_BACK
    assert world.script.calls[0] == "rollback"


def test_what_cannot_be_resolved_stays_unknown_and_may_be_tried_again(world: World) -> None:
    first = stuck(world, "finish")
    world.script.at = {"finish": raising(AgentError("still not", code="stuck"))}
    world.engine.resolve(first.id)
    waiting_for(lambda: not world.engine.running(), 20)
    again = world.engine.journal.migration(first.id)
    assert again.outcome is Outcome.UNKNOWN
    assert again.error is not None
    assert again.error.message == "still not"
    world.script.at = {}
    assert resolved(world, first).outcome is Outcome.COMMITTED


def test_what_cannot_even_be_taken_up_stays_unknown_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stuck(world, "finish")
    with monkeypatch.context() as gone:
        gone.setattr(world.inventory, "end", raising(BadInput("there is no cluster gcp-lab any more")))
        with pytest.raises(BadInput, match="no cluster"):
            world.engine.resolve(first.id)
    found = world.engine.journal.migration(first.id)
    assert found.outcome is Outcome.UNKNOWN
    assert found.error is not None
    assert "no cluster gcp-lab" in found.error.message
    assert world.engine.running() == []
    assert resolved(world, first).outcome is Outcome.COMMITTED


SIGHTS = [
    ({"gcp-lab": {"memhog": "running"}}, Outcome.COMMITTED),
    ({"azure-lab": {"memhog": "running"}}, Outcome.ROLLED_BACK),
    ({}, Outcome.UNKNOWN),
    ({"azure-lab": {"memhog": "running"}, "gcp-lab": {"memhog": "running"}}, Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("runs", "outcome"), SIGHTS)
def test_nodes_that_know_nothing_are_looked_at(world: World, runs: dict[str, Any], outcome: Outcome) -> None:
    first = stuck(world, "finish")
    world.script.forgotten = True
    world.inventory.runs = runs
    done = resolved(world, first)
    assert done.outcome is outcome
    assert "finish" not in world.script.calls
    assert (done.error is None) == (outcome is Outcome.COMMITTED)


def test_nothing_to_resolve(world: World) -> None:
    with pytest.raises(BadInput, match="committed"):
        world.engine.resolve(world.migrate().id)
