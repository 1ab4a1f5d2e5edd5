"""What ``test_matrix`` moves, and the table that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

SIZES = (0, 64, 256)  # MiB
PROCESSES = (1, 8)
APPROACHES = ("orchestrator", "service", "container")
# cluster and node at the one end, cluster and node at the other, of the mixed lab
ENDS = {
    "podman ⇄ podman": (("azure-lab", "azure-1"), ("azure-lab", "azure-2")),
    "docker ⇄ docker": (("gcp-lab", "gcp-1"), ("onprem-lab", "onprem-1")),
    "podman ⇄ docker": (("azure-lab", "azure-1"), ("gcp-lab", "gcp-1")),
}


@dataclass(frozen=True)
class Row:
    """One service, moved there and back."""

    approach: str
    engines: str
    processes: int
    mib: int

    def __str__(self) -> str:
        return f"{self.approach}, {self.engines}, {self.processes} x {self.mib} MiB"


ROWS = [
    *(Row(*each) for each in product(APPROACHES, ("podman ⇄ podman", "docker ⇄ docker"), PROCESSES, SIZES)),
    *(Row(approach, "podman ⇄ docker", 8, 64) for approach in APPROACHES),
]


@dataclass(frozen=True)
class Result:
    """What came of a row: seconds there and back; ``failed`` tells what went wrong."""

    row: Row
    downtimes: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    failed: str = ""


RESULTS: list[Result] = []


def table() -> str:
    """All results so far."""
    head = f"{'APPROACH':14}{'ENGINES':18}{'PROCESSES':>10}{'MIB':>6}{'DOWNTIME s':>18}{'TOTAL s':>18}  INTACT"
    lines = [head]
    for each in RESULTS:
        row = each.row
        times = [" / ".join(f"{value:.2f}" for value in values) for values in (each.downtimes, each.totals)]
        left = f"{row.approach:14}{row.engines:18}{row.processes:>10}{row.mib:>6}"
        lines.append(f"{left}{times[0]:>18}{times[1]:>18}  {each.failed or 'yes'}")
    return "\n".join(lines)
