"""Watches both ends while a migration runs, so that it is called off when somebody changes something there."""

from __future__ import annotations

import logging
import threading

from umsui.coordinator.run import Run
from umsui.errors import UmsuiError, Unreachable
from umsui.interface.protocol import Move

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds between two looks: each costs a node up to a tenth of a second, which a switch should not pay


class Vigil:
    """From the reservation until the decision."""

    def __init__(self, run: Run, move: Move) -> None:
        self._run = run
        self._move = move
        self._stop = threading.Event()
        self._later = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"vigil {run.id}", daemon=True)

    def start(self) -> None:
        """Begin: as things were when the move reserved its place, so they must stay."""
        self._thread.start()

    def hold(self) -> None:
        """A switch begins: the next look is a whole pause away."""
        self._later.set()

    def stop(self) -> None:
        """Look no more. May be called twice, and before ``start``."""
        self._stop.set()
        self._later.set()

    def look(self) -> None:
        """Look now; what was changed is noted in the run, and every further step is refused."""
        try:
            self._move.intact()
        except Unreachable:
            return  # the step that needs the node says so
        except UmsuiError as error:
            if error.code == "changed":
                self._run.upset(error)
            else:
                log.warning("%s: it could not be looked at: %s", self._run.id, error.message)

    def _watch(self) -> None:
        while not self._stop.is_set() and self._run.trouble is None:
            if self._later.wait(PAUSE):
                self._later.clear()
            else:
                self.look()
