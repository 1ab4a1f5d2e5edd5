"""Service-level migration: umsui inside the service's own container checkpoints and restores it.

The orchestrators are asked for what any of their users may ask for (create, start, exec, remove); the image brings
umsui's supervisor and CRIU (``umsui image build --approach service``). The destination's container is started passive
and waits; what runs in it afterwards are the very processes of the source, with their numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from umsui.errors import Refused
from umsui.interface import neutral
from umsui.interface.memory_ahead import LONG
from umsui.interface.orchestrator_level import OrchestratorLevel
from umsui.interface.protocol import Order
from umsui.model import Strategy


class ServiceLevel(OrchestratorLevel):
    """One migration from inside the service's container (a ``umsui.interface.protocol.Move``)."""

    approach = "service"

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._on_its_way = threading.Event()  # dump and restore are armed, and memory goes ahead

    @property
    def _paged(self) -> bool:
        """Never: CRIU inside restores from what has arrived."""
        return False

    @property
    def _through_container(self) -> bool:
        return True

    def reserve(self) -> None:
        """Image and an identical container at the destination, started passive; differences are refused."""
        if self._files:
            raise Refused(
                f"it has single files of its host bound into it: {', '.join(self._files[:3])}",
                "bind their folder instead, or choose orchestrator-level",
                code="bound-files",
            )
        super().reserve()

    def _described(self) -> Sequence[str]:
        with ThreadPoolExecutor(1) as pool:
            kept = pool.submit(self._keep_hostname)
            particulars = super()._described()
            kept.result()
        if not self._alike:
            mask = self._service()["inside"]["capabilities"]
            self.order = replace(self.order, specification=neutral.with_capabilities(self.order.specification, mask))
        return particulars

    def _keep_hostname(self) -> None:
        """Its processes have read the name that its container was given: the destination's gets the same."""
        spec = self.order.specification
        if not spec.hostname and spec.network != "host":
            self.order = replace(self.order, specification=replace(spec, hostname=self._service()["hostname"]))

    def _foreign(self) -> list[str]:
        """The groups that the source's orchestrator gave: without CAP_SETGID a restore needs to find the same."""
        if self.order.destination.orchestrator.name != "podman":
            return []
        return [f"--group-add={group}" for group in self._service()["inside"]["groups"].split()]

    def _matters(self, difference: str) -> bool:
        return not difference.startswith("Config.Hostname:")  # given here, an orchestrator's own choice there

    def _prepare(self, container: str) -> None:
        super()._prepare(container)
        if self._goes_ahead and not self.order.plan.request.bandwidth:  # a limit holds for all streams together
            self._begin_memory()

    def copy_ahead(self) -> None:
        """Root file system changes, volumes, and what is in memory file systems, while the service runs."""
        facts, name = self._service(), self.order.specification.name
        volumes = [mount.destination for mount in self._data]
        log = facts["log"] if facts["log_format"] == self._log_format else ""
        with ThreadPoolExecutor(1) as pool:
            if self._few_files and not self._goes_ahead:
                self._armed = pool.submit(self._arm_inside)
            self._ask("source.copy_inside", LONG, container=name, volumes=volumes, created=facts["created"], log=log)
        self._count_files()
        if self._goes_ahead and self._ahead is None:
            self._begin_memory()

    @property
    def _goes_ahead(self) -> bool:
        """Whether memory goes ahead."""
        return self.order.plan.strategy is Strategy.PRE_COPY

    def _send_memory(self) -> None:
        self._wired()
        with self._paging:
            if self._off:
                return
            self._arm_inside()
        self._on_its_way.set()
        with self._watching_memory():
            self._ask("source.send_memory", LONG)

    def _arm_inside(self) -> None:
        self._ask("source.arm_inside", container=self.order.specification.name, ahead=self._goes_ahead)

    def arm(self) -> None:
        """Dump and restore started and waiting for their word, memory's and files' way open."""
        if self._armed is not None:
            self._armed.result()
        elif self._goes_ahead:
            self._wait_for_memory(self._on_its_way.is_set)
        else:
            self._arm_inside()
        self._ask("source.arm_files")
        self._ask("destination.armed", within=20.0)
        if self._goes_ahead:
            self._wait_for_memory()

    def switch(self) -> None:
        """Stop, checkpoint and transfer overlapped, restore up to the gate; both ends have then voted.

        The source's agent sees the restore through the wire: its end is the destination's vote.
        """
        if self._goes_ahead:
            self._begin_memory(lambda: self._ask("source.send_memory", LONG, once=True))  # what was written since
            self._wait_for_memory()
        self._step_aside()
        self.order.emit("step", step="freeze", state="started")
        with self._watching_memory():
            self._switch_source()
        received = self._traffic.memory
        self.order.emit("progress", what="memory", done=received, total=received, rate=None)
