"""The lab's cgroups, one a host in each hierarchy; also how its processes are found again when all else is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from umsui.lab.commands import LabError

LEAF = "leaf"  # of a host's cgroup in cgroup2; its processes are there, never in the cgroup itself


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup hierarchy."""

    mount: Path
    unified: bool
    options: str


def hierarchies() -> list[Hierarchy]:
    """Those that are mounted, each once."""
    found: dict[str, Hierarchy] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            key = kind if kind == "cgroup2" else options
            found.setdefault(key, Hierarchy(Path(before.split(" ")[4]), kind == "cgroup2", options))
    return list(found.values())


def _put(path: Path, text: str) -> None:
    # What a kernel does not have, or has set already, is not missed.
    with contextlib.suppress(OSError):
        path.write_text(text)


def create(name: str) -> list[Path]:
    """Make the cgroup ``name`` in each hierarchy; returns the files that a process writes itself to, to be in them."""
    files = []
    every = hierarchies()
    if not every:
        raise LabError("No cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    for hierarchy in every:
        group = hierarchy.mount / name
        group.mkdir(exist_ok=True)
        if (group / "cpuset.cpus").exists() and not hierarchy.unified:
            for file in ("cpuset.cpus", "cpuset.mems"):
                _put(group / file, (hierarchy.mount / file).read_text())
            _put(group / "cgroup.clone_children", "1")
        if not hierarchy.unified:
            _put(group / "memory.use_hierarchy", "1")
        elif len(every) == 1:
            for controller in (hierarchy.mount / "cgroup.controllers").read_text().split():
                _put(hierarchy.mount / "cgroup.subtree_control", f"+{controller}")
        files.append(group / "cgroup.procs")
    return files


def entrances(name: str) -> list[Path]:
    """The files that a process writes itself to, to be among those of a running host."""
    return [h.mount / name / (LEAF if h.unified else "") / "cgroup.procs" for h in hierarchies()]


def groups(prefix: str) -> Iterator[Path]:
    """The cgroups whose names begin with ``prefix``, in all hierarchies."""
    for hierarchy in hierarchies():
        yield from hierarchy.mount.glob(f"{prefix}*")


def _subtree(group: Path) -> Iterator[Path]:
    """``group`` and all below it, the deepest first."""
    for path, _, _ in os.walk(group, topdown=False):
        yield Path(path)


def exist(prefix: str) -> bool:
    """Whether any cgroup's name begins with ``prefix``."""
    return next(groups(prefix), None) is not None


def processes(prefix: str) -> set[int]:
    """All processes in cgroups whose names begin with ``prefix``."""
    pids: set[int] = set()
    for group in groups(prefix):
        for directory in _subtree(group):
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
    return pids


def _thaw(prefix: str) -> None:
    """A frozen process does not even die."""
    for group in groups(prefix):
        for directory in reversed(list(_subtree(group))):
            for file, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                if (directory / file).exists():
                    _put(directory / file, text)


def kill(prefix: str, timeout: float = 10.0) -> None:
    """Kill all processes in cgroups whose names begin with ``prefix``, and wait until they are gone.

    Raises LabError when some are still there after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while pids := processes(prefix):
        if time.monotonic() > deadline:
            raise LabError(f"These processes of the lab do not die: {sorted(pids)}", "Look at them with ps; try again.")
        _kill(prefix, pids)
        time.sleep(0.01)


def _kill(prefix: str, pids: set[int]) -> None:
    _thaw(prefix)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def remove(prefix: str, timeout: float = 10.0) -> None:
    """Remove the emptied cgroups whose names begin with ``prefix``; raises LabError after ``timeout`` seconds.

    A process that was on its way into one, and comes when those in it are gone, is killed like them.
    """
    deadline = time.monotonic() + timeout
    while found := list(groups(prefix)):
        failure: OSError | None = None
        for group in found:
            for directory in _subtree(group):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:  # busy for a moment after its last process died
                    failure = error
        if failure is not None and time.monotonic() > deadline:
            raise LabError(f"A cgroup of the lab cannot be removed: {failure}", "Try again.")
        _kill(prefix, processes(prefix))
        time.sleep(0.005)
