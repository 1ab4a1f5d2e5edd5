"""What a move by agents, one at each end, has in common: how they are found and asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from umsui.core.session import Session
from umsui.errors import Cancelled, UmsuiError
from umsui.interface import beside
from umsui.interface.beside import Found
from umsui.interface.protocol import End, Order
from umsui.model import Step


class ByAgents:
    """Asks the agents of one migration's two ends, each told of the migration before it is first asked."""

    approach = "orchestrator"  # which of the agent's ends it works with

    def __init__(self, order: Order) -> None:
        self.order = order
        self._sessions: dict[str, Session] = {}
        self._starting = {"source": threading.Lock(), "destination": threading.Lock()}
        self._begun: list[Future[Any]] = []
        self._wire: Future[None] | None = None
        order.agents.listen(order.id, order.emit)

    def _session(self, role: str) -> Session:
        with self._starting[role]:
            session = self._sessions.get(role)
            if session is None or not session.alive:
                session = self._start(role)
                session.call(f"{role}.open", migration=self.order.id, engine=self._engine(role), approach=self.approach)
                self._sessions[role] = session
            return session

    def _start(self, role: str) -> Session:
        """An agent at that end."""
        end = self._end(role)
        return self.order.agents.at(end.place, end.shell, end.user)

    def _engine(self, role: str) -> str:
        """What the agent of that end manages the service with."""
        return self._end(role).orchestrator.name

    def _end(self, role: str) -> End:
        return self.order.source if role == "source" else self.order.destination

    def _ask(self, method: str, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        """Ask the agent of the end that the method names (``source.copy`` …)."""
        role = method.partition(".")[0]
        return self._session(role).call(method, timeout, migration=self.order.id, **params)

    def _begin(self, work: Callable[[], Found]) -> Future[Found]:
        """Do this beside the steps that come; before anything is undone it has ended (``_wait_for_begun``)."""
        begun = beside.begin(work, "beside")
        self._begun.append(begun)
        return begun

    def _wait_for_begun(self) -> None:
        """Until all that was begun beside the steps has ended, well or not."""
        wait(self._begun)

    def _begin_wire(self) -> None:
        """Open the wire beside the steps that do not need it yet."""
        self._wire = self._begin(self._open_wire)

    def _wired(self) -> None:
        """Until the wire is open. Raises why it cannot be opened, whichever step that is noticed in."""
        if self._wire is not None:
            try:
                self._wire.result()
            except UmsuiError as error:
                error.step = error.step or Step.CONNECT.value
                raise

    def _open_wire(self) -> None:
        """From the source to the destination."""
        raise NotImplementedError

    def _step_aside(self) -> None:
        if self.order.cancelled():
            raise Cancelled("cancelled by the operator")

    def _known(self, role: str) -> bool:
        return bool(self._ask(f"{role}.noted")["state"])

    def close(self) -> None:
        """Drop the agents' connections; changes nothing at the nodes."""
        for session in self._sessions.values():
            session.close()
