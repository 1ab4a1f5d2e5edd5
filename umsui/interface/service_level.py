"""Service-level migration: umsui inside the service's own container checkpoints and restores it.

The orchestrators are asked for what any of their users may ask for (create, start, exec, remove); the image brings
umsui's supervisor and CRIU (``umsui image build --approach service``). The destination's container is started passive
and waits; what runs in it afterwards are the very processes of the source, with their numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from umsui.errors import Refused
from umsui.interface.orchestrator_level import LONG, SWITCH, OrchestratorLevel
from umsui.interface.protocol import Order

FEW = 64 << 20  # bytes of files that are copied so soon that the ends are armed meanwhile


class ServiceLevel(OrchestratorLevel):
    """One migration from inside the service's container (a ``umsui.interface.protocol.Move``)."""

    approach = "service"

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._armed: Future[None] | None = None  # ahead of time, while files are copied

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
            looked = pool.submit(self._service)
            particulars = super()._described()
            self._keep_hostname()
            looked.result()
        return particulars

    def _keep_hostname(self) -> None:
        """Its processes have read the name that its container was given: the destination's gets the same."""
        here, spec = self.order.source, self.order.specification
        if not spec.hostname and spec.network != "host":
            raw = self._raw or here.orchestrator.raw(here.transport, spec.name)
            found = str(raw["Config"].get("Hostname") or "")
            self.order = replace(self.order, specification=replace(spec, hostname=found))

    def _foreign(self) -> list[str]:
        """The groups that the source's orchestrator gave: without CAP_SETGID a restore needs to find the same."""
        if self.order.destination.orchestrator.name != "podman":
            return []
        return [f"--group-add={group}" for group in self._service()["inside"]["groups"].split()]

    def _matters(self, difference: str) -> bool:
        return not difference.startswith("Config.Hostname:")  # given here, an orchestrator's own choice there

    def copy_ahead(self) -> None:
        """Root file system changes, volumes, and what is in memory file systems, while the service runs."""
        facts, name = self._service(), self.order.specification.name
        volumes = [mount.destination for mount in self._data]
        log = facts["log"] if facts["log_format"] == self._log_format else ""
        with ThreadPoolExecutor(1) as pool:
            if sum(self.order.plan.bytes.get(kind, 0) for kind in ("rootfs", "volumes")) < FEW:
                self._armed = pool.submit(self._arm_inside)
            self._ask("source.copy_inside", LONG, container=name, volumes=volumes, created=facts["created"], log=log)
        self._count_files()

    def _arm_inside(self) -> None:
        self._ask("source.arm_inside", container=self.order.specification.name)

    def arm(self) -> None:
        """Dump and restore started and waiting for their word, memory's and files' way open."""
        if self._armed is None:
            self._arm_inside()
        else:
            self._armed.result()
        self._ask("source.arm_files")
        self._ask("destination.armed", within=20.0)

    def switch(self) -> None:
        """Stop, checkpoint and transfer overlapped, restore up to the gate; both ends have then voted.

        The source's agent sees the restore through the wire: its end is the destination's vote.
        """
        self._step_aside()
        done = threading.Event()
        watch = threading.Thread(target=self._watch_memory, args=(done,), daemon=True)
        self.order.emit("step", step="freeze", state="started")
        watch.start()
        try:
            self._ask("source.switch", SWITCH + 10, within=SWITCH)
        finally:
            done.set()
        received = self._ask("destination.received")["memory"]
        self._count(memory=received)
        self.order.emit("progress", what="memory", done=received, total=received, rate=None)
