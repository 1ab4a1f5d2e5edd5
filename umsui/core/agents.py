"""The agents of one undertaking: one on each node, for finding out as for carrying out."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from umsui.adapters import Transport
from umsui.core.session import Session
from umsui.model import Place

Emit = Callable[..., None]
"""``emit(kind, **data)``: see ``umsui.model.Event`` for the kinds and their data."""


class Agents:
    """One agent a node, started when it is first needed; what agents tell goes to whoever moves that. Thread-safe."""

    def __init__(self) -> None:
        self._sessions: dict[Place, Session] = {}
        self._listeners: dict[str, Emit] = {}
        self._starting: dict[Place, threading.Lock] = defaultdict(threading.Lock)

    def at(self, place: Place, transport: Transport, user: str) -> Session:
        """The agent of a node; a new one where there is none, or where the connection to it was lost.

        Raises Unreachable.
        """
        with self._starting[place]:
            found = self._sessions.get(place)
            if found is None or not found.alive:
                where = f"{place.cluster}/{place.node}"
                found = self._sessions[place] = Session(transport, where, user, self._tell)
            return found

    def listen(self, migration: str, emit: Emit) -> None:
        """Where to tell what agents say of a migration."""
        self._listeners[migration] = emit

    def _tell(self, kind: str, migration: str, data: Mapping[str, Any]) -> None:
        if migration in self._listeners:
            self._listeners[migration](kind, **data)

    def close(self) -> None:
        """Drop the connections; changes nothing at the nodes. May be called twice."""
        for session in list(self._sessions.values()):
            session.close()
