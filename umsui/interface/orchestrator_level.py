"""Orchestrator-level migration on podman hosts: the platform's own runtime checkpoints and restores.

The destination's container is podman's own from the start: created, initialized and cleaned up again by podman, so
that its bundle is there; then ``podman container restore`` is started and held at CRIU's door (``umsui.agent.relay``)
until the checkpoint has arrived, and once more, restored, until the commit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from umsui.core.session import AgentError, Session
from umsui.errors import Cancelled, Refused, UmsuiError, Unknown, Unreachable
from umsui.interface.protocol import End, Order
from umsui.model import Mount, Strategy, Traffic

LONG = 3600.0  # seconds: steps that move data while the service runs; cancelling ends them earlier
FETCHED = 20.0  # seconds that the last pages may take to their places after they have left the source
SWITCH = 120.0  # seconds that the service may stand still before the migration gives up by itself


class OrchestratorLevel:
    """One migration between two podman hosts (a ``umsui.interface.protocol.Move``)."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._sessions: dict[str, Session] = {}
        self._traffic = Traffic()
        self._facts: dict[str, Any] = {}
        self._thawed = False
        self._lock = threading.Lock()

    # -- agents -----------------------------------------------------------------------------------------------------

    def _session(self, role: str) -> Session:
        with self._lock:
            session = self._sessions.get(role)
            if session is None or not session.alive:
                end = self._end(role)
                where = f"{end.place.cluster}/{end.place.node}"
                session = Session(end.transport, where, end.user, self._on_event)
                session.call(f"{role}.open", migration=self.order.id)
                self._sessions[role] = session
            return session

    def _end(self, role: str) -> End:
        return self.order.source if role == "source" else self.order.destination

    def _ask(self, method: str, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        """Ask the agent of the end that the method names (``source.copy`` …)."""
        role = method.partition(".")[0]
        return self._session(role).call(method, timeout, migration=self.order.id, **params)

    def _on_event(self, kind: str, migration: str, data: Mapping[str, Any]) -> None:
        if migration == self.order.id:
            self.order.emit(kind, **data)

    def _step_aside(self) -> None:
        if self.order.cancelled():
            raise Cancelled("cancelled by the operator")

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Agents at both ends, a key for this one migration, the wire between the nodes."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._session, ("source", "destination")))
        public = self._ask("source.key")["public"]
        user = self._ask("destination.admit", public=public)["user"]
        there = self.order.destination.transport
        rate = self.order.plan.request.bandwidth or 0.0
        self._ask(
            "source.connect", user=user, address=there.address, port=there.port, host_key=there.host_key, rate=rate
        )

    def reserve(self) -> None:
        """Image and an identical container at the destination, passive; differences are refused."""
        spec = self.order.specification
        there, here = self.order.destination, self.order.source
        image = spec.image_id or spec.image
        if not there.orchestrator.has_image(there.transport, image):
            sent = self._ask("source.send_image", LONG, image=spec.image)["bytes"]
            self._traffic = replace(self._traffic, image=sent)
        self._step_aside()
        self._remove_reserved()  # of a first attempt that was cut off
        volumes = [mount.source for mount in self._data_mounts() if mount.kind == "volume"]
        self._ask("destination.claim", container=spec.name, volumes=volumes)
        container = there.orchestrator.create(
            there.transport, spec, here.orchestrator.particulars(here.transport, spec.name)
        )
        prepared = self._ask("destination.prepare", container=container, volumes=self._volumes())
        self._roots = prepared["roots"]
        differences = there.orchestrator.differences(
            here.orchestrator.raw(here.transport, spec.name), there.orchestrator.raw(there.transport, spec.name)
        )
        if differences:
            listed = "; ".join(str(difference) for difference in differences[:5])
            raise Refused(
                f"the destination's container would differ from the service: {listed}",
                "recreate the service without these settings, or report them as a fault of umsui",
                code="not-identical",
            )

    def _data_mounts(self) -> list[Mount]:
        return [mount for mount in self.order.specification.mounts if mount.kind in ("volume", "bind")]

    def _volumes(self) -> dict[str, str]:
        return {mount.destination: mount.source for mount in self._data_mounts()}

    def copy_ahead(self) -> None:
        """Root file system changes and volumes, while the service runs."""
        facts = self._session("source").call("service", container=self.order.specification.name)
        self._facts = facts
        roots = [
            {
                "name": "/",
                "source": facts["merged"],
                "target": self._roots["/"],
                "upper": facts["upper"],
                "lower": facts["lower"],
            }
        ]
        for mount in self._data_mounts():
            roots.append({"name": mount.destination, "source": mount.path, "target": self._roots[mount.destination]})
        self._ask("source.copy", LONG, roots=roots)
        self._count_files()

    def _count_files(self) -> None:
        moved = self._ask("source.progress")
        self._traffic = replace(self._traffic, rootfs=moved["rootfs"], volumes=moved["volumes"])

    def arm(self) -> None:
        """Checkpoint and restore started and waiting for their word; the page stream open."""
        facts = self._facts
        armed = self._ask(
            "source.arm", container=facts["container"], pid=facts["pid"], runtime=facts["runtime"], lazy=self._lazy
        )
        self._ask("destination.arm", descriptors=armed["descriptors"], lazy=self._lazy)

    # -- migration --------------------------------------------------------------------------------------------------

    def switch(self) -> None:
        """Freeze, checkpoint and transfer overlapped, restore up to the gate; both ends have then voted."""
        self._step_aside()
        done = threading.Event()
        watch = threading.Thread(target=self._watch_memory, args=(done,), daemon=True)
        self.order.emit("step", step="freeze", state="started")
        watch.start()
        try:
            with ThreadPoolExecutor(1) as pool:
                restored = pool.submit(self._ask, "destination.wait", SWITCH + 10, within=SWITCH)
                try:
                    self._ask("source.switch", SWITCH + 10, within=SWITCH)
                except UmsuiError:
                    with contextlib.suppress(Unreachable):  # then nothing there can go on either
                        self._ask("destination.abandon")  # else the restore would wait for what never comes
                    raise
                restored.result()
        finally:
            done.set()
        received = self._ask("destination.received")["memory"]
        self._traffic = replace(self._traffic, memory=received)
        self.order.emit("progress", what="memory", done=received, total=received, rate=None)

    def _watch_memory(self, done: threading.Event) -> None:
        expected = int(self._facts.get("memory", 0))  # unknown to a coordinator that took the migration up
        before, then = 0, time.monotonic()
        while not done.wait(0.1):
            with contextlib.suppress(Unreachable, AgentError):
                received = self._ask("destination.received")["memory"]
                now = time.monotonic()
                rate = (received - before) / (now - then)
                self.order.emit("progress", what="memory", done=received, total=max(expected, received), rate=rate)
                before, then = received, now

    @property
    def _lazy(self) -> bool:
        return self.order.plan.strategy is Strategy.POST_COPY

    def drain(self) -> None:
        """Post-copy: until the last page has arrived; the source's loss would be the service's until then."""
        if self._lazy:
            done = threading.Event()
            threading.Thread(target=self._watch_memory, args=(done,), daemon=True).start()
            try:
                self._ask("source.drained", LONG, within=LONG)
                self._ask("destination.fetched", FETCHED + 5, within=FETCHED)
            finally:
                done.set()
            received = self._ask("destination.received")["memory"]
            self._traffic = replace(self._traffic, memory=received)

    def commit(self) -> None:
        """The decision is durable: open the destination's gate."""
        self._ask("destination.commit", 70.0, within=60.0)

    # -- post-migration ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Remove the source and everything of this migration at both ends."""
        self._ask("destination.confirm", 70.0, within=60.0)
        self._count_files()
        if self._known("source"):
            self._ask("source.remove", 70.0, within=60.0)
        self._forget_volumes()
        for role in ("source", "destination"):
            self._ask(f"{role}.close")

    def _known(self, role: str) -> bool:
        return bool(self._ask(f"{role}.noted")["state"])

    def _forget_volumes(self) -> None:
        names = [mount.source for mount in self._data_mounts() if mount.kind == "volume"]
        here = self.order.source
        here.orchestrator.remove(here.transport, self.order.specification.name, volumes=names)

    # -- undo -------------------------------------------------------------------------------------------------------

    def rollback(self) -> None:
        """The destination goes first, but the source does not wait for one that does not answer or cannot tidy up."""
        try:
            self._undo_both()
        except AgentError as error:
            raise Unknown(f"the migration could not be undone: {error.message}", error.fix, code=error.code) from error
        for role in ("destination", "source"):
            self._ask(f"{role}.close")

    def _undo_both(self) -> None:
        try:
            self._remove_reserved()
        except UmsuiError as error:
            if error.code != "committed":  # only an open gate makes it wrong to thaw: docs/decisions/commit-point.md
                self._thaw()
            raise
        self._thaw()

    def _thaw(self) -> None:
        if not self._thawed:  # what happens to the service after that, while a node is asked again, is not ours
            self._ask("source.thaw")
            self._thawed = True

    def _remove_reserved(self) -> None:
        self._ask("destination.rollback", 70.0, within=60.0)

    def traffic(self) -> Traffic:
        """Bytes moved so far."""
        moved = self._traffic
        return replace(moved, wire=moved.memory + moved.rootfs + moved.volumes + moved.image)

    def close(self) -> None:
        """Drop the agents' connections; changes nothing at the nodes."""
        for session in self._sessions.values():
            session.close()
