"""Trouble on demand: which requests go wrong, and how."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

How = Literal["status", "silent", "cut", "revoke"]


@dataclass
class Fault:
    """Requests whose kind fits ``kind`` (``arm.vms.*``): ``after`` of them pass, the next ``count`` (None: all) do not.

    With ``account``, only those for that subscription or project.

    ``status``: answered with that status; ``silent``: never answered; ``cut``: half the answer, then a reset;
    ``revoke``: every access token is worthless from here on, and with ``credentials`` no new one is to be had.
    """

    kind: str
    how: How = "status"
    status: int = 503
    reason: str = ""  # the cloud's own word for it, where it has several for one status
    retry_after: str | None = None  # seconds, or an HTTP date
    after: int = 0
    count: int | None = 1
    credentials: bool = False
    account: str = ""


class Faults:
    """Those that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """From now on."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """No more trouble."""
        self._waiting.clear()

    def take(self, kind: str, account: str) -> Fault | None:
        """The fault that this request meets."""
        for fault in self._waiting:
            if not fnmatch(kind, fault.kind) or (fault.account and fault.account.lower() != account.lower()):
                continue
            if fault.after > 0:
                fault.after -= 1
                return None
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
            return fault
        return None
