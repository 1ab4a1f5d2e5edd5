"""Container-level migration: a service nested in an outer container moves to a peer that the destination created.

Neither the platform nor the service's image takes part: the orchestrators are asked for what any user may ask them for
(create, start, exec, remove). Runtime, CRIU and agent are in the outer container (``umsui.images.outer``), where the
two ends of a migration work just as they do on a node; the wire leads from the source's container to the SSH server of
the destination's node, and from there through its door into the destination's container (``umsui.agent.door``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from umsui.agent import nested
from umsui.core.session import Session
from umsui.core.shipping import package
from umsui.errors import BadInput
from umsui.interface import room
from umsui.interface.memory_ahead import LONG
from umsui.interface.orchestrator_level import OrchestratorLevel
from umsui.interface.outer_ends import patiently, place_in, within
from umsui.interface.protocol import Order
from umsui.model import Mount, Specification


def is_nested(spec: Specification) -> bool:
    """Whether this container is an outer one."""
    return nested.VARIABLE in spec.environment


class NestedMove(OrchestratorLevel):
    """What a move of a nested container is, whatever the outer ones are: its ends are the agents in those two."""

    @property
    def _across(self) -> bool:
        """Never: the runtime in an outer container is the same, whatever its orchestrator is."""
        return False

    def _engine(self, role: str) -> str:  # noqa: ARG002
        return "nested"

    @property
    def _data(self) -> list[Mount]:
        """The service's volumes, as they are in an outer container."""
        below = f"{nested.MOUNTS}/"
        return [
            replace(mount, source=mount.destination, destination=mount.destination.removeprefix(str(nested.MOUNTS)),
                    path=mount.destination)
            for mount in self.order.specification.mounts
            if mount.destination.startswith(below)
        ]  # fmt: skip

    def _look(self) -> dict[str, Any]:
        return self._session("source").call("nested")

    def _changes(self) -> dict[str, Any]:
        return {"source": str(nested.ROOT), "baseline": str(nested.BASELINE)}


class ContainerLevel(NestedMove):
    """One migration of a nested container between two hosts (a ``umsui.interface.protocol.Move``).

    The ends of a migration, ``source`` and ``destination``, are the agents in the two outer containers; ``_node`` asks
    those on the nodes for what only a node can do: names and volumes, the key's line, images.
    """

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._nodes: dict[str, Session] = {}
        self._nodes_lock = threading.Lock()

    def _start(self, role: str) -> Session:
        end, name = self._end(role), self.order.specification.name
        place, ready = place_in(end, name), str(nested.HOME / package().name)
        where = f"{place.cluster}/{place.node}"
        return patiently(lambda: Session(within(end, name), where, "root", self._on_event, ready=ready))

    def _on_event(self, kind: str, migration: str, data: Mapping[str, Any]) -> None:
        if migration == self.order.id:
            self.order.emit(kind, **data)

    def _node(self, method: str, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        """Ask the agent on the node of the end that the method names."""
        role = method.partition(".")[0]
        with self._nodes_lock:
            session = self._nodes.get(role)
            if session is None or not session.alive:
                session = super()._start(role)
                session.call(f"{role}.open", migration=self.order.id, engine=self._end(role).orchestrator.name)
                self._nodes[role] = session
        return session.call(method, timeout, migration=self.order.id, **params)

    def _room(self, role: str, *, more: bool) -> None:
        """Lift the outer container's limits for the move, or bring back those of the service."""
        room.change(self._end(role), self.order.specification, self.order.plan.threads, more=more)

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """The image, if it is missing there; begins with the wire from the source's container to the node."""
        self._describe()
        with ThreadPoolExecutor(1) as pool:
            present = pool.submit(self._has_image)
            self._node("destination.noted")
        if not present.result():
            self._send_image()  # first: a node admits one key of a migration
        self._begin_wire()

    def _open_wire(self) -> None:
        self._room("source", more=True)
        public = self._ask("source.key")["public"]
        user = self._node("destination.admit", public=public)["user"]
        self._uplink(self._ask, user)

    def _uplink(self, ask: Any, user: str) -> None:
        there = self.order.destination.transport
        rate = self.order.plan.request.bandwidth or 0.0
        ask("source.connect", user=user, address=there.address, port=there.port, host_key=there.host_key, rate=rate)

    def _send_image(self) -> None:
        """From node to node, with a key of its own that is gone when the image is there."""
        user = self._node("destination.admit", public=self._node("source.key")["public"])["user"]
        self._uplink(self._node, user)
        layers = self._node("destination.layers")["layers"]
        sent = self._node("source.send_image", LONG, image=self.order.specification.image, there=layers)["bytes"]
        self._count(image=sent)
        self._node("source.close")
        self._node("source.open", engine=self._end("source").orchestrator.name)

    def reserve(self) -> None:
        """An identical outer container at the destination, started, but passive; differences are refused."""
        spec, there = self.order.specification, self.order.destination
        self._step_aside()
        with ThreadPoolExecutor(2, thread_name_prefix="reserve") as pool:
            self._remove_reserved()  # of a first attempt that was cut off
            volumes = [mount.source for mount in spec.volumes]
            self._node("destination.claim", container=spec.name, volumes=volumes)
            self._create()
            roomy = pool.submit(self._room, "destination", more=True)
            self._node("destination.put", container=spec.name, path=str(nested.PASSIVE), hold=True)
            roomy.result()  # an agent may need it
            there.orchestrator.start(there.transport, spec.name)
            led = pool.submit(self._node, "destination.lead", container=spec.name)
            self._begin_pager()
            trees = {mount.destination: mount.source for mount in self._data}
            self._roots = self._ask("destination.prepare", container=nested.NAME, volumes=trees)["roots"]
            self._ask("destination.door")
            led.result()
            self._log_format = ""  # the orchestrator's log is its own; the service goes on writing into it
            self._begin_memory_early()
            noted = pool.submit(self.intact)
            self._compare()
            noted.result()

    def _compare(self) -> None:
        self._wired()  # the source has its room by then, as the destination has
        super()._compare()

    @property
    def _comparable(self) -> bool:
        return self._alike

    def intact(self) -> None:
        """Whether both outer containers are still as they were when they were reserved: their nodes know."""
        for role in ("source", "destination"):
            self._node(f"{role}.intact", container=self.order.specification.name)

    # -- post-migration ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The source's outer container goes, and everything of this migration at both ends."""
        here, spec = self.order.source, self.order.specification
        self._ask("destination.confirm", 70.0, within=60.0)
        with ThreadPoolExecutor(1) as pool:
            given_back = pool.submit(self._node, "destination.unput")
            if self._source_is_there():
                self._count_files()
                if self._known("source"):
                    self._ask("source.remove", 70.0, within=60.0)
                volumes = [mount.source for mount in spec.volumes]
                here.orchestrator.remove(here.transport, spec.name, volumes=volumes)
            given_back.result()
        self._ask("destination.close")
        self._room("destination", more=False)
        for role in ("destination", "source"):
            self._node(f"{role}.close")

    def _source_is_there(self) -> bool:
        """Whether there is an outer container to remove; an agent that lives in it is proof enough."""
        session = self._sessions.get("source")
        return (session is not None and session.alive) or bool(self._state("source"))

    def _state(self, role: str) -> str:
        """What the orchestrator says of the outer container of that end; "" when there is none."""
        end = self._end(role)
        try:
            return str(end.orchestrator.raw(end.transport, self.order.specification.name)["State"]["Status"])
        except BadInput:
            return ""

    # -- undo -------------------------------------------------------------------------------------------------------

    def rollback(self) -> None:
        """The destination goes first, but the source does not wait for one that does not answer or cannot tidy up."""
        self._give_up()
        self._ask("source.close")
        self._room("source", more=False)
        for role in ("destination", "source"):
            self._node(f"{role}.close")

    def _remove_reserved(self) -> None:
        claimed = self._node("destination.noted")["state"].get("claimed")
        if claimed and self._state("destination") == "running":
            self._ask("destination.rollback", 70.0, within=60.0)
        self._node("destination.rollback", 70.0, within=60.0)
