"""Orchestrator-level migration between container hosts: the platform's own runtime checkpoints and restores.

The destination's container is its engine's own from the start: created by it, and restored by it, too. That restore
(``podman container restore``, ``docker start --checkpoint``) is held at CRIU's door (``umsui.agent.relay``) until the
checkpoint has arrived, and once more, restored, until the commit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from umsui.agent.binds import is_data
from umsui.core.session import AgentError
from umsui.errors import Refused, UmsuiError, Unknown, Unreachable
from umsui.interface import neutral
from umsui.interface.by_agents import ByAgents
from umsui.interface.protocol import Order
from umsui.model import Mount, Strategy, Traffic

LONG = 3600.0  # seconds: steps that move data while the service runs; cancelling ends them earlier
FETCHED = 120.0  # seconds that pages may take to their places once they are at the destination
ARMED = 70.0  # seconds until the engine has come to CRIU's door; several of a loaded node's take their time
SWITCH = 120.0  # seconds that the service may stand still before the migration gives up by itself
SOON = 1.0  # seconds of memory left to send: the ends are armed meanwhile (an engine that is armed answers nobody else)


class OrchestratorLevel(ByAgents):
    """One migration between two hosts with podman or docker (a ``umsui.interface.protocol.Move``)."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._traffic = Traffic()
        self._facts: dict[str, Any] = {}
        self._kinds: dict[str, str] = {}  # what the bound paths are at the source
        self._elsewhere: frozenset[str] = frozenset()  # volumes that somebody else removes
        self._thawed = False
        self._ahead: Future[None] | None = None  # memory that is sent while the service runs
        self._nearly = threading.Event()  # little of it is left
        self._raw: Any = None  # the source's own description of the service
        self._describing: Future[Sequence[str]] | None = None
        self._off = False  # it is being undone: nothing more is begun
        self._paging, self._looking = threading.Lock(), threading.Lock()
        self._lock = threading.Lock()

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Agents at both ends, a key for this one migration, the wire between the nodes."""
        self._describe()
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
        with ThreadPoolExecutor(2, thread_name_prefix="reserve") as pool:
            noted = pool.submit(self._intact, "source")
            container = self._created()
            compared = pool.submit(self._compare)
            self._prepare(container)
            for beside in (noted, compared):
                beside.result()
            self._intact("destination")

    def _describe(self) -> None:
        """Begin to look how the service is; that goes on beside what else there is to do until it is needed."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="describe")
        self._describing = pool.submit(self._described)
        pool.shutdown(wait=False)

    def _described(self) -> Sequence[str]:
        """Look how the service is; the flags for a container like it that only its own orchestrator knows."""
        here, name = self.order.source, self.order.specification.name
        if not self._alike:
            return self._foreign()
        with ThreadPoolExecutor(1) as pool:
            raw = pool.submit(here.orchestrator.raw, here.transport, name)
            particulars = here.orchestrator.particulars(here.transport, name)
            self._raw = raw.result()
        return particulars

    def _created(self) -> str:
        """Image and container at the destination; the container's id."""
        spec = self.order.specification
        with ThreadPoolExecutor(1) as pool:
            present = pool.submit(self._has_image)
            self._remove_reserved()  # of a first attempt that was cut off
            volumes = [mount.source for mount in self._data if mount.kind == "volume"]
            self._ask("destination.claim", container=spec.name, volumes=volumes)
        if not present.result():
            layers = self._ask("destination.layers")["layers"]
            sent = self._ask("source.send_image", LONG, image=spec.image, there=layers)["bytes"]
            self._count(image=sent)
        self._step_aside()
        self._begin_memory_early()
        folders = [mount.source for mount in self._data if mount.kind == "bind" and mount.source not in self._files]
        self._ask("destination.place", folders=folders, files=self._files)
        return self._create()

    def _has_image(self) -> bool:
        spec, there = self.order.specification, self.order.destination
        return there.orchestrator.has_image(there.transport, spec.image_id or spec.image)

    def _create(self) -> str:
        assert self._describing is not None
        particulars, there = self._describing.result(), self.order.destination
        return there.orchestrator.create(there.transport, self.order.specification, particulars)

    def _prepare(self, container: str) -> None:
        """Bring it to where it waits for the service."""
        trees = {mount.destination: mount.source for mount in self._data if mount.source not in self._files}
        prepared = self._ask("destination.prepare", container=container, volumes=trees)
        self._roots, self._log_format = prepared["roots"], prepared["log_format"]

    def _compare(self) -> None:
        if not self._comparable:
            return
        differences = [each for each in self._differences(self._raw) if self._matters(str(each))]
        if differences:
            listed = "; ".join(str(difference) for difference in differences[:5])
            raise Refused(
                f"the destination's container would differ from the service: {listed}",
                "recreate the service without these settings, or report them as a fault of umsui",
                code="not-identical",
            )

    @property
    def _comparable(self) -> bool:
        """Whether the reserved container can be compared with the service's."""
        return self._alike or self.approach == "orchestrator"

    @property
    def _alike(self) -> bool:
        """Whether the orchestrators are of the same kind."""
        return self.order.source.orchestrator.name == self.order.destination.orchestrator.name

    def _foreign(self) -> Sequence[str]:
        """Flags for a container that is created at another orchestrator's like."""
        return ()

    def _matters(self, difference: str) -> bool:  # noqa: ARG002 - others make some on purpose
        return True

    @property
    def _across(self) -> bool:
        """Whether the ends have different engines."""
        return self._engine("source") != self._engine("destination")

    def _differences(self, here: Any) -> Sequence[object]:
        """How the reserved container differs from the service: field by field; between engines, in neutral words."""
        spec, there = self.order.specification, self.order.destination
        if self._across:
            return neutral.differences(spec, there.orchestrator.specification(there.transport, spec.name))
        return there.orchestrator.differences(here, there.orchestrator.raw(there.transport, spec.name))

    @property
    def _data(self) -> list[Mount]:
        """The mounts whose data goes along."""
        mounts = self.order.specification.mounts
        return [m for m in mounts if m.kind == "volume" or (m.kind == "bind" and is_data(m.source, self._kind(m)))]

    @property
    def _files(self) -> list[str]:
        """Of these, the files that are bound by themselves."""
        return [mount.source for mount in self._data if mount.kind == "bind" and self._kind(mount) == "file"]

    def _kind(self, mount: Mount) -> str:
        if mount.source not in self._kinds:
            self._kinds |= self._session("source").call("kinds", paths=[mount.source])["kinds"]
        return self._kinds[mount.source]

    def copy_ahead(self) -> None:
        """Root file system changes and volumes, while the service runs."""
        facts = self._service()
        roots = [{"name": "/", "target": self._roots["/"], **self._changes()}]
        for mount in self._data:
            if mount.source not in self._files:
                target = self._roots[mount.destination]
                root = {"name": mount.destination, "source": mount.path, "target": target, "also": self._also(mount)}
                roots.append(root)
        log = facts["log"] if facts["log_format"] == self._log_format else ""
        self._ask("source.copy", LONG, roots=roots, files=self._files, log=log)
        self._count_files()
        if self._paged:
            if self._ahead is None:
                self._begin_memory()
            self._wait_for_memory(self._nearly.is_set)

    def _begin_memory_early(self) -> None:
        """A bandwidth limit holds for all streams together: with one, memory comes after the files."""
        if self._paged and not self.order.plan.request.bandwidth:
            self._begin_memory()

    def _begin_memory(self) -> None:
        """Memory goes ahead from now on, beside what else there is to do: that hardly uses the wire."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="memory")
        self._ahead = pool.submit(self._send_memory)
        pool.shutdown(wait=False)

    def _send_memory(self) -> None:
        strategy, pid = self.order.plan.strategy, self._service()["pid"]
        at_once = strategy is Strategy.PRE_COPY  # others let the destination fetch what is left
        with self._paging:
            if self._off:
                return
            self._ask("destination.page", whole_first=at_once)
        with self._watching_memory():
            self._ask("source.page", LONG, pid=pid, ahead=strategy is not Strategy.POST_COPY, at_once=at_once)

    def _wait_for_memory(self, enough: Callable[[], bool]) -> None:
        """Until ``enough`` of it is at the destination, at the latest all but what was written meanwhile."""
        assert self._ahead is not None
        while not (self._ahead.done() or enough()):
            self._step_aside()
            wait([self._ahead], 0.05)
        if self._ahead.done():
            self._ahead.result()

    def _also(self, mount: Mount) -> list[dict[str, Any]]:  # noqa: ARG002 - others need it
        """Further containers that have this mount: their first process, and where they have it."""
        return []

    def _service(self) -> dict[str, Any]:
        """What the service is made of, as it was when first asked."""
        with self._looking:
            if not self._facts:
                self._facts = self._look()
            return self._facts

    def _look(self) -> dict[str, Any]:
        """What the service is made of at this moment."""
        name = self.order.specification.name
        return self._session("source").call("service", engine=self._engine("source"), container=name)

    def _changes(self) -> dict[str, Any]:
        """Where the root file system's changes are at the source."""
        return {"source": self._facts["merged"], "upper": self._facts["upper"], "lower": self._facts["lower"]}

    def _count_files(self) -> None:
        moved = self._ask("source.progress")
        self._count(rootfs=moved["rootfs"], volumes=moved["volumes"])

    def _count(self, **moved: int) -> None:
        with self._lock:  # memory is counted by a thread of its own
            self._traffic = replace(self._traffic, **moved)

    def arm(self) -> None:
        """Checkpoint and restore started and waiting for their word; the page stream open."""
        facts = self._service()
        how = {"lazy": self._paged, "across": self._across}
        service = {"container": facts["container"], "pid": facts["pid"], "runtime": facts["runtime"]}
        with ThreadPoolExecutor(1) as pool:
            there = pool.submit(self._ask, "destination.arm", ARMED, descriptors=facts["descriptors"], **how)
            if self._engine("destination") == "docker":
                there.result()  # its files lie elsewhere from then on
            self._ask("source.arm", ARMED, **service, **how)
            there.result()
        if self._paged:
            self._wait_for_memory(lambda: False)

    def intact(self) -> None:
        """Whether the service and its reserved container are still as they were when it was reserved."""
        for role in ("source", "destination"):
            self._intact(role)

    def _intact(self, role: str) -> None:
        self._ask(f"{role}.intact", container=self.order.specification.name)

    # -- migration --------------------------------------------------------------------------------------------------

    def switch(self) -> None:
        """Freeze, checkpoint and transfer overlapped, restore up to the gate; both ends have then voted."""
        self._step_aside()
        with self._watching_memory(), ThreadPoolExecutor(1) as pool:
            restored = pool.submit(self._ask, "destination.wait", SWITCH + 10, within=SWITCH)
            try:
                self._ask("source.switch", SWITCH + 10, within=SWITCH)
            except UmsuiError:
                with contextlib.suppress(Unreachable):  # then nothing there can go on either
                    self._ask("destination.abandon")  # else the restore would wait for what never comes
                raise
            restored.result()
        received = self._traffic.memory
        self.order.emit("progress", what="memory", done=received, total=received, rate=None)

    @contextlib.contextmanager
    def _watching_memory(self) -> Iterator[None]:
        """Tell how much memory has arrived, all the while; note it at the end."""
        done = threading.Event()
        threading.Thread(target=self._watch_memory, args=(done,), daemon=True).start()
        try:
            yield
        finally:
            done.set()
        self._count(memory=self._ask("destination.received")["memory"])

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
                if expected and expected - received < rate * SOON:
                    self._nearly.set()

    @property
    def _paged(self) -> bool:
        """Whether memory is placed by the destination's pager, in the background."""
        return self.order.plan.strategy is not Strategy.STOP_COPY

    def drain(self) -> None:
        """Until the last page is in its place. Hybrid, post-copy: losing the source loses the service."""
        if self._paged:
            with self._watching_memory():
                if self.order.plan.strategy is not Strategy.PRE_COPY:
                    self._ask("source.drained", LONG, within=LONG)
                self._ask("destination.fetched", FETCHED + 5, within=FETCHED)

    def commit(self) -> None:
        """The decision is durable: open the destination's gate."""
        self._ask("destination.commit", 70.0, within=60.0)

    # -- post-migration ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Remove the source and everything of this migration at both ends."""
        self._ask("destination.confirm", 70.0, within=60.0)
        self._count_files()
        known = self._known("source")
        if known:
            self._ask("source.remove", 70.0, within=60.0)
        names = self._own_volumes()
        if names or not known:
            here = self.order.source
            here.orchestrator.remove(here.transport, self.order.specification.name, volumes=names)
        for role in ("source", "destination"):
            self._ask(f"{role}.close")

    def _own_volumes(self) -> list[str]:
        mounts = [mount for mount in self.order.specification.mounts if mount.kind == "volume"]
        return [mount.source for mount in mounts if mount.source not in self._elsewhere]

    def forgotten(self) -> bool:
        """Whether neither node knows anything of this migration any more."""
        if any(self._known(role) for role in ("source", "destination")):
            return False
        for role in ("source", "destination"):
            self._ask(f"{role}.close")
        return True

    # -- undo -------------------------------------------------------------------------------------------------------

    def rollback(self) -> None:
        """The destination goes first, but the source does not wait for one that does not answer or cannot tidy up."""
        with self._paging:
            self._off = True
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
