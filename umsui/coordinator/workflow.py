"""The durable workflow of one migration: the paper's three phases around one decision.

DBOS remembers which of its steps have ended; a coordinator that died is started again and goes on there. The rule
after a crash: nothing touched, so begin again; touched, but nothing decided, so undo; decided, so finish forward. The
decision is one durable write (``Journal.decide``), made when both ends have voted. See docs/decisions/commit-point.md.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID

from umsui.config import Config
from umsui.coordinator import again
from umsui.coordinator.bus import Bus
from umsui.coordinator.details import Links
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.journal import AlreadyDecided, Decision, Journal
from umsui.coordinator.operations import Operations
from umsui.coordinator.prober import Address, Prober
from umsui.coordinator.run import Run
from umsui.coordinator.vigil import Vigil
from umsui.core.agents import Agents
from umsui.decision import blockers, plan, resolve
from umsui.errors import BadInput, Cancelled, Refused, UmsuiError, Unreachable
from umsui.interface import APPROACHES, Together, composition
from umsui.interface.probe import Probes
from umsui.interface.protocol import End, Move, Order
from umsui.model import (
    Approach,
    Cluster,
    Exit,
    Failure,
    Migration,
    MigrationRequest,
    Node,
    Outcome,
    Place,
    Plan,
    Port,
    Specification,
    StartFirst,
    Step,
    Strategy,
)

log = logging.getLogger(__name__)

SETTLE = 0.5  # seconds of probing before the switch
AFTER = 1.0  # and after the first reply
AGAIN = (0.0, 1.0, 2.0)  # seconds between questions for a service that nobody has seen
REPLY = 30.0  # seconds that the first reply at the destination may take
CANCELLED = "cancelled by the operator"
UNREFUSED = ("fault", "interrupted", "deadline")  # codes of failures to verify that are nobody's refusal
LOCAL = ("127.", "::1", "localhost")  # addresses of ports that only the node itself reaches
RETRY = 15.0  # seconds at most between two attempts to finish or undo at a node that does not answer


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan may know (a ``umsui.decision.planner.Resolver``): the board without the migration that it is for."""

    inventory: Inventory
    operations: Operations
    migration: str

    def clusters(self) -> list[Cluster]:
        """The board."""
        return self.inventory.clusters(without=self.migration)

    def end(self, place: Place) -> End:
        """A connection to a node. Raises BadInput."""
        return self.inventory.end(place)

    def start_first(self, place: Place, source: Node | None) -> StartFirst:
        """What it takes to start a node's machine."""
        return self.operations.start_first(place, source)


class Engine:
    """All running migrations. There is one in a process: DBOS's workflows are functions of the module."""

    def __init__(self, config: Config, journal: Journal, bus: Bus) -> None:
        self.config = config
        self.journal = journal
        self.bus = bus
        self.inventory = Inventory(config, bus, self.running)
        self.links = Links()
        self.operations = Operations(self.inventory)
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def start(self, folder: Path) -> None:
        """Begin to poll, and take up what an earlier coordinator left."""
        global _engine  # noqa: PLW0603
        _engine = self
        for migration in self.journal.running():
            self.run(migration.id)
        self.inventory.start()
        settings: DBOSConfig = {
            "name": "umsui",
            "system_database_url": f"sqlite:///{folder / 'workflows.sqlite'}",
            "application_version": "1",  # the workflow's own: an upgraded umsui takes up what an older one left
            "executor_id": "local",
            "log_level": "WARNING",
        }
        DBOS(config=settings)
        DBOS.launch()
        self._take_up()

    def _take_up(self) -> None:
        """Migrations that have not ended, and that DBOS does not take up itself.

        Either the coordinator died between the journal's entry and the workflow's start, or the workflow came to an
        end that it should not have: the disk was full, or so.
        """
        for migration in self.journal.running():
            status = DBOS.get_workflow_status(migration.id)
            if status is None:
                self._begin(migration.id)
            elif status.status not in ("PENDING", "ENQUEUED"):
                self._begin(migration.id, f"{migration.id}-{uuid.uuid4().hex[:6]}")

    def stop(self) -> None:
        """End the process's part; workflows that run are taken up at the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=0)
        self.inventory.stop()

    # -- what the API asks ------------------------------------------------------------------------------------------

    def running(self) -> list[Migration]:
        """Those that have not ended."""
        with self._lock:
            return [run.migration for run in self._runs.values()]

    def plan(self, request: MigrationRequest, of: str = "", agents: Agents | None = None) -> Plan:
        """What would be done; probes both ends. ``of`` is the migration it is for, ``agents`` those that it lends.

        Raises BadInput, Unreachable.
        """
        self._settle(request)
        with Probes(self.links.learn, agents) as probes:
            return plan(request, Known(self.inventory, self.operations, of), probes, self.journal.all())

    def _settle(self, request: MigrationRequest) -> None:
        """A name that is not known may just not have been seen yet; a node that just fails is asked once more."""
        for pause in AGAIN:
            try:
                resolve(self.inventory.clusters(), request)
            except (BadInput, Unreachable):
                time.sleep(pause)
                self.inventory.refresh()
            else:
                return
            if not self.inventory.falters():
                return

    def migrate(self, request: MigrationRequest, confirm: str) -> Migration:
        """Start a migration. Raises BadInput at once for what cannot be meant; the rest is refused by its plan."""
        self._settle(request)
        found = resolve(self.inventory.clusters(), request)
        guarded = [each.name for each in (found.source_cluster, found.destination_cluster) if each.protected]
        if guarded and confirm != found.service.name:
            raise BadInput(
                f"{' and '.join(guarded)} is protected",
                f"confirm with the service's name: {found.service.name}",
                code="protected",
            )
        migration = Migration(
            id=uuid.uuid4().hex[:12],
            service=found.service.key,
            source=found.source,
            destination=found.destination,
            approach=request.approach or Approach.ORCHESTRATOR,
            strategy=request.strategy or Strategy.STOP_COPY,
            budget=request.max_downtime,
            started=time.time(),
        )
        with self._lock:
            self._refuse_moving(migration.service)
            self.journal.add(migration, request)
            self._runs[migration.id] = Run(migration, self.journal, self.bus)
        for place in (migration.source, migration.destination):
            self.inventory.tell(place.cluster)
        self._begin(migration.id)
        return migration

    def refuse_moving(self, service: str) -> None:
        """No change to a service (``cluster/name``) that moves, or that one arrives as. Raises BadInput."""
        with self._lock:
            self._refuse_moving(service)

    def _refuse_moving(self, service: str) -> None:
        for run in self._runs.values():
            moving = run.migration
            arriving = f"{moving.destination.cluster}/{moving.service.partition('/')[2]}"
            if service in (moving.service, arriving):
                what = (
                    f"{service} is being moved already" if service == moving.service else f"{service} is just arriving"
                )
                fix = f"wait for it: umsui watch {run.id}"
                raise BadInput(f"{what} (migration {run.id})", fix, code="already-moving")

    def _begin(self, migration_id: str, workflow_id: str = "") -> None:
        with SetWorkflowID(workflow_id or migration_id):
            DBOS.start_workflow(migrate, migration_id)

    def cancel(self, migration_id: str) -> Migration:
        """Call it off: a decision like the commit, so that exactly one of them comes true, whenever this is asked.

        Raises BadInput for one that there is not, UmsuiError with code ``too-late`` when it is decided or has ended.
        """
        migration = self.journal.migration(migration_id)
        late = UmsuiError(f"{migration_id} cannot be cancelled any more", "move the service back", code="too-late")
        with self._lock:
            run = self._runs.get(migration_id)
        if run is None or migration.finished is not None:
            raise late
        try:
            self.journal.decide(migration_id, Decision.ABORT, CANCELLED)
        except AlreadyDecided:
            raise late from None
        run.cancel()
        return run.migration

    def resolve(self, migration_id: str) -> Migration:
        """Take up again what ended as unknown. Raises BadInput for one whose outcome is known, or that there is not."""
        self.refuse_moving(self.journal.migration(migration_id).service)
        migration = again.reopen(self.journal, migration_id)
        run, order = self.run(migration_id), self.journal.order(migration_id)
        move = self.move(run)
        if order is not None and move is not None:
            ends = (self.inventory.end(migration.source), self.inventory.end(migration.destination))
            here, there = again.sight(run, order[1], *ends)
            if again.forgotten(move):
                run.conclude(*again.by_sight(here, there))
                self.forget(run)
                return self.journal.migration(migration_id)
        self._begin(migration_id, f"{migration_id}-{uuid.uuid4().hex[:6]}")
        return migration

    # -- what the workflow's steps share ----------------------------------------------------------------------------

    def run(self, migration_id: str) -> Run:
        """A migration's shared state; made from the journal when this process has not seen it."""
        with self._lock:
            if migration_id not in self._runs:
                found = self.journal.migration(migration_id)
                self._runs[migration_id] = Run(found, self.journal, self.bus, recalled=True)
            return self._runs[migration_id]

    def move(self, run: Run) -> Move | None:
        """How it is carried out; None when it was never planned, so that nothing was touched."""
        order = self.journal.order(run.id)
        if run.move is None and order is not None:
            run.move = self.new_move(run, *order)
        return run.move

    def new_move(self, run: Run, plan: Plan, spec: Specification) -> Move:
        """The approach's own part of a migration; does nothing remote yet. Raises BadInput."""
        source, destination = self.inventory.end(plan.source), self.inventory.end(plan.destination)
        assert plan.approach is not None
        assert plan.strategy is not None
        kind = (plan.approach, plan.strategy, source.orchestrator.name, destination.orchestrator.name)
        factory = Together if spec.parts else APPROACHES[kind]
        return factory(Order(run.id, plan, spec, source, destination, run.emit, lambda: run.halted, run.agents))

    def prober(self, run: Run, spec: Specification) -> Prober | None:
        """A client of the service, where it publishes a TCP port and answers there."""
        return next((prober for prober in self.probers(run, spec) if prober.start()), None)

    def probers(self, run: Run, spec: Specification) -> list[Prober]:
        """A client for each TCP port that others reach, not started."""
        source, destination = (self.inventory.end(each) for each in (run.migration.source, run.migration.destination))
        interval, name = self.config.coordinator.probe_interval, spec.name
        try:
            host = source.host_of(name)
        except UmsuiError:
            return []  # nothing can be measured there; whoever moves it says why

        def prober(port: Port) -> Prober:
            here = Address(host, source.port_of(port), port.container)

            def there() -> Address:
                return Address(destination.host_of(name), destination.port_of(port), port.container)

            return Prober(here, there, interval, run.emit)

        return [prober(port) for port in spec.ports if port.protocol == "tcp" and not port.address.startswith(LOCAL)]

    def forget(self, run: Run) -> None:
        """It has ended."""
        run.close()
        with self._lock:
            self._runs.pop(run.id, None)
        self.inventory.look(run.migration.source, run.migration.destination)
        for name in (run.migration.source.cluster, run.migration.destination.cluster):
            self.inventory.tell(name)


_engine: Engine


@DBOS.workflow(max_recovery_attempts=1_000_000)
def migrate(migration_id: str) -> str:
    """One migration from its request to its outcome."""
    failure = pre_migration(migration_id) or migration_phase(migration_id)
    if failure is None:
        return post_migration(migration_id)
    return undo(migration_id, failure)


@DBOS.step()
def pre_migration(migration_id: str) -> Failure | None:
    """Verify, connect, reserve, copy ahead, arm. Answers why not, if not."""
    run = _engine.run(migration_id)
    if _engine.journal.decision(migration_id) is Decision.COMMIT:
        return None  # decided, and then the machine went down so hard that DBOS has forgotten this step
    if _engine.journal.touched(migration_id) or _engine.journal.decision(migration_id) is not None:
        return interrupted(run)
    run.emit("phase", phase=run.migration.phase.value)
    try:
        with run.step(Step.VERIFY):
            move, spec = _verify(run)
        _engine.journal.touch(migration_id)  # from here on, a crash means undoing
        run.prober = _engine.prober(run, spec)
        for step, work in _preparations(move):
            with run.step(step):
                work()
            if step is Step.RESERVE:
                run.vigil = Vigil(run, move)
                run.vigil.start()
        if run.prober is not None:
            run.prober.quicken()
        else:
            run.log(
                "the service does not answer on a published TCP port: downtime is measured from freeze to thaw",
                "warning",
            )
        began = time.time()
        with run.step(Step.ARM):
            move.arm()
        run.idle = max(0.0, began + SETTLE - time.time()) if run.prober else 0.0
        time.sleep(run.idle)
    except Exception as error:  # whatever it is, what was touched must be undone
        return failure_of(error, run)
    return None


def failure_of(error: Exception, run: Run) -> Failure:
    """What the journal and the operator get to know; what is not one of ours is a fault of umsui."""
    if isinstance(error, Cancelled) and not run.cancelled:
        error = (
            run.trouble or run.overdue() or error
        )  # the approach stopped because it was told to, and not by the operator
    if run.vigil is not None and run.frozen_at is None and not isinstance(error, (Cancelled, Unreachable)):
        run.vigil.look()  # perhaps somebody has removed what the step needed
        error = run.trouble or error
    run.broken(str(error))
    if isinstance(error, UmsuiError):
        return error.failure(run.migration.step.value)
    log.error("migration %s, step %s", run.id, run.migration.step.value, exc_info=error)
    words = f"a fault of umsui: {type(error).__name__}: {error}"
    return Failure(run.migration.step.value, "fault", words, "the coordinator's log has the details; please report it")


def interrupted(run: Run) -> Failure:
    """Why a migration is undone that a coordinator finds half done."""
    words = f"the coordinator ended during {run.migration.step.value}, before anything was decided"
    run.broken("interrupted")
    return Failure(run.migration.step.value, "interrupted", words, "try again")


def _preparations(move: Move) -> list[tuple[Step, Callable[[], None]]]:
    return [(Step.CONNECT, move.connect), (Step.RESERVE, move.reserve), (Step.COPY_AHEAD, move.copy_ahead)]


def _verify(run: Run) -> tuple[Move, Specification]:
    """Plan again, now that it is meant; refuse what preflight blocks."""
    engine, request = _engine, _engine.journal.request(run.id)
    decided = engine.plan(request, run.id, run.agents)
    blocking = blockers(decided.findings)
    if not decided.feasible or decided.approach is None or decided.strategy is None:
        first = blocking[0] if blocking else None
        raise Refused(
            first.what if first else decided.reason, first.fix if first else "", code=first.check if first else ""
        )
    run.max_downtime = request.max_downtime
    run.ends_at = run.migration.started + request.deadline if request.deadline else None
    run.change(
        approach=decided.approach,
        strategy=decided.strategy,
        reason=decided.reason,
        processes=decided.processes,
        endpoint=decided.endpoint,
        predicted={
            "downtime": decided.downtime.as_list() if decided.downtime else [],
            "total": decided.total.as_list() if decided.total else [],
        },
    )
    source = engine.inventory.end(decided.source)
    spec = composition.specification(source, run.migration.service.partition("/")[2], decided.containers)
    engine.journal.planned(run.id, decided, spec)
    run.move = engine.new_move(run, decided, spec)  # of the whole specification: the journal keeps no secrets
    return run.move, spec


@DBOS.step()
def migration_phase(migration_id: str) -> Failure | None:
    """Switch; both ends vote; decide. Answers why not, if not."""
    run, journal = _engine.run(migration_id), _engine.journal
    if journal.decision(migration_id) is Decision.COMMIT:
        return None  # decided, and then the coordinator died
    if run.move is None:
        return interrupted(run)
    try:
        run.check()
        if run.prober is not None:
            run.prober.follow()
        if run.vigil is not None:
            run.vigil.hold()
        run.move.switch()
        run.check()
        if run.vigil is not None:
            run.vigil.stop()
        run.check_downtime()
        run.emit("step", step=Step.COMMIT.value, state="started")
        journal.decide(migration_id, Decision.COMMIT, "both ends have voted")
    except AlreadyDecided:  # cancelled in the last moment
        return failure_of(Cancelled(CANCELLED), run)
    except Exception as error:  # whatever it is, the service must go on
        return None if journal.decision(migration_id) is Decision.COMMIT else failure_of(error, run)
    return None


@DBOS.step()
def post_migration(migration_id: str) -> str:
    """The decision is to commit: bring it to its end, however often a node has to be asked."""
    run = _engine.run(migration_id)
    outcome, failure = Outcome.COMMITTED, None
    try:
        if run.migration.finished is None:  # else it was concluded, and then the coordinator died
            _finish_forward(run)
    except Exception as error:  # it was decided, and it cannot be done: somebody must look
        outcome, failure = Outcome.UNKNOWN, failure_of(error, run)
    return _conclude(run, outcome, failure)


def _conclude(run: Run, outcome: Outcome, failure: Failure | None) -> str:
    if outcome is Outcome.UNKNOWN and failure is not None:
        fix = f"{failure.fix or 'see what the message says, and mend it'}; then: umsui resolve {run.id}"
        failure = replace(failure, fix=fix)
    ended = run.conclude(outcome, failure)
    _engine.forget(run)
    return ended.value


def _finish_forward(run: Run) -> None:
    run.change(cancellable=False)
    if run.move is None:
        _resume_commit(run)
    move = _engine.move(run)
    assert move is not None
    if not run.has_done(Step.COMMIT):  # what has ended is not repeated: nodes that are clean know nothing any more
        insist(run, move.commit)
        run.emit("step", step=Step.COMMIT.value, state="done")
    if run.prober is not None:
        with run.step(Step.FIRST_REPLY):
            answered = run.prober.wait(REPLY)
        if not answered:
            run.log(f"the service has not answered at its new place within {REPLY:g} s", "error")
    replied = time.time()
    if run.has_done(Step.DRAIN):
        pass
    elif run.migration.strategy is not Strategy.STOP_COPY:
        with run.step(Step.DRAIN):  # if this fails nothing may be removed: the source has what is left of the service
            insist(run, move.drain)
    else:
        run.emit("step", step=Step.DRAIN.value, state="skipped", seconds=0.0)
    if not run.has_done(Step.CLEAN_UP):
        with run.step(Step.REMOVE_SOURCE):
            insist(run, move.finish)
        run.emit("step", step=Step.CLEAN_UP.value, state="done", seconds=0.0)
    run.worked()
    time.sleep(max(0.0, replied + AFTER - time.time()) if run.prober else 0.0)


def _resume_commit(run: Run) -> None:
    """After a crash: the service may still stand still while clients wait, so go on measuring that."""
    run.log("the coordinator was restarted; it had been decided to commit: finishing", "warning")
    order, last = _engine.journal.order(run.id), run.last_reply
    if order is not None and last is not None and not run.has_done(Step.COMMIT):
        run.prober = next((prober for prober in _engine.probers(run, order[1]) if prober.resume(last)), None)


@DBOS.step()
def undo(migration_id: str, failure: Failure) -> str:
    """Nothing was decided, so it is off: the service goes on at the source."""
    run, journal = _engine.run(migration_id), _engine.journal
    if run.migration.finished is not None:  # it was concluded, and then the coordinator died
        return _conclude(run, Outcome.ROLLED_BACK, failure)
    try:
        journal.decide(migration_id, Decision.ABORT, failure.message)
    except sqlite3.Error:
        log.exception("%s: the decision could not be written", migration_id)  # none is as good: it is off either way
    outcome = Outcome.ROLLED_BACK
    try:
        if journal.why(migration_id) == CANCELLED:
            failure = Failure(failure.step, Cancelled.code, CANCELLED)
        run.change(cancellable=False)
        if journal.touched(migration_id):
            run.log(f"undoing: {failure.message}", "warning")
            move = _engine.move(run)
            assert move is not None
            insist(run, move.rollback)
        elif failure.step == Step.VERIFY.value and failure.code not in UNREFUSED:
            outcome = Outcome.REFUSED
        run.worked()
    except Exception as error:  # it could not be undone: somebody must look
        found = failure_of(error, run)
        outcome, failure = (
            Outcome.UNKNOWN,
            replace(found, step=failure.step, message=f"{found.message} (undoing: {failure.message})"),
        )
    if failure.code == Cancelled.code and outcome is not Outcome.UNKNOWN:
        outcome = Outcome.CANCELLED
    return _conclude(run, outcome, failure)


def insist(run: Run, work: Callable[[], None]) -> None:
    """Do it, again and again while a node does not answer. Raises what is no matter of patience."""
    wait = 0.5
    while True:
        try:
            return work()
        except Unreachable as error:
            if error.exit is not Exit.UNREACHABLE:
                raise
            run.log(f"{error.message}; trying again in {wait:g} s", "warning")
            time.sleep(wait)
            wait = min(wait * 2, RETRY)
