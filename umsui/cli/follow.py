"""Following a migration: its events, over lost connections and through Ctrl+C, to its outcome."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from umsui.cli import output, session
from umsui.cli.session import Api
from umsui.errors import UmsuiError, Unreachable
from umsui.model import Event, Exit, Migration, Outcome

PATIENCE = 30.0  # seconds without a coordinator before giving up
PAUSE = 0.2  # seconds between two attempts
EXITS = {
    Outcome.COMMITTED: Exit.DONE,
    Outcome.ROLLED_BACK: Exit.ROLLED_BACK,
    Outcome.CANCELLED: Exit.CANCELLED,
    Outcome.REFUSED: Exit.REFUSED,
    Outcome.UNKNOWN: Exit.UNKNOWN,
}
# A migration refused before anything was touched has the exit code of its reason.
_REFUSAL_EXITS = {
    "unreachable": Exit.UNREACHABLE,
    "host-key": Exit.UNREACHABLE,
    "timed-out": Exit.UNREACHABLE,
    "no-agent": Exit.UNREACHABLE,
    "agent-gone": Exit.UNREACHABLE,
    "auth": Exit.UNREACHABLE,
    "connection-lost": Exit.UNREACHABLE,
    "no-route": Exit.UNREACHABLE,
    "sessions": Exit.UNREACHABLE,
    "bad-input": Exit.USAGE,
    "ambiguous": Exit.USAGE,
    "already-there": Exit.USAGE,
    "unknown-service": Exit.USAGE,
    "unknown-cluster": Exit.USAGE,
    "unknown-node": Exit.USAGE,
}


def exit_of(migration: Migration) -> Exit:
    """The exit code of a migration that has ended; UNKNOWN for one that has not."""
    if migration.outcome is Outcome.REFUSED and migration.error:
        return _REFUSAL_EXITS.get(migration.error.code, Exit.REFUSED)
    return EXITS[migration.outcome] if migration.outcome else Exit.UNKNOWN


class Feed:
    """All events of a migration up to its outcome, each once, however often the way to the coordinator is lost.

    Iterating it again goes on where it stopped, so that an interrupted loop can be taken up.
    """

    def __init__(self, api: Api, migration_id: str) -> None:
        self.api = api
        self._id = migration_id
        self._seen = 0
        self._lost_at: float | None = None

    def __iter__(self) -> Iterator[Event]:
        """Raises Unreachable when the coordinator does not come back, and whatever else it answers."""
        while True:
            try:
                for number, event in enumerate(self.api.events(self._id)):
                    self._lost_at = None
                    if number < self._seen:
                        continue  # told before the connection was lost
                    self._seen = number + 1
                    yield event
                    if event.kind == "outcome":
                        return
            except Unreachable:
                if self._lost_at is None:
                    output.say("the coordinator is gone; starting it again …")
            self._reconnect()

    def _reconnect(self) -> None:
        """A migration outlives its coordinator: start that again and go on."""
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if now - self._lost_at > PATIENCE:
            fix = f"`umsui coordinator run` shows why; then `umsui watch {self._id}`"
            raise Unreachable("the coordinator does not come back", fix)
        time.sleep(PAUSE)
        with contextlib.suppress(UmsuiError):
            self.api = session.connect()


def follow(api: Api, migration_id: str, on_event: Callable[[Event], None], *, cancel_on_interrupt: bool) -> Migration:
    """Pass every event to ``on_event`` and return the migration as it ended.

    Ctrl+C asks the coordinator to call it off when ``cancel_on_interrupt``; a second one stops following, and so does
    the first one otherwise. Raises KeyboardInterrupt then: the migration goes on without us.
    """
    feed, asked = Feed(api, migration_id), False
    while True:
        try:
            for event in feed:
                on_event(event)
            return feed.api.migration(migration_id)
        except KeyboardInterrupt:
            if not cancel_on_interrupt or asked:
                output.say(f"the migration goes on without this terminal; `umsui watch {migration_id}` follows it")
                raise
            asked = True
            _cancel(feed.api, migration_id)


def _cancel(api: Api, migration_id: str) -> None:
    output.say("cancelling … (Ctrl+C once more leaves it to the coordinator)")
    try:
        api.cancel(migration_id)
    except UmsuiError as error:
        output.say(f"it cannot be cancelled: {error.message}")
