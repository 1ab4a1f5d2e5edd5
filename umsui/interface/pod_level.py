"""Orchestrator-level migration of pods: the kubelet's checkpoint at one end, its restore at the other, both held.

What is the orchestrator's goes through both APIs (``PodEnd``, as for service-level): the pod, its owner, its claims.
What is the nodes' is done by agents there, as between container hosts: ``umsui.agent.pods`` holds the kubelet's
checkpoint and restore at CRIU's door, so that the two ends are the same as those of ``OrchestratorLevel``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

from umsui.adapters import ApiOrchestrator
from umsui.core.session import AgentError
from umsui.errors import BadInput, CommandFailed, UmsuiError
from umsui.interface import beside
from umsui.interface.api_ends import PodEnd
from umsui.interface.memory_ahead import LONG
from umsui.interface.orchestrator_level import ARMED, OrchestratorLevel
from umsui.interface.protocol import Order
from umsui.interface.unchanged import Unchanged
from umsui.model import Mount

CHECKPOINT = 600.0  # seconds that the kubelet's checkpoint may take, all that it is held included
PATIENCE = 100.0  # seconds; kubelets give a container's start up after 120 s, and the restore is one
STARTS = 60.0  # seconds until the kubelet has come to restore the pod
AGAIN = 330.0  # seconds until it has come there once more: it waits longer after each failure, 300 s at most
LOOK = 1.0  # seconds between two looks whether it can


class PodLevel(OrchestratorLevel):
    """One migration of a pod between two Kubernetes clusters whose nodes can be logged in to."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        name = order.specification.name
        self._here, self._there = (PodEnd(end, name) for end in (order.source, order.destination))
        self._unchanged = Unchanged(self._here, self._there, besides=("created", "its container"))
        self._trees: dict[str, str] = {}
        self._until = 0.0  # by the monotonic clock: when the destination's kubelet loses its patience

    @property
    def _apis(self) -> tuple[ApiOrchestrator, ApiOrchestrator]:
        ends = (self.order.source, self.order.destination)
        here, there = (cast(ApiOrchestrator, end.orchestrator) for end in ends)
        return here, there

    def _step_aside(self) -> None:
        super()._step_aside()
        if self._until and time.monotonic() > self._until:
            words = f"the destination's kubelet waits two minutes for the pod to start, and {PATIENCE:g} s are over"
            fix = "move it when less is to be copied, or service-level, or raise its runtimeRequestTimeout"
            raise UmsuiError(words, fix, code="too-slow")

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Agents at both ends, a key for this one migration, the wire between the nodes."""
        super().connect()
        self._wired()

    @property
    def _armed_meanwhile(self) -> bool:
        return False  # it is armed since it was reserved: by its kubelet

    def _described(self) -> Sequence[str]:
        return self._here.particulars()

    def _look(self) -> dict[str, Any]:
        container = self._apis[0].container(self.order.source.transport, self.order.specification.name)
        return self._session("source").call("service", engine=self._engine("source"), container=container)

    @property
    def _data(self) -> list[Mount]:
        """Claims, emptied folders, and the pod's memory file system; their paths are those of the source's node."""
        return [Mount("volume", path, inside, path=path) for inside, path in sorted(self._trees.items())]

    def reserve(self) -> None:
        """An identical pod at the destination, whose restore has come to CRIU and waits there."""
        assert self._describing is not None
        self._remove_reserved()  # of a first attempt that was cut off
        self._step_aside()
        spec, facts = self.order.specification, self._service()
        about = self._ask("source.about", container=facts["container"], image=self._pods_image())
        self._trees = about["trees"]
        self._bring_image(facts["image"])
        self._begin_memory_early()
        expected = {"about": about, "image": facts["image"], "descriptors": facts["descriptors"], "lazy": self._paged}
        image = self._ask("destination.expect", ARMED, **expected)["image"]
        there = self.order.destination
        particulars = self._describing.result()
        here = (there.transport, there.place.node)
        self._apis[1].reserve(*here, spec, particulars, self.order.id, checkpoint=image)
        self._wait_arrived(STARTS)
        self._prepare("")
        address = self._ask("destination.address")["address"]
        self._apis[1].note_address(there.transport, spec.name, address)
        self.intact()

    def _pods_image(self) -> str:
        """What the pod says that its image is: another name than its own, if it was restored."""
        here, name = self.order.source, self.order.specification.name
        return str(here.orchestrator.raw(here.transport, name)["spec"]["containers"][0]["image"])

    def _bring_image(self, image: str) -> None:
        """The service's own image, if it is not there: from node to node."""
        if not self._ask("destination.has_image", image=image)["there"]:
            sent = self._ask("source.send_image", LONG, image=image, there=[])["bytes"]
            self._count(image=sent)
            self._step_aside()

    def _wait_arrived(self, within: float) -> None:
        """Until the kubelet restores the pod, or says that it cannot (which it does first when it tries again)."""
        there, end = self.order.destination, time.monotonic() + within
        while not self._ask("destination.arrive", within=LOOK)["arrived"]:
            self._step_aside()
            if within == STARTS:
                self._apis[1].starts(there.transport, self.order.specification.name)
            if time.monotonic() > end:
                words = f"the destination's kubelet has not come to restore the pod within {within:g} s"
                raise CommandFailed(words, "see its events: kubectl describe", code="not-started")
        self._until = time.monotonic() + PATIENCE

    def arm(self) -> None:
        """The kubelet's checkpoint is asked for, and has come to CRIU; the restore waits there already."""
        self._step_aside()
        facts = self._service()
        service = {"container": facts["container"], "pid": facts["pid"], "runtime": facts["runtime"]}
        self._ask("source.arm", ARMED, **service, lazy=self._paged)
        checkpoint, end = self._begin_checkpoint(), time.monotonic() + ARMED
        while not self._ask("source.hold", within=LOOK)["held"]:
            self._step_aside()
            if checkpoint.done():
                checkpoint.result()  # says why
            if checkpoint.done() or time.monotonic() > end:
                words = f"the kubelet's checkpoint did not come to CRIU within {ARMED:g} s"
                raise CommandFailed(words, "see the logs of kubelet and containerd there", code="not-armed")
        if self._paged:
            self._wait_for_memory()

    def _begin_checkpoint(self) -> Future[None]:
        here, name = self.order.source, self.order.specification.name
        return beside.begin(lambda: self._apis[0].checkpoint(here.transport, name, CHECKPOINT), "kubelet")

    def intact(self) -> None:
        """Whether both pods are still as they were at the first call."""
        self._unchanged.look()

    # -- the decision -----------------------------------------------------------------------------------------------

    def switch(self) -> None:
        """Freeze, checkpoint and transfer overlapped, restore up to the gate; both ends have then voted."""
        super().switch()
        self._step_aside()

    def commit(self) -> None:
        """The decision is durable: open the destination's gate, and lead clients there."""
        try:
            super().commit()
        except AgentError as error:
            if error.code != "restore-lost":
                raise
            self._restore_again()
            super().commit()
        self._there.lead()

    def _restore_again(self) -> None:
        """The kubelet has given the restore up before its gate was open, and tries again, with a new root file system.

        The source stands still and has everything; its memory is at the destination.
        """
        facts, self._until = self._service(), 0.0
        about = self._ask("source.about", container=facts["container"], image=self._pods_image())
        self._trees = about["trees"]
        self._ask("destination.expect_again", ARMED)
        self._wait_arrived(AGAIN)
        self._prepare("")
        self._open_wire()
        self._ask("source.copy", LONG, roots=self._trees_to_copy(), files=[], log="")
        self._ask("destination.begin_again", 70.0, within=60.0)

    def finish(self) -> None:
        """The destination's owner takes over; the source, its owner and everything of this migration go."""
        self._ask("destination.confirm", 70.0, within=60.0)
        known = self._known("source")
        if self._is_there():
            self._there.settle(self._here.particulars())
            with ThreadPoolExecutor(1) as pool:
                gone = pool.submit(self._here.take_away)
                if known:
                    self._ask("source.remove", 70.0, within=60.0)
                gone.result()
        if known:
            self._count_files()
        for role in ("source", "destination"):
            self._ask(f"{role}.close")

    def _is_there(self) -> bool:
        with contextlib.suppress(BadInput):
            return bool(self._here.identity())
        return False

    # -- undo -------------------------------------------------------------------------------------------------------

    def _undo_both(self) -> None:
        """Nothing can run at the destination as soon as its restore is abandoned; how long the pod's removal takes
        is no concern of the source."""
        if self._ask("destination.noted")["state"].get("open"):
            raise AgentError(f"{self.order.destination.place.cluster}: the gate is open", code="committed")
        with ThreadPoolExecutor(1, thread_name_prefix="discard") as pool:
            gone = pool.submit(self._there.discard, self.order.id)
            try:
                super()._remove_reserved()
            finally:
                self._thaw()
            gone.result()

    def _remove_reserved(self) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="discard") as pool:
            gone = pool.submit(self._there.discard, self.order.id)
            super()._remove_reserved()
            gone.result()
