"""What takes time in a cloud: starting and stopping machines."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.clouds.machines import Machine

ENDS = {"start": "running", "deallocate": "deallocated", "powerOff": "stopped", "stop": "deallocated"}
DURING = {"start": "starting", "deallocate": "deallocating", "powerOff": "stopping", "stop": "stopping"}


@dataclass
class Operation:
    """One, running or done. ``error``: how it ended, when not well."""

    action: str
    number: int  # of the machine
    machine: Machine
    account: str
    seconds: float
    before: str
    fails: tuple[str, str] | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=time.time)
    ended: float | None = None
    error: tuple[str, str] | None = None

    @property
    def progress(self) -> int:
        """Percent."""
        if self.ended is not None:
            return 100
        return min(int(100 * (time.time() - self.began) / max(self.seconds, 0.001)), 99)


class Operations:
    """All operations of a cloud. ``changed`` is told whenever a machine's state has changed."""

    def __init__(self, changed: Callable[[str, int], None]) -> None:
        self.seconds = 0.3
        self.retry_after: int | None = None
        self._fail_next: list[tuple[str, str]] = []
        self._changed = changed
        self._all: dict[str, Operation] = {}
        self._open: dict[tuple[str, int], Operation] = {}

    def fail_next(self, code: str, message: str) -> None:
        """The next operation that is begun will end with this."""
        self._fail_next.append((code, message))

    def running(self, account: str, number: int) -> Operation | None:
        """What goes on at a machine."""
        return self._open.get((account, number))

    def begin(self, action: str, account: str, number: int, machine: Machine) -> Operation:
        """Begin; what goes on there is preempted."""
        going = self.running(account, number)
        if going is not None:
            self._end(going, ("OperationPreempted", "The operation has been preempted by a more recent operation."))
        fails = self._fail_next.pop(0) if self._fail_next else None
        operation = Operation(action, number, machine, account, self.seconds, machine.state, fails)
        self._all[operation.id] = self._open[account, number] = operation
        machine.state = DURING[action]
        self._changed(account, number)
        return operation

    def get(self, identity: str) -> Operation | None:
        """One of them."""
        return self._all.get(identity)

    def settle(self, *, now: bool = False) -> None:
        """End those whose time has come; ``now``: all."""
        for operation in list(self._open.values()):
            if now or time.time() >= operation.began + operation.seconds:
                operation.machine.state = operation.before if operation.fails else ENDS[operation.action]
                self._end(operation, operation.fails)
                self._changed(operation.account, operation.number)

    def _end(self, operation: Operation, error: tuple[str, str] | None) -> None:
        operation.ended, operation.error = time.time(), error
        del self._open[operation.account, operation.number]
