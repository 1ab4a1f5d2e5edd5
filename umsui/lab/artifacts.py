"""What takes long to make and is kept in the cache: the root file system, the skin over it, the image store.

Each is a folder whose name ends in a hash of its recipe, so that a changed recipe makes a new one. It is built under
another name and renamed when complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from umsui import locations
from umsui.lab.commands import BUILDING, Report, require_tools

_BUILDING_SUFFIX = ".building"


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Folders that ``prepare`` made."""

    rootfs: Path
    skin: Path
    images: Path
    docker: Path | None = None  # with docker hosts only
    kubernetes: Path | None = None  # with Kubernetes nodes only, as the next one
    registry: Path | None = None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; the kernel lets it go when we die."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def fingerprint(*parts: str | bytes) -> str:
    """A short hash of a recipe."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]


def cache() -> Path:
    """The folder they are in."""
    return locations.cache_dir() / "lab"


def place(name: str, key: str) -> Path:
    """Where the artifact ``name`` of the recipe ``key`` is, built or not."""
    return cache() / f"{name}-{key}"


def build(target: Path, make: Callable[[Path], None], report: Report) -> None:
    """Let ``make`` fill a new folder and put it at ``target``, unless that exists. One builder at a time."""
    if target.is_dir():
        return
    with locked(cache() / ".lock"):
        if target.is_dir():
            return
        require_tools(BUILDING, report)
        temporary = target.with_name(target.name + _BUILDING_SUFFIX)
        if temporary.exists():  # we hold the lock: its builder is dead
            shutil.rmtree(temporary)
        temporary.mkdir()
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, temporary, ignore_errors=True)
            make(temporary)
            temporary.rename(target)
            undo.pop_all()
        _forget_others(target)


def _forget_others(target: Path) -> None:
    """Remove what older recipes made of the same artifact, unless a lab that is up may stand on it."""
    if any(locations.lab_dir().glob("[0-9]*")):
        return
    name = target.name.rpartition("-")[0]
    for old in cache().glob(f"{name}-*"):
        if old != target and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
