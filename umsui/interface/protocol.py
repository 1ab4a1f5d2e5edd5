"""The migration interface: what the coordinator asks of an approach, step by step.

One ``Move`` is one migration being carried out. The coordinator calls its steps in order, from one thread; every
step may run twice (a crash between a step and its journal entry), so each is idempotent. Steps raise
``umsui.errors.UmsuiError``; after any failure before ``commit`` the coordinator calls ``rollback``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from umsui.adapters import ApiOrchestrator, Orchestrator, Transport
from umsui.core.agents import Agents, Emit
from umsui.model import Place, Plan, Port, Specification, Traffic


@dataclass(frozen=True, slots=True)
class End:
    """One end of a migration: a node, its orchestrator, and the connection to it."""

    place: Place
    transport: Transport
    orchestrator: Orchestrator
    user: str = "root"  # the login; the agent is started with sudo when it is not root
    node: Transport | None = None  # to the node itself, where an API is the way to its orchestrator

    @property
    def through_api(self) -> bool:
        """Whether its orchestrator is asked through an API of its own; an agent on the node is another matter."""
        return self.orchestrator.name == "kubernetes"

    @property
    def shell(self) -> Transport:
        """The connection to the node itself; the API's, which runs no command, where there is none."""
        return self.node or self.transport

    def port_of(self, port: Port) -> int:
        """The number that clients use there: a pod's ports are its own."""
        return port.container if self.through_api else port.host

    def host_of(self, service: str) -> str:
        """Where clients reach its ports: the node, or a pod's own address. Raises UmsuiError."""
        if not self.through_api:
            return self.transport.address
        return cast(ApiOrchestrator, self.orchestrator).address(self.transport, service)


@dataclass(frozen=True, slots=True)
class Order:
    """All that a Move needs to know."""

    id: str
    plan: Plan
    specification: Specification
    source: End
    destination: End
    emit: Emit
    cancelled: Callable[[], bool]
    agents: Agents


class Move(Protocol):
    """One migration being carried out by one approach."""

    def connect(self) -> None:
        """Agents at both ends, a key for this one migration, the wire between the nodes."""

    def reserve(self) -> None:
        """Image and an identical container at the destination, passive; differences refused."""

    def copy_ahead(self) -> None:
        """Root file system changes and volumes, while the service runs."""

    def arm(self) -> None:
        """Everything slow done: checkpoint and restore started and waiting for their word."""

    def intact(self) -> None:
        """From the reservation on, from another thread: whether both ends are still as they were then.

        Raises UmsuiError with code "changed" when somebody has stopped, removed, renamed or started something.
        """

    def switch(self) -> None:
        """Freeze, checkpoint and transfer overlapped, restore up to the gate.

        When it returns, both ends have voted: the source is frozen and complete, the destination restored and gated.
        Emits the steps freeze, checkpoint, transfer and restore itself.
        """

    def commit(self) -> None:
        """The decision is durable: open the destination's gate. Repeats until it is known to run."""

    def rollback(self) -> None:
        """Thaw the source and remove what was reserved. Raises Unknown when that cannot be made sure."""

    def drain(self) -> None:
        """Wait until nothing is missing at the destination any more (post-copy); at once for other strategies."""

    def finish(self) -> None:
        """Remove the source and everything of this migration at both ends."""

    def forgotten(self) -> bool:
        """Whether neither node knows anything of this migration any more. Raises UmsuiError when it cannot be told."""

    def traffic(self) -> Traffic:
        """Bytes moved so far."""

    def close(self) -> None:
        """Drop the agents' connections; changes nothing at the nodes. May be called twice."""


class MoveFactory(Protocol):
    """Makes the Move for an approach."""

    def __call__(self, order: Order) -> Move:
        """A Move for this order; does nothing remote yet."""
