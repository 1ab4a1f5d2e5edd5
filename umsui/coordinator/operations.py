"""Machines being started and stopped: the provider's long-running operations, followed and called off.

They live in this process only: the provider finishes what it has begun whatever becomes of us, and the machine's state
on the board is the provider's own.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import replace
from typing import Any, Protocol

from fastapi import FastAPI

from umsui.adapters import Change
from umsui.coordinator.fleet import OFF, Fleet
from umsui.coordinator.inventory import Inventory
from umsui.errors import BadInput, CommandFailed, TimedOut, UmsuiError
from umsui.model import Estimate, Failure, Node, Operation, Place, Power, StartFirst

log = logging.getLogger(__name__)

POLL = 1.5  # seconds between two looks at an operation
PATIENCE = 900.0  # seconds that one may take
KEPT = 200  # operations that are remembered
TYPICAL = {
    ("azure", "start"): Estimate(15.0, 40.0, 120.0),
    ("azure", "stop"): Estimate(20.0, 60.0, 240.0),
    ("gcp", "start"): Estimate(8.0, 25.0, 90.0),
    ("gcp", "stop"): Estimate(15.0, 50.0, 120.0),
}
"""Seconds, as operators report them; measured ones take their place."""
OTHER = {"start": "stop", "stop": "start"}
MEANWHILE = {"start": Power.STARTING, "stop": Power.STOPPING}


class Operations:
    """All that go on, and the last that did."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._lock = threading.Lock()
        self._known: dict[str, Operation] = {}
        self._cancelled: dict[str, threading.Event] = {}
        self._measured: dict[tuple[str, str], list[float]] = defaultdict(list)

    def expected(self, provider: str, action: str) -> Estimate:
        """Seconds: of the last ones here, or what is usual."""
        measured = sorted(self._measured[provider, action][-20:])
        if not measured:
            return TYPICAL.get((provider, action), Estimate(10.0, 40.0, 180.0))
        return Estimate(0.8 * measured[0], measured[len(measured) // 2], 1.5 * measured[-1])

    def start_first(self, place: Place, source: Node | None) -> StartFirst:
        """How long it takes until a machine that is off can be moved to, and what both ends cost meanwhile."""
        fleet = self._inventory.fleet(place.cluster)
        return StartFirst(place, self.expected(fleet.config.provider, "start"), self._hourly(place, source))

    def _hourly(self, place: Place, source: Node | None) -> float | None:
        fleet = self._inventory.fleet(place.cluster)
        ends = [(fleet, fleet.node(place.node))]
        if source is not None and source.machine is not None:
            ends.append((self._inventory.fleet(source.cluster), source))
        sizes = [(each.config.prices, node.machine.size) for each, node in ends if node and node.machine]
        prices = [known.get(size) for known, size in sizes]
        return sum(price or 0.0 for price in prices) if prices and None not in prices else None

    def begin(self, place: Place, action: str, *, force: bool = False) -> Operation:
        """Start or stop a machine. Raises BadInput for one that there is not, or whose services would be stopped."""
        fleet = self._inventory.fleet(place.cluster)
        node = fleet.node(place.node)
        if node is None or node.machine is None:
            raise BadInput(
                f"{place.cluster} has no machine {place.node}", "`umsui nodes` lists them", code="unknown-node"
            )
        operation = Operation(
            id=uuid.uuid4().hex[:8],
            place=place,
            action=action,
            expected=self.expected(fleet.config.provider, action),
            started=time.time(),
        )
        with self._lock:
            busy = next((o for o in self._known.values() if o.place == place and o.state == "running"), None)
            if busy is not None:
                words = f"{place.cluster}/{place.node} is being switched already ({busy.action})"
                raise BadInput(words, f"`umsui nodes cancel {busy.id}` calls it off", code="busy")
            self._refuse(place, node, action, force)
            self._known[operation.id] = operation
            self._cancelled[operation.id] = threading.Event()
            for old in list(self._known)[:-KEPT]:
                del self._known[old], self._cancelled[old]
        threading.Thread(
            target=self._follow, args=(operation, fleet, node), name=f"{action} {place.node}", daemon=True
        ).start()
        return operation

    def _refuse(self, place: Place, node: Node, action: str, force: bool) -> None:
        name, off = f"{place.cluster}/{place.node}", node.machine is not None and node.machine.power in OFF
        if off == (action == "stop") and node.machine and node.machine.power not in (Power.STOPPED, Power.STOPPING):
            raise BadInput(f"{name} is {node.machine.power.value}", "there is nothing to do", code="no-change")
        if action == "start" or force:
            return
        cluster = next(each for each in self._inventory.clusters() if each.name == place.cluster)
        running = [service.name for service in cluster.services if service.node == place.node]
        if running:
            what = ", ".join(running[:3]) + (" and more" if len(running) > 3 else "")
            raise BadInput(f"{what} would stop with {name}", "move them away first, or --force", code="in-use")
        if cluster.protected:
            raise BadInput(f"{place.cluster} is protected", "--force stops it all the same", code="protected")

    def known(self) -> list[Operation]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._known.values()))

    def get(self, operation_id: str) -> Operation:
        """One of them. Raises BadInput."""
        with self._lock:
            if operation_id in self._known:
                return self._known[operation_id]
        raise BadInput(f"there is no operation {operation_id}", "it may be of an earlier coordinator", code="unknown")

    def cancel(self, operation_id: str) -> Operation:
        """Undo it: a cloud cannot call it off, so the machine is switched back as soon as it may be."""
        operation = self.get(operation_id)
        if operation.state != "running":
            raise UmsuiError(f"{operation_id} has ended: {operation.state}", "switch the machine back", code="too-late")
        self._cancelled[operation_id].set()
        return operation

    # -- its thread -------------------------------------------------------------------------------------------------

    def _change(self, operation: Operation, **values: Any) -> Operation:
        with self._lock:
            changed = replace(self._known[operation.id], **values)
            self._known[operation.id] = changed
        return changed

    def _follow(self, operation: Operation, fleet: Fleet, node: Node) -> None:
        cancelled, action = self._cancelled[operation.id], operation.action
        try:
            fleet.note(node.name, MEANWHILE[action])
            self._wait(operation, _begun(fleet, node, action), cancelled)
            if cancelled.is_set():
                self._change(operation, note="being switched back", progress=None)
                fleet.note(node.name, MEANWHILE[OTHER[action]])
                self._wait(operation, _begun_at_last(fleet, node, OTHER[action]), None)
                self._change(operation, state="cancelled", finished=time.time())
            else:
                ended = time.time()
                self._measured[fleet.config.provider, action].append(ended - operation.started)
                self._change(operation, state="done", progress=1.0, finished=ended)
        except Exception as error:  # whatever it is, who waits for the operation must learn of it
            self._change(operation, state="failed", finished=time.time(), error=_failure(error, operation))
        fleet.look(anew=True)

    def _wait(self, operation: Operation, change: Change, cancelled: threading.Event | None) -> None:
        """Until it is done or called off. Raises UmsuiError."""
        end = time.monotonic() + PATIENCE
        while True:
            done, note, progress = change.poll()
            self._change(operation, note=note, progress=progress)
            if done or (cancelled is not None and cancelled.wait(POLL)):
                return
            if cancelled is None:
                time.sleep(POLL)
            if time.monotonic() > end:
                raise TimedOut(f"the machine did not {operation.action} within {PATIENCE:g} s", "see the cloud's log")


def _begun(fleet: Fleet, node: Node, action: str) -> Change:
    provider = fleet.provider
    return provider.start(node) if action == "start" else provider.stop(node)


def _begun_at_last(fleet: Fleet, node: Node, action: str) -> Change:
    """Begin as soon as the cloud lets us: Google's does not stop a machine that is still starting."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return _begun(fleet, node, action)
        except CommandFailed as error:
            if error.code != "not-ready" or time.monotonic() > end:
                raise
        time.sleep(POLL)


def _failure(error: Exception, operation: Operation) -> Failure:
    if isinstance(error, UmsuiError):
        return error.failure(operation.action)
    log.error("operation %s", operation.id, exc_info=error)
    words = f"a fault of umsui: {type(error).__name__}: {error}"
    return Failure(operation.action, "fault", words, "the coordinator's log has the details; please report it")


class System(Protocol):
    """What the calls work on: the engine."""

    @property
    def inventory(self) -> Inventory:
        """The machines."""

    @property
    def operations(self) -> Operations:
        """What is done with them."""


def machine_actions(api: FastAPI, system: System) -> None:
    """The calls of the API."""

    @api.post("/v1/nodes/{cluster}/{node}/start", status_code=202)
    def start(cluster: str, node: str) -> Operation:
        return system.operations.begin(Place(cluster, node), "start")

    @api.post("/v1/nodes/{cluster}/{node}/stop", status_code=202)
    def stop(cluster: str, node: str, force: bool = False) -> Operation:
        return system.operations.begin(Place(cluster, node), "stop", force=force)

    @api.get("/v1/operations")
    def known() -> list[Operation]:
        return system.operations.known()

    @api.get("/v1/operations/{operation_id}")
    def one(operation_id: str) -> Operation:
        return system.operations.get(operation_id)

    @api.post("/v1/operations/{operation_id}/cancel")
    def cancel(operation_id: str) -> Operation:
        return system.operations.cancel(operation_id)

    @api.get("/v1/clusters/{cluster}/kubeconfig")
    def kubeconfig(cluster: str) -> dict[str, str]:
        fleet, managed = system.inventory.managed(cluster)
        return {"kubeconfig": fleet.provider.kubeconfig(managed.id)}
