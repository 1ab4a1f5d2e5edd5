"""What belongs to a service beside its trees of files: files bound by themselves, and its log.

Both travel with the checkpoint's small files, as members of our own, so that they are as of the freeze. Most of a log
goes ahead.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any, Dict, List, Tuple

from umsui.agent.host import Folder, Trouble
from umsui.agent.traits import kind
from umsui.agent.uplink import Uplink

LEFT = "log.left"  # what docker has to be told of the log
FILE, LOG = "umsui-file-", "umsui-log"  # names of members; CRIU's images are called otherwise
CHUNK = 1 << 20
DOCKERS_PIPES = "/run/docker/containerd"  # of each container that runs, or is just being restored


class Extras:
    """The source's part."""

    def __init__(self, uplink: Uplink) -> None:
        self.uplink = uplink
        self.files: List[str] = []
        self.log = ""
        self.bytes = 0  # sent so far
        self._logged = 0  # bytes of the log that went ahead

    def ahead(self, files: List[str], log: str) -> None:
        """Take note of the files; send the log as it is now ("": there is none to send)."""
        self.files, self.log = files, log
        if not log or not os.path.exists(log):
            return
        stream = self.uplink.stream("log", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert stream.stdin is not None
        try:
            with open(log, "rb") as source:
                while chunk := source.read(CHUNK):
                    stream.stdin.write(chunk)
                    self._logged += len(chunk)
        except BrokenPipeError:
            pass  # its words come with the status below
        words = stream.communicate()[1].decode(errors="replace")
        if stream.returncode:
            raise Trouble("log-not-copied", f"the log could not be sent: {words.strip()[-400:]}")
        self.bytes += self._logged

    def pack(self, archive: tarfile.TarFile) -> None:
        """Add what is left to the checkpoint's archive; the service stands still."""
        for number, path in enumerate(self.files):
            archive.add(os.path.realpath(path), f"{FILE}{number}")
            self.bytes += os.stat(path).st_size
        if self.log and os.path.exists(self.log):
            left = self.rest()
            member = tarfile.TarInfo(LOG)
            member.size = len(left)
            archive.addfile(member, io.BytesIO(left))

    def rest(self) -> bytes:
        """What the log has got since most of it went ahead; the service stands still."""
        if not self.log or not os.path.exists(self.log):
            return b""
        with open(self.log, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            source.seek(self._logged if size >= self._logged else 0)  # else it was rotated meanwhile
            left = source.read()
        self.bytes += len(left)
        return left


def put(folder: Folder, member: tarfile.TarInfo, source: IO[bytes]) -> bool:
    """At the destination: put a member where it belongs; False when it is none of ours."""
    if member.name == LOG:
        append(folder, source)
        return True
    if not member.name.startswith(FILE):
        return False
    path = folder.state()["files"][int(member.name[len(FILE) :])]
    with open(path, "wb") as target:
        shutil.copyfileobj(source, target)
    os.chown(path, member.uid, member.gid)
    os.chmod(path, member.mode)
    os.utime(path, (member.mtime, member.mtime))
    return True


def append(folder: Folder, source: IO[bytes]) -> None:
    """At the destination: more of the log.

    From a container's start on docker counts what it writes itself, and shows no more of the file than that: what comes
    later has to go through docker, which listens when the container runs.
    """
    path = folder.state().get("log")
    if not path:
        return
    started = path.endswith("-json.log") and _outputs(path).parent.exists()
    if started and folder.approach == "service":  # its container runs, and waits for the service
        _say_again(source, path)
        return
    with open(folder.control / LEFT if started else path, "ab") as target:
        shutil.copyfileobj(source, target)


def catch_up(folder: Folder) -> None:
    """At the destination, where the service runs: what of the log could not be given to docker before."""
    left = folder.control / LEFT
    if left.exists():
        with open(left, "rb") as source:
            _say_again(source, folder.state()["log"])
        left.unlink()


def _outputs(log: str) -> Path:
    """Where docker listens to the container of that log; ``stdout`` or ``stderr`` follow."""
    container = os.path.basename(os.path.dirname(log))
    return Path(f"{DOCKERS_PIPES}/{container}/{container}-")


def _say_again(source: IO[bytes], log: str) -> None:
    """Each line of a JSON log into the output that it came from."""
    with contextlib.ExitStack() as opened:
        pipes: Dict[str, IO[bytes]] = {}
        for line in source:
            said = json.loads(line)
            name = said["stream"]
            if name not in pipes:
                descriptor = os.open(f"{_outputs(log)}{name}", os.O_WRONLY | os.O_NONBLOCK)  # fails if nobody listens
                os.set_blocking(descriptor, True)
                pipes[name] = opened.enter_context(open(descriptor, "wb", 0))
            pipes[name].write(said["log"].encode())


class Places:
    """Folders and files of the host that the destination has to have before the container is created."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def make(self, folders: List[str], files: List[str]) -> None:
        """Make them, empty; what is there with something in it is left alone. Raises Trouble."""
        made: Dict[str, Any] = self.folder.state().get("placed") or {}
        for path, wanted in [*((each, "folder") for each in folders), *((each, "file") for each in files)]:
            if path in made:
                continue
            before = kind(path)
            if before not in ("missing", "empty") or (before == "empty" and wanted == "file"):
                raise Trouble(
                    "path-taken",
                    f"{path} is there already, and not empty",
                    f"mv {path} {path}.old (after a look into it)",
                )
            made[path] = [before, str(_first_missing(Path(path)).parent)]
            self.folder.note(placed=made)
            Path(path if wanted == "folder" else os.path.dirname(path)).mkdir(parents=True, exist_ok=True)
            if wanted == "file":
                Path(path).touch()

    def remove(self) -> None:
        """Undo: back to what was there before."""
        made: Dict[str, Tuple[str, str]] = self.folder.state().get("placed") or {}
        for path, (before, parent) in made.items():
            _empty(Path(path), keep=before == "empty")
            above = Path(path).parent
            while before == "missing" and str(above) != parent and above != above.parent:
                try:
                    above.rmdir()
                except OSError:
                    break  # somebody has put something there
                above = above.parent
        if made:
            self.folder.note(placed={})


def _first_missing(path: Path) -> Path:
    """The topmost folder on the way to ``path`` that is not there (``path`` itself when all are)."""
    missing = path
    for above in path.parents:
        if above.exists():
            break
        missing = above
    return missing


def _empty(path: Path, keep: bool) -> None:
    if path.is_dir() and not path.is_symlink():
        for item in path.iterdir():
            _empty(item, keep=False)
        if not keep:
            path.rmdir()
    elif os.path.lexists(path):
        path.unlink()
