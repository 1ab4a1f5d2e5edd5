"""The durable workflow of one migration: the paper's three phases around one decision.

DBOS remembers which of its steps have ended; a coordinator that died is started again and goes on there. The rule
after a crash: nothing touched, so begin again; touched, but nothing decided, so undo; decided, so finish forward. The
decision is one durable write (``Journal.decide``), made when both ends have voted. See docs/decisions/commit-point.md.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dbos import DBOS

from umsui.coordinator.journal import AlreadyDecided, Decision
from umsui.coordinator.run import CANCELLED, Run
from umsui.coordinator.vigil import Vigil
from umsui.decision import blockers
from umsui.errors import Cancelled, Refused, UmsuiError, Unknown, Unreachable
from umsui.interface.protocol import Move
from umsui.model import Exit, Failure, Outcome, Specification, Step, Strategy

if TYPE_CHECKING:
    from umsui.coordinator.engine import Engine

log = logging.getLogger(__name__)

SETTLE = 0.5  # seconds of probing before the switch
AFTER = 1.0  # and after the first reply
REPLY = 30.0  # seconds that the first reply at the destination may take
UNREFUSED = ("fault", "interrupted", "deadline")  # codes of failures to verify that are nobody's refusal
GONE = 60.0  # seconds that a node may be silent while memory is missing at the destination
RETRY = 15.0  # seconds at most between two attempts to finish or undo at a node that does not answer

_engine: Engine


def work_for(engine: Engine) -> None:
    """Whose migrations these are. There is one in a process: DBOS's workflows are functions of the module."""
    global _engine  # noqa: PLW0603
    _engine = engine


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
        began = time.time()
        _engine.quiet.begin(migration_id)
        with run.step(Step.ARM):
            move.arm()
        if run.vigil is not None:
            run.vigil.hold()
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
    decided, spec = engine.planned(request, run.id, run.agents)
    blocking = blockers(decided.findings)
    if not decided.feasible or decided.approach is None or decided.strategy is None or spec is None:
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
        run.change(cancellable=False)
        _commit(run, run.move.commit)  # at once: clients wait. What goes wrong now, the next phase does again
    except AlreadyDecided:  # cancelled in the last moment
        return failure_of(Cancelled(CANCELLED), run)
    except Exception as error:  # whatever it is, the service must go on
        return None if journal.decision(migration_id) is Decision.COMMIT else failure_of(error, run)
    finally:
        _engine.quiet.end(migration_id)
    return None


@DBOS.step()
def post_migration(migration_id: str) -> str:
    """The decision is to commit: bring it to its end, however often a node has to be asked."""
    run = _engine.run(migration_id)
    outcome, failure = Outcome.COMMITTED, None
    try:
        if run.migration.finished is None:  # else it was concluded, and then the coordinator died
            # Nodes that were cleaned already, by a coordinator that died before it could tell, cannot be asked again.
            told = _engine.by_sight(run) if run.goes_on(Step.REMOVE_SOURCE) else None
            if told is None:
                _finish_forward(run)
            else:
                outcome, failure = told
                run.emit("step", step=Step.REMOVE_SOURCE.value, state="failed" if failure else "done")
                run.worked()
    except Exception as error:  # it was decided, and it cannot be done: somebody must look
        outcome, failure = Outcome.UNKNOWN, failure_of(error, run)
    return _conclude(run, outcome, failure)


def _conclude(run: Run, outcome: Outcome, failure: Failure | None) -> str:
    if outcome is Outcome.UNKNOWN and failure is not None:
        fix = f"{failure.fix or 'see what the message says, and mend it'}; then: umsui resolve {run.id}"
        failure = replace(failure, fix=fix)
    ended = run.conclude(outcome, failure)
    if failure is not None:
        log.warning("migration %s: %s, in %s: %s", run.id, ended.value, failure.step, failure.message)
    _engine.forget(run)
    return ended.value


def _finish_forward(run: Run) -> None:
    run.change(cancellable=False)
    if run.move is None:
        _resume_commit(run)
    move = _engine.move(run)
    assert move is not None
    if not run.has_done(Step.COMMIT):  # what has ended is not repeated: nodes that are clean know nothing any more
        _commit(run, lambda: insist(run, move.commit))
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
            insist(run, move.drain, GONE)
    else:
        run.emit("step", step=Step.DRAIN.value, state="skipped", seconds=0.0)
    if not run.has_done(Step.CLEAN_UP):
        with run.step(Step.REMOVE_SOURCE):
            insist(run, move.finish)
        run.emit("step", step=Step.CLEAN_UP.value, state="done", seconds=0.0)
    run.worked()
    time.sleep(max(0.0, replied + AFTER - time.time()) if run.prober else 0.0)


def _commit(run: Run, work: Callable[[], None]) -> None:
    """Open the gate, by ``work``; it may have been opened before."""
    work()
    run.emit("step", step=Step.COMMIT.value, state="done")


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


def insist(run: Run, work: Callable[[], None], patience: float = math.inf) -> None:
    """Do it, again and again while a node does not answer, for ``patience`` seconds.

    Raises what is no matter of patience, and Unknown when it is over.
    """
    wait, began = 0.5, time.monotonic()
    while True:
        try:
            return work()
        except Unreachable as error:
            if error.exit is not Exit.UNREACHABLE:
                raise
            if time.monotonic() - began > patience:
                raise _gone(error, patience) from error
            run.log(f"{error.message}; trying again in {wait:g} s", "warning")
            time.sleep(wait)
            wait = min(wait * 2, RETRY)


def _gone(error: Unreachable, patience: float) -> Unknown:
    words = f"{error.message}, for {patience:g} s, while memory is still missing at the destination"
    fix = "bring the node back: the service stands still where it needs that memory, and is lost if the node was "
    fix += "started anew; with --strategy pre-copy or stop-copy the source is not needed after the switch"
    return Unknown(words, fix, code="source-gone")
