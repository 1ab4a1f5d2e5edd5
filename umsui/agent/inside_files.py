"""Files of a container as umsui inside it sees them: which ones differ between both ends, and bringing them over.

Nothing of the node's own is used: both ends are asked what they have. A fresh container of the same image differs
from the service's by exactly what the service changed; a later pass by what changed since the one before.
"""

from __future__ import annotations

import os
import stat
import subprocess
import time
from subprocess import PIPE
from typing import Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from umsui.agent.host import Trouble
from umsui.agent.inside import CHUNK, Channel, Inside, write_all
from umsui.agent.sync import Entry, Snapshot, changed
from umsui.agent.uplink import Uplink

MODE, INODE, UID, GID, SIZE, MTIME, CTIME, DEVICE, LINKS = 1, 0, 2, 3, 4, 5, 6, 7, 8


def parse(answer: bytes) -> Snapshot:
    """What a scan answered. Raises Trouble when it did not come to its end."""
    records = answer.split(b"\0")
    if len(records) < 2 or records[-2] != b"end":
        raise Trouble("not-scanned", "the container's files could not be looked at: " + os.fsdecode(records[-2:][0]))
    found: Snapshot = {}
    for record in records[:-2]:
        mode, inode, uid, gid, size, mtime, ctime, device, links, path = record.split(b" ", 9)
        numbers = (inode, uid, gid, size, mtime, ctime, device, links)
        inode_, *others = (int(number) for number in numbers)
        found[os.fsdecode(path)] = (inode_, int(mode, 8), *others)
    return found


def differing(here: Snapshot, there: Snapshot, created: int, user: int) -> Tuple[Set[str], Set[str]]:
    """Paths to send and to remove, so that ``there`` (the same image, untouched) becomes like ``here``.

    ``created`` is when the service's container was made (Unix time in ns): what changed later is sent even if it looks
    alike. ``user`` is whom the container runs as: what is another's it can neither have changed nor change.
    """
    send = {path for path, entry in here.items() if entry[CTIME] >= created or _unlike(entry, there.get(path))}
    return _with_links(_possible(send, here, there, user), here), there.keys() - here.keys()


def _unlike(ours: Entry, theirs: Optional[Entry]) -> bool:
    if theirs is None:
        return True
    same = [MODE, UID, GID, DEVICE, MTIME]
    if not stat.S_ISDIR(ours[MODE]):
        same.append(SIZE)
    return any(ours[index] != theirs[index] for index in same)


def _possible(send: Set[str], here: Snapshot, there: Snapshot, user: int) -> Set[str]:
    return {path for path in send if not _of_others(here[path], there.get(path), user)}


def _of_others(ours: Entry, theirs: Optional[Entry], user: int) -> bool:
    """Whether it is another's and cannot have been changed by the service: the orchestrator's own work, or times."""
    if theirs is None or ours[UID] == user:
        return False
    if user and stat.S_ISDIR(ours[MODE]):
        return not ours[MODE] & 0o002 or (ours[MODE], ours[UID], ours[GID]) == (theirs[MODE], theirs[UID], theirs[GID])
    if stat.S_ISDIR(ours[MODE]):
        return (ours[MODE], ours[UID], ours[GID]) == (theirs[MODE], theirs[UID], theirs[GID])
    return user != 0 and (stat.S_ISLNK(ours[MODE]) or not ours[MODE] & 0o022)


def _with_links(send: Set[str], here: Snapshot) -> Set[str]:
    """All names of a file that has several: sent alone, one of them would become a file of its own."""
    inodes = {here[path][INODE] for path in send if _linked(here[path])}
    return send | {path for path, entry in here.items() if _linked(entry) and entry[INODE] in inodes}


def _linked(entry: Entry) -> bool:
    return entry[LINKS] > 1 and not stat.S_ISDIR(entry[MODE])


def listed(paths: Iterable[str]) -> bytes:
    """Paths for the supervisor, each ended by a zero byte; a folder before what is in it."""
    return b"".join(os.fsencode(path) + b"\0" for path in sorted(paths))


class Mirror:
    """One tree of the container (``/``, a volume, a tmpfs) that goes along."""

    def __init__(
        self, root: str, inside: Inside, uplink: Uplink, created: int, user: int, *, kept: FrozenSet[str] = frozenset()
    ) -> None:
        """``kept`` are paths that the destination's own orchestrator made there, and that stay."""
        self.root = root
        self._kept = kept
        self.bytes = 0
        self._inside = inside
        self._uplink = uplink
        self._created = created
        self._user = user
        self._last: Optional[Snapshot] = None  # what both ends have
        self._scanned = 0
        self._channels: List[Channel] = []
        self._stream: "Optional[subprocess.Popen[bytes]]" = None

    def live_pass(self) -> int:
        """Copy what differs, while the service runs; the bytes copied. Raises Trouble."""
        before = self.bytes
        self.arm()
        self.final_pass(live=True)
        return self.bytes - before

    def arm(self) -> None:
        """Open all that a pass needs, so that nothing has to be started in it."""
        self._stream = self._uplink.stream(f"inside unpack {self._quoted()}", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        if self._last is None:
            answer = self._uplink.stream(
                f"inside scan {self._quoted()}", stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE
            )
            out, words = answer.communicate()
            if answer.returncode:
                raise Trouble("no-wire", "the destination does not answer: " + words.decode(errors="replace")[-400:])
            self._there = parse(out)
        self._channels = [self._inside.open(), self._inside.open()]

    def _quoted(self) -> str:
        if any(letter in self.root for letter in "\n\r\0'\""):
            raise Trouble("odd-path", f"a mount with a path like {self.root!r} cannot be moved", "mount it elsewhere")
        return f"'{self.root}'"

    def final_pass(self, live: bool = False) -> None:
        """Look, and copy what differs. Raises Trouble."""
        look, pack = self._channels
        try:
            now = time.time_ns()
            look.say(f"scan {self.root}")
            here = parse(look.rest())
            send, gone = self._differences(here)
            gone -= self._kept
            if send or gone:
                self._transfer(pack, sorted(send), self._replaced(here, send) | gone)
                if not live:
                    self._check()
            self._last, self._scanned = here, now
        finally:
            self.close()

    def close(self) -> None:
        """Give up what ``arm`` opened."""
        for channel in self._channels:
            channel.close()
        self._channels = []
        if self._stream is not None:
            self._stream.kill()
            self._stream.wait()
            for file in (self._stream.stdin, self._stream.stdout, self._stream.stderr):
                assert file is not None
                file.close()
            self._stream = None

    def _differences(self, here: Snapshot) -> Tuple[Set[str], Set[str]]:
        if self._last is None:
            return differing(here, self._there, self._created, self._user)
        paths = changed(self._last, here, self._scanned)
        send = _possible(paths & here.keys(), here, self._last, self._user)
        return _with_links(send, here), paths - here.keys()

    def _replaced(self, here: Snapshot, send: Set[str]) -> Set[str]:
        """Of what is sent, that which was something of another kind before."""
        before = self._last if self._last is not None else self._there
        kind = stat.S_IFMT
        return {path for path in send if path in before and kind(before[path][MODE]) != kind(here[path][MODE])}

    def _shut(self, paths: Set[str]) -> Set[str]:
        """Folders of the container's own user, of these paths, that are closed even to it at the destination."""
        before = self._last if self._last is not None else self._there
        parents = {os.path.dirname(path) or "." for path in paths}
        return {p for p in parents & before.keys() if before[p][UID] == self._user and before[p][MODE] & 0o300 != 0o300}

    def _transfer(self, pack: Channel, send: List[str], gone: Set[str]) -> None:
        stream = self._stream
        assert stream is not None
        assert stream.stdin is not None
        assert stream.stdout is not None
        if stream.stdout.readline() != b"ready\n":
            raise Trouble("no-wire", "the destination takes no files: " + self._stream_words())
        removed, opened = listed(gone), listed(self._shut({*send, *gone}))
        try:
            stream.stdin.write(f"{len(removed)} {len(opened)}\n".encode() + removed + opened)
            stream.stdin.flush()
            pack.say(f"pack {self.root}")
            write_all(pack.writer, listed(send))
            pack.finish()
            self._pump(pack.reader, stream.stdin.fileno())
            stream.stdin.close()
        except BrokenPipeError as error:
            said = stream.stdout.readline().decode(errors="replace").strip().removeprefix("failed ")
            raise Trouble("no-wire", f"{self.root}: the destination hung up: {said or self._stream_words()}") from error
        answer = stream.stdout.readline().decode(errors="replace").strip()
        if answer != "ok":
            raise Trouble("files-not-copied", f"{self.root}: {answer.removeprefix('failed ') or self._stream_words()}")

    def _pump(self, source: int, target: int) -> None:
        began, moved, rate = time.monotonic(), 0, self._uplink.rate
        while part := os.read(source, CHUNK):
            view = memoryview(part)
            while view:
                view = view[os.write(target, view) :]
            moved += len(part)
            if rate:
                time.sleep(max(0.0, began + moved / rate - time.monotonic()))
        self.bytes += moved

    def _check(self) -> None:
        answer = self._inside.ask("packed")
        if answer != "ok":
            raise Trouble("files-not-copied", f"{self.root}: {answer.removeprefix('failed ')}")

    def _stream_words(self) -> str:
        assert self._stream is not None
        assert self._stream.stderr is not None
        self._stream.kill()
        return self._stream.stderr.read().decode(errors="replace").strip()[-400:]


def on_the_way(mountinfo: bytes, root: str) -> FrozenSet[str]:
    """What leads to the mounts of a container below ``root``, relative to it: an orchestrator may have made it."""
    found = set()
    for line in mountinfo.decode(errors="replace").splitlines():
        where = line.split()[4].encode().decode("unicode_escape")
        if where != root and os.path.commonpath([where, root]) == root:
            path = os.path.relpath(where, root)
            while path:
                found.add(path)
                path = os.path.dirname(path)
    return frozenset(found)


def in_memory(mountinfo: bytes) -> List[str]:
    """The writable tmpfs of a container that the service may keep something in, out of /proc/self/mountinfo."""
    found: Dict[str, bool] = {}
    for line in mountinfo.decode(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        where = fields[4].encode().decode("unicode_escape")
        own = fields[3] == "/"  # else a part of another tmpfs: a file of the orchestrator's
        mine = where == "/dev/shm" or not where.startswith(("/dev", "/proc", "/sys"))  # noqa: S108
        if after.startswith("tmpfs ") and own and mine and "rw" in fields[5].split(","):
            found[where] = True
    return list(found)
