"""A migration whose outcome is unknown, taken up again when an operator asks for it.

What was decided is in the journal and stands: the workflow finishes or undoes by it, as after a crash. Only when the
nodes know nothing of the migration any more (started anew, or cleaned by hand) it is told from what runs where.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from umsui.coordinator.journal import Journal
from umsui.coordinator.run import Run
from umsui.errors import BadInput, UmsuiError, Unreachable
from umsui.interface.protocol import End, Move
from umsui.model import Failure, Migration, Outcome, Specification, Step

ABSENT, SILENT = "absent", "silent"
_one_at_a_time = threading.Lock()


def reopen(journal: Journal, migration_id: str) -> Migration:
    """As if it had not ended. Raises BadInput when its outcome is known."""
    with _one_at_a_time:
        migration = journal.migration(migration_id)
        if migration.outcome is not Outcome.UNKNOWN:
            ended = migration.outcome.value if migration.outcome else "it is still running"
            raise BadInput(
                f"there is nothing to resolve about {migration_id}: {ended}",
                f"umsui migrations {migration_id}",
                code="nothing-to-resolve",
            )
        again = replace(migration, outcome=None, error=None, finished=None)
        journal.reopen(again)
        return again


def sight(run: Run, spec: Specification, source: End, destination: End) -> tuple[set[str], set[str]]:
    """What the containers do at both ends, as their orchestrators say; told in the run's log."""
    names = [part.name for part in spec.parts] or [spec.name]
    here, there = ({_status(end, name) for name in names} for end in (source, destination))
    decision = run.decision.value if run.decision else "nothing"
    places = [
        f"{end.place.cluster}/{end.place.node}: {', '.join(sorted(seen))}"
        for end, seen in ((source, here), (destination, there))
    ]
    run.log(f"taken up again; {decision} had been decided; {'; '.join(places)}", "warning")
    return here, there


def _status(end: End, name: str) -> str:
    try:
        return str(end.orchestrator.raw(end.transport, name)["State"]["Status"])
    except BadInput:
        return ABSENT
    except Unreachable:
        return SILENT


def forgotten(move: Move) -> bool:
    """Whether neither node knows anything of the migration any more; False where that cannot be told."""
    try:
        return move.forgotten()
    except UmsuiError:
        return False  # the workflow asks the same nodes, and says what is wrong


def by_sight(here: set[str], there: set[str]) -> tuple[Outcome, Failure | None]:
    """What it came to, when only the eye can tell."""
    if here == {ABSENT} and there == {"running"}:
        return Outcome.COMMITTED, None
    if here == {"running"} and there == {ABSENT}:
        words = "neither node knew anything of it any more; the service runs at the source"
        return Outcome.ROLLED_BACK, Failure(Step.CLEAN_UP.value, "forgotten", words, "move it again")
    seen = f"source: {', '.join(sorted(here))}; destination: {', '.join(sorted(there))}"
    words = f"neither node knows anything of it any more, and it runs not at exactly one of them ({seen})"
    fix = "start or remove the service by hand, then resolve again"
    return Outcome.UNKNOWN, Failure(Step.CLEAN_UP.value, "forgotten", words, fix)
