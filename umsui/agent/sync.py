"""File synchronization: a live pass ahead, a final pass while the service is frozen.

rsync moves the data (hard links, sparse files, ACLs, xattrs, devices; it verifies a checksum of each file it writes).
What it must not do inside the freeze is look at every file: which ones changed since the live pass is found here, by
comparing what ``lstat`` says. ``ctime`` cannot be set back by the service, unlike ``mtime``.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from umsui.agent.host import Folder, Trouble, environment, write_atomically

Entry = Tuple[int, ...]
Snapshot = Dict[str, Entry]

RACY = 20_000_000  # ns; a change this close before a scan may carry the time that the scan saw (coarse kernel clock)

COMMON = ("rsync", "-aHAXS", "--numeric-ids", "--force", "--stats")
LISTED = ("-I", "--from0", "--files-from=-", "--delete-missing-args")
PRUNING = ("--delete", "--existing", "--ignore-existing")  # copies nothing
MOVING = ("No such file or directory (2)", "No data available (61)")  # a file that went, or was cut short, meanwhile
PRUNED = 5  # attempts; files that vanish under rsync's eyes keep it from removing any


def entries(root: str, below: str = "") -> Iterator[Tuple[str, os.stat_result]]:
    """Every path below ``root`` (relative to it) with its lstat, not crossing into other file systems."""
    device = os.lstat(root).st_dev
    stack = [below]
    while stack:
        folder = stack.pop()
        try:
            listing = list(os.scandir(os.path.join(root, folder)))
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed while we looked; the final pass sees a world that stands still
        for item in listing:
            path = os.path.join(folder, item.name)
            try:
                found = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield path, found
            if stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                stack.append(path)


def scan(root: str) -> Snapshot:
    """What is below ``root`` now."""
    return {
        path: (s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_rdev, s.st_nlink)
        for path, s in entries(root)
    }


def changed(before: Snapshot, after: Snapshot, scanned: int) -> Set[str]:
    """The paths that were added, changed or removed since ``before``, scanned at ``scanned`` (Unix time in ns)."""
    paths = {path for path, entry in after.items() if before.get(path) != entry or entry[6] > scanned - RACY}
    return paths | (before.keys() - after.keys())


def write_baseline(root: str, target: Path) -> None:
    """Note what is below ``root`` before anything changes it, as ``Root`` reads it later."""
    write_atomically(target, json.dumps({"scanned": time.time_ns(), "entries": scan(root)}))


class Root:
    """One tree that goes along: the changes of the root file system, or a volume.

    ``source`` is where its data is read, ``target`` where it is written at the destination. For a root file system,
    what differs from the image is told by ``upper``, the overlay's upper folder, or by ``baseline``, a file with the
    scan of the image as it was (``write_baseline``).
    """

    def __init__(
        self,
        name: str,
        source: str,
        target: str,
        *,
        upper: str = "",
        lower: Iterable[str] = (),
        baseline: str = "",
        also: Iterable[Dict[str, Any]] = (),
    ) -> None:
        self.name = name
        self.source = source
        self.target = target
        self.upper = upper
        self.lower = list(lower)
        self.snapshot: Snapshot = {}
        self.scanned = 0
        if baseline:
            noted = json.loads(Path(baseline).read_text())
            self.snapshot = {path: tuple(entry) for path, entry in noted["entries"].items()}
            self.scanned = noted["scanned"]
        self.bytes = 0
        self.also = list(also)  # {"pid", "inside"}: further containers that have this tree, and where
        self.unsure: Set[str] = set()  # what the last pass may have left undone
        self.always: Set[str] = set()  # files mapped shared and writable: their ctime may lag behind their content

    def observe(self) -> Set[str]:
        """Scan again; the paths that differ from the last scan."""
        now = time.time_ns()
        fresh = scan(self.upper or self.source)
        differing = changed(self.snapshot, fresh, self.scanned)
        if self.upper:
            differing |= self._hidden(differing & fresh.keys())
        self.snapshot, self.scanned = fresh, now
        differing |= self.unsure
        self.unsure = set()
        return differing | {path for path in self.always if os.path.lexists(os.path.join(self.source, path))}

    def _hidden(self, paths: Iterable[str]) -> Set[str]:
        """What an opaque folder of the overlay hides: it must go at the destination, too."""
        gone: Set[str] = set()
        for path in paths:
            full = os.path.join(self.upper, path)
            if not os.path.isdir(full) or os.path.islink(full):
                continue
            try:
                opaque = os.getxattr(full, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
            except OSError:
                continue
            if opaque:
                here = set(os.listdir(os.path.join(self.source, path)))
                for lower in self.lower:
                    below = os.path.join(lower, path)
                    if os.path.isdir(below) and not os.path.islink(below):
                        gone |= {os.path.join(path, name) for name in os.listdir(below) if name not in here}
        return gone


def listed(paths: Iterable[str]) -> bytes:
    """A list of paths for rsync: folders before what is in them. (Without ``./`` it takes ``#name`` for a comment.)"""
    return b"".join(b"./" + os.fsencode(path) + b"\0" for path in sorted(paths))


def command(root: Root, shell: str, more: Iterable[str], rate: float) -> List[str]:
    """rsync's words for one root; ``rate`` in bytes per second, 0 for no limit."""
    limit = [f"--bwlimit={max(1, round(rate / 1024))}"] if rate else []  # KiB/s
    return [*COMMON, *limit, *more, "-e", shell, f"{root.source}/", f"umsui:{root.target}/"]


def start(root: Root, shell: str, log: Path, rate: float, what: Iterable[str] = LISTED) -> "subprocess.Popen[bytes]":
    """An rsync that is connected and, if it is ``LISTED``, waits for the list of what to send on its standard input."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command(root, shell, what, rate),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
        )


class Unsteady(Trouble):
    """Files went or shrank under the eyes of a live pass: it may have left something undone.

    ``copied`` are the bytes of the files that it wrote.
    """

    def __init__(self, message: str, copied: int) -> None:
        super().__init__("files-not-copied", message)
        self.copied = copied


def finish(process: "subprocess.Popen[bytes]", paths: Iterable[str], log: Path, timeout: Optional[float]) -> int:
    """Give the waiting rsync its list and wait for its end; the bytes of the files that it wrote.

    Raises Unsteady, Trouble.
    """
    alarm = threading.Timer(threading.TIMEOUT_MAX if timeout is None else timeout, process.kill)
    alarm.daemon = True
    alarm.start()
    process.communicate(listed(paths))  # with a time limit it would look for the end now and then only
    late = not alarm.is_alive()
    alarm.cancel()
    if late:
        raise Trouble("timed-out", f"rsync did not end within {timeout:g} s")
    words = log.read_text(errors="replace")
    # 24: files vanished while a live pass looked; the final pass is run on a tree that stands still. Where they go
    # or shrink while they are read it is 23, as for all else that is wrong.
    if process.returncode not in (0, 24):
        errors = [line for line in words.splitlines() if line.startswith("rsync: ")]
        message = f"rsync ended with {process.returncode}: {'; '.join(errors)[:600] or words.strip()[-600:]}"
        if errors and all(line.endswith(MOVING) for line in errors):
            raise Unsteady(message, _copied(words))
        raise Trouble("files-not-copied", message)
    return _copied(words)


def _copied(words: str) -> int:
    """The bytes of the files that rsync wrote, by its own account."""
    found = re.search(r"Total transferred file size: ([\d,]+)", words)
    return int(found.group(1).replace(",", "")) if found else 0


def live_pass(folder: Folder, root: Root, shell: str, rate: float) -> int:
    """Copy what differs from the image (or all of a volume) while the service runs; the bytes of the files copied."""
    log = folder.control / f"rsync-{root.name.replace('/', '_')}.log"
    first = not root.scanned
    paths = root.observe()
    if first and not root.upper:
        # What is there already and must not be. Not more: a walk of rsync's own would also copy what appeared after
        # the scan, and when that is gone again before the next one, nobody would know that it has to go there, too.
        _prune(root, shell, log, rate)
    root.unsure = paths - root.snapshot.keys()  # to be removed; where they are back by now, they are copied
    try:
        copied = finish(start(root, shell, log, rate), paths, log, None) if paths else 0
    except Unsteady as unsteady:
        copied, root.unsure = unsteady.copied, paths
    root.bytes += copied
    return copied


def _prune(root: Root, shell: str, log: Path, rate: float) -> None:
    for attempt in range(PRUNED):
        try:
            finish(start(root, shell, log, rate, PRUNING), (), log, None)
        except Unsteady:
            if attempt == PRUNED - 1:
                raise
        else:
            return


def shared_maps(pids: List[int], inside: str) -> "set[str]":
    """The files below ``inside`` that processes have mapped shared and writable, relative to it."""
    found = set()
    for pid in pids:
        try:
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        except OSError:
            continue  # it has just ended
        for line in maps:
            parts = line.split(None, 5)
            if len(parts) == 6 and "w" in parts[1] and parts[1].endswith("s") and parts[5].startswith(inside):
                found.add(os.path.relpath(parts[5], inside))
    return found
