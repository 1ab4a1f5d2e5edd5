"""Container-level where a cluster's API is the only way to an end: its outer pod, through ``exec`` and nothing else.

The agents in the two outer containers do what they do everywhere (``container_level.py``). What a node does elsewhere
the API does here: the peer is a pod of the same manifest that waits for a restore. The other end may be a container of
podman or docker (``outer_ends.py``). The wire is an SSH connection from one container to the other that the coordinator
carries: both ends of it are programs in there (``umsui.agent.joint``).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator

from umsui.agent import nested
from umsui.core.session import Session
from umsui.errors import BadInput, Refused, UmsuiError
from umsui.interface.container_level import NestedMove
from umsui.interface.outer_ends import outer_end, patiently, place_in, within
from umsui.interface.protocol import Order
from umsui.interface.remote_inside import Pipeline, widen
from umsui.interface.unchanged import Unchanged

REJOIN = 1.0  # seconds between two looks at a wire over which pages are still to come


def pass_on(source: subprocess.Popen[bytes], target: subprocess.Popen[bytes]) -> None:
    """All that the one says goes to the other, by the kernel; and its end, too."""
    assert source.stdout is not None
    assert target.stdin is not None
    with source.stdout as out, target.stdin as into:
        Pipeline(os.dup(out.fileno()), os.dup(into.fileno()), 0.0)


class ContainerThroughApi(NestedMove):
    """One migration of a nested container from or to a pod (a ``umsui.interface.protocol.Move``)."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        ends = (order.source, order.destination)
        self._here, self._there = (outer_end(end, order.specification, order.id) for end in ends)
        self._unchanged = Unchanged(self._here, self._there)
        self._joined: list[subprocess.Popen[bytes]] = []

    def _start(self, role: str) -> Session:
        end, name = self._end(role), self.order.specification.name
        return patiently(lambda: self.order.agents.at(place_in(end, name), within(end, name), "root"))

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """The agent in the source's container, and a key for this one migration."""
        self._here.room(more=True)
        self._ask("source.key")

    def reserve(self) -> None:
        """A peer that waits, with an agent in it; the wire from one to the other."""
        self._remove_reserved()  # of a first attempt that was cut off
        self._step_aside()
        self._there.reserve(self.order.specification, self._here.particulars(), self.order.id)
        self._refuse_other_files()
        self._step_aside()
        self._refuse_cpu()
        self._open_wire()
        trees = {mount.destination: mount.source for mount in self._data}
        prepared = self._ask("destination.prepare", container=nested.NAME, volumes=trees)
        self._roots, self._log_format = prepared["roots"], ""  # the pods' logs are their own
        self._begin_memory_early()
        self._unchanged.look()

    def _refuse_other_files(self) -> None:
        """What has changed since the start is sent: all else must be the same there, whatever the image's name says."""
        here, there = (self._session(role).call("baseline")["digest"] for role in ("source", "destination"))
        if here != there:
            what = f"{self.order.specification.image} is another image there: its files differ"
            raise Refused(what, "push the same one to both registries", code="not-identical")

    def _refuse_cpu(self) -> None:
        """Only now there is somebody to ask at the destination."""
        image = self._session("source").call("cpuinfo")["image"]
        error = self._session("destination").call("cpu_fits", image=image)["error"] if image else ""
        if error:
            fix = "choose a node with the same or a newer CPU of the same make"
            raise Refused(f"the destination's CPU does not do: {error}", fix, code="cpu")

    def _open_wire(self) -> None:
        """The wire: an SSH server in the one, a socket for ssh in the other, and we between them."""
        self._unjoin()
        self._ask("destination.admit", public=self._ask("source.key")["public"])
        served = self._ask("destination.server")
        name = self.order.specification.name
        here = within(self.order.source, name).start(self._ask("source.joint")["command"])
        there = within(self.order.destination, name).start(served["command"])
        self._joined = [here, there]
        for each in self._joined:
            widen(each)
        pass_on(here, there)
        pass_on(there, here)
        rate = self.order.plan.request.bandwidth or 0.0
        self._ask("source.connect", user="root", address="", port=0, host_key=served["host_key"], rate=rate)

    def _unjoin(self) -> None:
        for process in self._joined:
            process.kill()
            process.wait()
        self._joined = []

    def intact(self) -> None:
        """Whether both are still as they were when the second was reserved."""
        self._unchanged.look()

    # -- after the decision -----------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Open the destination's gate, and lead clients there."""
        super().commit()
        self._there.lead()

    def drain(self) -> None:
        """Until the last page is in its place; over a new wire where the old one broke or went with its coordinator."""
        with self._kept_joined() if self._paged else contextlib.nullcontext():
            super().drain()

    @contextlib.contextmanager
    def _kept_joined(self) -> Iterator[None]:
        over = threading.Event()
        keeper = threading.Thread(target=self._keep_joined, args=(over,), name=f"wire {self.order.id}", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def _keep_joined(self, over: threading.Event) -> None:
        """The source's agent asks for the wire until it is there: we need only see that it is."""
        while not over.is_set():
            if not (self._joined and all(each.poll() is None for each in self._joined)):
                try:
                    self._open_wire()
                except UmsuiError as error:
                    words = f"the way between both ends is not open: {error.message}; trying again"
                    self.order.emit("log", level="warning", message=words)
            over.wait(REJOIN)

    def finish(self) -> None:
        """The destination's owner takes over; the source and its owner go, and everything of this migration."""
        if self._known("destination"):
            self._ask("destination.confirm", 70.0, within=60.0)
        self._ask("destination.close")  # before the limits are the service's alone
        if not self._source_is_there():
            return
        self._count_files()
        self._there.settle(self._here.particulars())
        if self._known("source"):
            self._ask("source.remove", 70.0, within=60.0)
        self._here.take_away()

    def _source_is_there(self) -> bool:
        try:
            self._here.identity()
        except BadInput:
            return False
        return True

    def forgotten(self) -> bool:
        """Whether neither end knows anything of this migration any more."""
        if self._there.reserved(self.order.id):
            return False
        if not self._source_is_there():
            return True
        known = self._known("source")
        if not known:
            self._ask("source.close")
        return not known

    # -- undo -------------------------------------------------------------------------------------------------------

    def rollback(self) -> None:
        """The destination goes first, but the source does not wait for one that does not answer."""
        self._give_up()
        if self._source_is_there():
            self._ask("source.close")
            self._here.room(more=False)
        self._unjoin()

    def _remove_reserved(self) -> None:
        if self._there.reserved(self.order.id) and self._runs():
            self._ask("destination.rollback", 70.0, within=60.0)
        self._there.discard(self.order.id)

    def _runs(self) -> bool:
        """Whether anything can have been begun in the reserved one."""
        end = self.order.destination
        with contextlib.suppress(BadInput):
            found = end.orchestrator.raw(end.transport, self.order.specification.name)
            return bool(found["State"]["Status"] == "running")
        return False

    def _thaw(self) -> None:
        try:
            super()._thaw()
        except UmsuiError:
            if not self._removed_by_others():
                raise
            self._thawed = True  # whoever did that wanted it to end

    def _removed_by_others(self) -> bool:
        try:
            return bool(self._here.identity().get("its deletion"))
        except BadInput:
            return True

    def close(self) -> None:
        """Break the wire off; agents and containers are as they were."""
        self._unjoin()
        super().close()
