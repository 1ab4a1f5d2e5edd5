"""The paper's own measurements, for a look beside ours: on other hardware, so no ratio is made of them.

Two virtual machines, 8 vCPU and 16 GiB each, 1 Gbit/s, n = 30; seconds for the whole migration.
"""

from __future__ import annotations

HARDWARE = "paper, other hardware: 2 VMs, 8 vCPU, 16 GiB, 1 Gbit/s"

# Figure 4: MiB -> seconds
OVERHEAD: dict[str, dict[int, float]] = {
    "orchestrator": {0: 5.6, 4: 5.7, 16: 5.7, 64: 6.1, 128: 6.9, 256: 8.4, 512: 11.1, 1024: 17.4},
    "service": {0: 4.2, 4: 4.5, 16: 4.7, 64: 5.4, 128: 5.9, 256: 7.6, 512: 11.3, 1024: 16.8},
    "container": {0: 8.4, 4: 8.9, 16: 9.1, 64: 10.8, 128: 14.7, 256: 23.6, 512: 41.2, 1024: 76.9},
}

# Figure 6: processes -> seconds, with about no memory. Orchestrator and container: the middle of its range.
PROCESSES: dict[str, dict[int, float]] = {
    "orchestrator": dict.fromkeys(range(1, 9), 5.65),
    "service": dict(zip(range(1, 9), (4.3, 45.0, 86.0, 128.0, 168.0, 208.0, 252.0, 289.0), strict=True)),
    "container": dict.fromkeys(range(1, 9), 8.75),
}


def total(approach: str, *, mib: int, processes: int) -> float | None:
    """Seconds that the paper has for the whole migration; None where it has no such measurement."""
    if processes > 1:
        return PROCESSES.get(approach, {}).get(processes) if mib == 0 else None
    return OVERHEAD.get(approach, {}).get(mib)
