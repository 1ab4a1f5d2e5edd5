"""Orchestrator-level migration between container hosts: the platform's own runtime checkpoints and restores.

The destination's container is its engine's own from the start: created by it, and restored by it, too. That restore
(``podman container restore``, ``docker start --checkpoint``) is held at CRIU's door (``umsui.agent.relay``) until the
checkpoint has arrived, and once more, restored, until the commit.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from umsui.agent.binds import is_data
from umsui.core.session import AgentError
from umsui.errors import Refused, UmsuiError, Unknown, Unreachable
from umsui.interface import beside, neutral
from umsui.interface.memory_ahead import LONG, MemoryAhead
from umsui.interface.protocol import Order
from umsui.model import Mount, Strategy

ARMED = 70.0  # seconds until the engine has come to CRIU's door; several of a loaded node's take their time
SWITCH = 120.0  # seconds that the service may stand still before the migration gives up by itself
FEW = 64 << 20  # bytes of files that are copied so soon that ends are armed meanwhile


class OrchestratorLevel(MemoryAhead):
    """One migration between two hosts with podman or docker (a ``umsui.interface.protocol.Move``)."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._kinds: dict[str, str] = {}  # what the bound paths are at the source
        self._elsewhere: frozenset[str] = frozenset()  # volumes that somebody else removes
        self._thawed = False
        self._raw: Any = None  # the source's own description of the service
        self._describing: Future[Sequence[str]] | None = None
        self._armed: Future[None] | None = None  # ahead of time, while files are copied

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Agents at both ends; begins with a key for this one migration and the wire between the nodes."""
        self._describe()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._session, ("source", "destination")))
        self._begin_wire()

    def _open_wire(self) -> None:
        public = self._ask("source.key")["public"]
        user = self._ask("destination.admit", public=public)["user"]
        there = self.order.destination.shell
        rate = self.order.plan.request.bandwidth or 0.0
        self._ask(
            "source.connect", user=user, address=there.address, port=there.port, host_key=there.host_key, rate=rate
        )

    def reserve(self) -> None:
        """Image and an identical container at the destination, passive; differences are refused."""
        container = self._created()
        if self._through_container:
            self._prepare(container)
        with ThreadPoolExecutor(1, thread_name_prefix="reserve") as pool:  # more at once would delay the engine's work
            beside: list[Future[Any]] = [pool.submit(self._intact, "source")]
            beside += [pool.submit(each) for each in (self._service, self._compare)]
            if not self._through_container:
                self._prepare(container)
            for each in beside:
                each.result()
            self._intact("destination")
        self._wired()

    @property
    def _through_container(self) -> bool:
        """Whether memory has no other way than through the reserved container: it comes first, then."""
        return False

    def _describe(self) -> None:
        """Begin to look how the service is; that goes on beside what else there is to do until it is needed."""
        self._describing = self._begin(self._described)

    def _described(self) -> Sequence[str]:
        """The flags for a container like the service's that only its own orchestrator knows."""
        here = self.order.source
        if not self._alike:
            return self._foreign()
        return here.orchestrator.particulars(here.transport, self.order.specification.name)

    def _source_raw(self) -> Any:
        """What its orchestrator says of the service; asked once."""
        if self._raw is None:
            here = self.order.source
            self._raw = here.orchestrator.raw(here.transport, self.order.specification.name)
        return self._raw

    def _created(self) -> str:
        """Image and container at the destination; the container's id."""
        spec = self.order.specification
        with ThreadPoolExecutor(1) as pool:
            present = pool.submit(self._has_image)
            self._remove_reserved()  # of a first attempt that was cut off
            self._begin_pager()
            volumes = [mount.source for mount in self._data if mount.kind == "volume"]
            self._ask("destination.claim", container=spec.name, volumes=volumes)
        if not present.result():
            self._wired()
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
        more = {"top": self._service()["top"]} if self._across and self.approach == "orchestrator" else {}
        prepared = self._ask("destination.prepare", container=container, volumes=trees, **more)
        self._roots, self._log_format = prepared["roots"], prepared["log_format"]

    def _compare(self) -> None:
        if not self._comparable:
            return
        differences = [each for each in self._differences() if self._matters(str(each))]
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

    def _differences(self) -> Sequence[object]:
        """How the reserved container differs from the service: field by field; between engines, in neutral words."""
        spec, there = self.order.specification, self.order.destination
        if self._across:
            return neutral.differences(spec, there.orchestrator.specification(there.transport, spec.name))
        return there.orchestrator.differences(self._source_raw(), there.orchestrator.raw(there.transport, spec.name))

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
        facts, roots = self._service(), self._trees_to_copy()
        log = facts["log"] if facts["log_format"] == self._log_format else ""
        with ThreadPoolExecutor(1, thread_name_prefix="arm") as pool:
            if self._armed_meanwhile:
                self._armed = pool.submit(self._arm_destination)
            self._ask("source.copy", LONG, roots=roots, files=self._files, log=log)
        self._count_files()
        if self._paged:
            if self._ahead is None:
                self._begin_memory()
            self._wait_for_memory(self._nearly.is_set)

    def _trees_to_copy(self) -> list[dict[str, Any]]:
        volumes = [
            {"name": m.destination, "source": m.path, "target": self._roots[m.destination], "also": self._also(m)}
            for m in self._data
            if m.source not in self._files
        ]
        return [{"name": "/", "target": self._roots["/"], **self._changes()}, *volumes]

    def _also(self, mount: Mount) -> list[dict[str, Any]]:  # noqa: ARG002 - others need it
        """Further containers that have this mount: their first process, and where they have it."""
        return []

    def _changes(self) -> dict[str, Any]:
        """Where the root file system's changes are at the source."""
        return {"source": self._facts["merged"], "upper": self._facts["upper"], "lower": self._facts["lower"]}

    def _count_files(self) -> None:
        moved = self._ask("source.progress")
        self._count(rootfs=moved["rootfs"], volumes=moved["volumes"])

    @property
    def _few_files(self) -> bool:
        return sum(self.order.plan.bytes.get(kind, 0) for kind in ("rootfs", "volumes")) < FEW

    @property
    def _armed_meanwhile(self) -> bool:
        """Whether the destination is armed while files are copied: soon done, and not waiting for memory then."""
        ahead = self.order.plan.strategy in (Strategy.PRE_COPY, Strategy.HYBRID)
        return self._few_files and not ahead and self._engine("destination") != "docker"

    def _arm_destination(self) -> None:
        how = {"lazy": self._paged, "across": self._across}
        self._ask("destination.arm", ARMED, descriptors=self._service()["descriptors"], **how)

    def arm(self) -> None:
        """Checkpoint and restore started and waiting for their word; the page stream open."""
        facts = self._service()
        service = {"container": facts["container"], "pid": facts["pid"], "runtime": facts["runtime"]}
        with ThreadPoolExecutor(1) as pool:
            there = self._armed or pool.submit(self._arm_destination)
            if self._engine("destination") == "docker":
                there.result()  # its files lie elsewhere from then on
            self._ask("source.arm", ARMED, **service, lazy=self._paged, across=self._across)
            there.result()
        if self._paged:
            self._wait_for_memory()

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
        with self._watching_memory(count=False), ThreadPoolExecutor(1) as pool:
            restored = pool.submit(self._ask, "destination.wait", SWITCH + 10, within=SWITCH)
            try:
                self._switch_source()
            except UmsuiError:
                with contextlib.suppress(Unreachable):  # then nothing there can go on either
                    self._ask("destination.abandon")  # else the restore would wait for what never comes
                raise
            received = restored.result()["memory"]
        self._count(memory=received)
        self.order.emit("progress", what="memory", done=received, total=received, rate=None)

    def _switch_source(self) -> None:
        """The source's part. One that is cancelled meanwhile does not stand still for longer than it must."""
        try:
            with beside.watching(self._halt_when_cancelled):
                self._ask("source.switch", SWITCH + 10, within=SWITCH)
        except UmsuiError:
            self._step_aside()  # that is the reason then
            raise

    def _halt_when_cancelled(self, over: threading.Event) -> None:
        while not over.wait(0.05):
            if self.order.cancelled():
                with contextlib.suppress(Unreachable, AgentError):  # it is undone in any case
                    self._ask("source.halt")
                return

    def commit(self) -> None:
        """The decision is durable: open the destination's gate."""
        self._ask("destination.commit", 70.0, within=60.0)

    # -- post-migration ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Remove the source and everything of this migration at both ends."""
        self._ask("destination.confirm", 70.0, within=60.0)
        self._count_files()
        known = self._known("source")
        with ThreadPoolExecutor(1) as pool:
            given_back = pool.submit(self._ask, "destination.unput")  # where memory came through a container
            if known:
                self._ask("source.remove", 70.0, within=60.0)
            names = self._own_volumes()
            if names or not known:
                here = self.order.source
                here.orchestrator.remove(here.transport, self.order.specification.name, volumes=names)
            given_back.result()
        for role in ("source", "destination"):
            self._ask(f"{role}.close")

    def _own_volumes(self) -> list[str]:
        return [each.source for each in self.order.specification.volumes if each.source not in self._elsewhere]

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
        self._give_up()
        for role in ("destination", "source"):
            self._ask(f"{role}.close")

    def _give_up(self) -> None:
        """Nothing more is begun, and what was is undone at both ends. Raises Unknown."""
        with self._paging:
            self._off = True
        self._wait_for_begun()
        try:
            self._undo_both()
        except AgentError as error:
            raise Unknown(f"the migration could not be undone: {error.message}", error.fix, code=error.code) from error

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
