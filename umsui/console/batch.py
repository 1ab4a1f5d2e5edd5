"""Many services to one cluster: planned together, confirmed once, moved a few at a time. Pure; the app carries it out.

Only what has been started is the coordinator's. What still waits, waits in this console: if it closes, the rest stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from umsui.console import words
from umsui.console.drag import reason, refused
from umsui.model import Cluster, Migration, MigrationRequest, Outcome, Plan, Service

FAILURES = 2
"""So many in a row, and no further one is begun: it is not the services' fault then."""


class Turn(StrEnum):
    """Where one of the moves stands."""

    PLANNING = "planning"
    READY = "ready"
    CANNOT = "cannot"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "moving"
    DONE = "committed"
    FAILED = "failed"
    LEFT = "not begun"


OPEN = (Turn.WAITING, Turn.STARTING, Turn.RUNNING)
OVER = (Turn.DONE, Turn.FAILED, Turn.LEFT, Turn.CANNOT)


@dataclass(slots=True)
class Move:
    """One of them."""

    service: Service
    turn: Turn = Turn.PLANNING
    plan: Plan | None = None
    why: str = ""  # it cannot, or has failed
    migration: str = ""
    downtime: float | None = None
    total: float | None = None


@dataclass(slots=True)
class Batch:
    """All of them, in the order in which they go."""

    title: str
    to: str
    moves: list[Move]
    parallel: int = 2
    guarded: dict[str, str] = field(default_factory=dict)  # service's key -> the protected end that asks for its name
    named: set[str] = field(default_factory=set)  # keys of those whose names were typed
    started: bool = False
    why: str = ""  # why no further one is begun
    _row: int = field(default=0)  # failures in a row

    @classmethod
    def of(cls, title: str, services: Iterable[Service], target: Cluster, parallel: int) -> Batch:
        """What needs no asking is decided."""
        moves = [Move(service) for service in services]
        for move in moves:
            refusal = refused(move.service, target)
            if refusal is not None:
                move.turn, move.why = Turn.CANNOT, refusal[0].removeprefix("cannot: ")
        return cls(title, target.name, moves, parallel)

    def count(self, *turns: Turn) -> int:
        """How many stand there."""
        return sum(move.turn in turns for move in self.moves)

    @property
    def planned(self) -> bool:
        """Whether every move has its answer."""
        return not self.count(Turn.PLANNING)

    @property
    def active(self) -> bool:
        """Whether something waits or moves."""
        return self.started and self.count(*OPEN) > 0

    @property
    def unnamed(self) -> list[Move]:
        """Those that could go, but for their names."""
        return [
            move
            for move in self.moves
            if move.turn in (Turn.PLANNING, Turn.READY)
            and move.service.key in self.guarded
            and move.service.key not in self.named
        ]

    def name(self, text: str) -> list[str]:
        """Names that were typed, one or several; returns those that nobody has who still waits for it."""
        strange = []
        for word in text.split():
            meant = {move.service.key for move in self.unnamed if word == move.service.name}
            self.named |= meant
            strange += [] if meant else [word]
        return strange

    def learn(self, key: str, plan: Plan | None, error: str = "") -> None:
        """A plan came, or why there is none."""
        move = next(move for move in self.moves if move.service.key == key)
        if plan is not None and plan.feasible:
            move.plan, move.turn = plan, Turn.READY
        else:
            move.turn, move.why = Turn.CANNOT, reason(plan) if plan else error

    def start(self) -> None:
        """All that are ready wait for their turn."""
        self.started = True
        for move in self.moves:
            if move.turn is Turn.READY:
                move.turn = Turn.WAITING

    def due(self) -> list[Move]:
        """Those that may begin now; they count as begun."""
        room = self.parallel - self.count(Turn.STARTING, Turn.RUNNING)
        due = [move for move in self.moves if move.turn is Turn.WAITING][: max(room, 0)]
        for move in due:
            move.turn = Turn.STARTING
        return due

    def begun(self, move: Move, migration: Migration) -> None:
        """The coordinator has taken it."""
        move.turn, move.migration = Turn.RUNNING, migration.id

    def failed(self, move: Move, why: str) -> None:
        """It was refused, or rolled back."""
        move.turn, move.why = Turn.FAILED, why
        self._row += 1
        if self._row >= FAILURES:
            self.stop(f"{FAILURES} failed in a row")

    def heard(self, migrations: Mapping[str, Migration]) -> bool:
        """What became of those that were begun; whether something has changed."""
        changed = False
        for move in self.moves:
            known = migrations.get(move.migration)
            if move.turn is not Turn.RUNNING or known is None or known.outcome is None:
                continue
            changed = True
            move.downtime, move.total = known.downtime, known.overhead.total
            if known.outcome is Outcome.COMMITTED:
                move.turn, self._row = Turn.DONE, 0
            else:
                self.failed(move, known.error.message if known.error else words.outcome(known.outcome)[1])
        return changed

    def stop(self, why: str) -> None:
        """Begin no further one; those under way go on."""
        self.why = why
        for move in self.moves:
            if move.turn in (Turn.WAITING, Turn.READY):
                move.turn = Turn.LEFT

    def requests(self) -> Sequence[MigrationRequest]:
        """The same as single moves."""
        return [MigrationRequest(move.service.key, self.to) for move in self.moves if move.turn is not Turn.CANNOT]

    def summary(self) -> str:
        """Where it stands, in one line."""
        begun = self.count(Turn.DONE, Turn.FAILED)
        all_ = len(self.moves) - self.count(Turn.CANNOT)
        parts = [f"{begun} of {all_}"]
        for turn, word in ((Turn.RUNNING, "moving"), (Turn.FAILED, "failed"), (Turn.LEFT, "not begun")):
            if number := self.count(turn):
                parts.append(f"{number} {word}")
        return " · ".join(parts)
