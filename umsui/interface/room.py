"""Room for a move in an outer container: its orchestrator's limits are for the service alone."""

from __future__ import annotations

from umsui.errors import CommandFailed
from umsui.interface.protocol import End
from umsui.model import Specification

MEMORY = 256 << 20  # bytes that agents, ssh, rsync and CRIU may take at an end, beside the service
PROCESSES = 256  # and processes and threads
WIDE = 4  # times what was counted: a limit of processes that need not be lifted
CORES = 2.0  # and processors


def memory(limit: int) -> int:
    """What an outer container may take during a move; at the destination memory is there twice until it is restored."""
    return 2 * limit + MEMORY if limit else 0


def cores(limit: float) -> float:
    """Likewise, of processors."""
    return max(limit, CORES) if limit else 0.0


def change(end: End, spec: Specification, threads: int | None = None, *, more: bool) -> None:
    """Lift the limits of the outer container at a host while agents and checkpoint are in it, or bring them back.

    ``spec`` has those of the service; ``threads``: it had so many, where that is known. Raises CommandFailed.
    """
    if spec.memory_limit:
        wanted = memory(spec.memory_limit) if more else spec.memory_limit
        swap = str(2 * wanted)  # what both engines make of no choice
        if more:  # the limit of both together first: the kernel takes no smaller one
            _update(end, spec, "--memory", str(spec.memory_limit), "--memory-swap", swap)
        _update(end, spec, "--memory", str(wanted), "--memory-swap", swap)
    narrow = spec.pids_limit and (threads is None or spec.pids_limit < WIDE * (threads + PROCESSES))
    words = ["--pids-limit", str(spec.pids_limit + PROCESSES * more)] if narrow else []
    if spec.cpu_limit:
        words += ["--cpus", f"{cores(spec.cpu_limit) if more else spec.cpu_limit:g}"]
    if words:
        _update(end, spec, *words)


def _update(end: End, spec: Specification, *words: str) -> None:
    argv = [end.orchestrator.name, "update", *words, spec.name]
    done = end.transport.run(argv, timeout=30)
    if done.status:
        said = done.stderr.decode(errors="replace").strip()[-400:]
        raise CommandFailed(f"{argv[0]} could not change the limits of {spec.name}: {said}", code="limits")
