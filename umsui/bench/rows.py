"""What a benchmark yields: a row a run, and the document around them (the contract's ``bench --json``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One run. Times are seconds, None where there is none; the field names are the contract's.

    ``total`` is from the request to the end of the clean-up, ``last_page`` from the request until all memory was at
    the destination. ``intact``: same nonce, a counter that went on, a checksum that holds.
    """

    figure: str
    tool: str  # "umsui" | "podman"
    approach: str
    strategy: str
    source: str  # orchestrators
    destination: str
    mib: int
    processes: int
    dirty_mib_s: int
    run: int
    outcome: str
    downtime: float | None = None
    total: float | None = None
    last_page: float | None = None
    creation: float | None = None
    checkpoint: float | None = None
    transfer: float | None = None
    restoration: float | None = None
    wire_bytes: int | None = None
    grow_mib_s: int = 0
    intact: bool = False
    reason: str = ""  # why it did not move
    foreseen: bool | None = None  # whether its downtime was inside the interval that had been predicted


COLUMNS = tuple(each.name for each in fields(Row))


@dataclass(frozen=True, slots=True)
class Document:
    """A whole benchmark. ``rate`` is the links' ("none": unshaped); ``coordinator`` tells what the process cost."""

    figure: str
    machine: Mapping[str, Any]
    rate: str
    rows: Sequence[Row] = ()
    coordinator: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON has it, times to the microsecond."""
        rows = [{name: _short(value) for name, value in asdict(row).items()} for row in self.rows]
        return {
            "machine": dict(self.machine),
            "rate": self.rate,
            "rows": rows,
            "coordinator": dict(self.coordinator),
        }


def _short(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
