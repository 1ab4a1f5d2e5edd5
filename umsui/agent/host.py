"""The node as the agent sees it: commands, cgroups, processes, the folders of a migration."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

CONTROL = Path("/run/umsui")
IMAGES = Path("/dev/shm/umsui")  # noqa: S108 - 0700, and checked to be ours: CRIU images belong in memory
SO_SNDBUFFORCE = 32  # Linux; the socket module does not name it
VFORK = 0.02  # seconds until all are let go on for a moment because one cannot be stopped
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Trouble(Exception):
    """A step failed: ``code`` for scripts, a message and a fix for people."""

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


def environment(**more: str) -> Dict[str, str]:
    """A plain environment for the node's tools."""
    return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1", **more}


def run(
    argv: Sequence[str],
    timeout: float = 30.0,
    code: str = "command-failed",
    folder: Optional[Path] = None,
    **more: str,
) -> str:
    """The output of a command that runs in ``folder``.

    Raises Trouble when it fails or takes longer than ``timeout`` seconds.
    """
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            timeout=timeout,
            env=environment(**more),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError as error:
        raise Trouble("missing-tool", f"{argv[0]} is not installed here", f"apt-get install {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise Trouble("timed-out", f"{' '.join(argv[:3])} … did not end within {timeout:g} s") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip()[-800:]
        raise Trouble(code, f"{' '.join(argv[:3])} … ended with {done.returncode}: {last}")
    return done.stdout.decode(errors="replace")


def private_folder(path: Path) -> Path:
    """Make a folder that only root can look into. Raises Trouble when it is someone else's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    stat = path.lstat()
    if not path.is_dir() or path.is_symlink() or stat.st_uid != os.geteuid():
        raise Trouble("unsafe-folder", f"{path} belongs to someone else", f"remove {path}")
    path.chmod(0o700)
    return path


@contextlib.contextmanager
def beneath(root: str, folder: str, *, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder of somebody else's root file system; ``make`` it where it is missing. Raises OSError.

    Step by step: a link in there must not lead out of it.
    """
    at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in filter(None, folder.split("/")):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=at)
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


class Folder:
    """The two folders of one migration at one end: ``control`` (small) and ``images`` (in memory)."""

    def __init__(self, migration: str, role: str) -> None:
        if not migration.replace("-", "").isalnum():
            raise Trouble("bad-input", f"{migration!r} is no migration's id")
        self.migration = migration
        self.role = role
        self.control = CONTROL / f"{migration}.{role}"
        self.images = IMAGES / f"{migration}.{role}"

    def make(self, engine: str, approach: str = "orchestrator") -> None:
        """Both folders, 0700, for a migration with this container engine and approach; may be called twice."""
        for parent, folder in ((CONTROL, self.control), (IMAGES, self.images)):
            private_folder(parent)
            private_folder(folder)
        (self.control / "engine").write_text(engine)
        (self.control / "approach").write_text(approach)

    @property
    def spool(self) -> Path:
        """On the disk, for what is too large for memory and no secret: a container image on its way."""
        return Path(f"/var/tmp/umsui-{self.migration}.{self.role}")  # noqa: S108 - made 0700, and checked to be ours

    @property
    def exists(self) -> bool:
        """Whether this migration has been opened here."""
        return self.control.is_dir()

    @property
    def agent(self) -> Path:
        """The agent's own file, for the programs that it starts."""
        return self.control / "agent.pyz"

    @property
    def work(self) -> Path:
        """Where CRIU works and writes its logs."""
        return self.control / "work"

    @property
    def engine(self) -> str:
        """The name of the container engine that it was opened with."""
        return (self.control / "engine").read_text()

    @property
    def approach(self) -> str:
        """The approach that it was opened for."""
        return (self.control / "approach").read_text()

    @property
    def relay(self) -> Path:
        """The relay's socket."""
        return self.control / "relay.sock"

    @property
    def pages(self) -> Path:
        """Where the relay is given the connection to the page server."""
        return self.control / "pages.sock"

    def state(self) -> Dict[str, Any]:
        """What was noted; {} when nothing was."""
        try:
            noted: Dict[str, Any] = json.loads((self.control / "state.json").read_text())
        except FileNotFoundError:
            return {}
        return noted

    def note(self, **changes: Any) -> Dict[str, Any]:
        """Write changes into the state, atomically; no change of another thread or agent is lost."""
        with locked(self.control):
            state = {**self.state(), **changes}
            write_atomically(self.control / "state.json", json.dumps(state))
        return state

    def remove(self) -> None:
        """Both folders and, when they are empty, their parents."""
        for folder in (self.spool, self.images, self.control):
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                raise Trouble("not-removed", f"{folder} could not be removed", f"rm -rf {folder}")
        for folder in (self.images, self.control):
            try:
                folder.parent.rmdir()
            except OSError:
                continue  # another migration's folders are still in it


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder: others who ask for it, threads or processes, wait. The lock is on the folder: no file is left."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file's content in one step."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", errors="surrogateescape") as file:
        file.write(text)
    fresh.replace(path)


class Cgroup:
    """The freezer of a container's cgroup, v1 or v2."""

    def __init__(self, pid: int) -> None:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        groups = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
        legacy = Path("/sys/fs/cgroup/freezer")
        self.legacy = legacy.is_dir() and "freezer" in groups
        self.path = (legacy if self.legacy else Path("/sys/fs/cgroup")) / groups[
            "freezer" if self.legacy else ""
        ].lstrip("/")
        if self.path in (legacy, Path("/sys/fs/cgroup")):
            raise Trouble("no-cgroup", f"process {pid} has no cgroup of its own: freezing it would freeze the node")

    def above(self) -> "Cgroup":
        """The one that it is in: what stands still there stands still here, whatever is written here."""
        found = copy.copy(self)
        found.path = self.path.parent
        return found

    def pids(self) -> List[int]:
        """All processes in it and below."""
        found: List[int] = []
        for procs in [self.path / "cgroup.procs", *self.path.glob("**/cgroup.procs")]:
            try:
                found += [int(line) for line in procs.read_text().split()]
            except OSError:
                continue  # a group that went away while we looked
        return sorted(set(found))

    def frozen(self) -> bool:
        """Whether all of it stands still."""
        if self.legacy:
            return (self.path / "freezer.state").read_text().strip() == "FROZEN"
        return "frozen 1" in (self.path / "cgroup.events").read_text()

    def freeze(self, timeout: float = 5.0) -> None:
        """Stop all its processes where they are; returns when they stand still. Raises Trouble.

        One that waits for the child of its vfork cannot be stopped by anybody, CRIU either, and the child, once it
        stands still, never lets it go: then all go on for a moment.
        """
        end, patience = time.monotonic() + timeout, VFORK
        while True:
            self._write(True)
            still = self._stands_still(min(end, time.monotonic() + patience))
            waits = any(awaits_child(pid) for pid in self.pids())
            if still and not waits:
                return
            self.thaw()
            if not waits:
                patience *= 2  # it is only slow to stop: it has many processes
            if time.monotonic() > end:
                raise Trouble(
                    "not-frozen", f"the service did not stand still within {timeout:g} s (a process in disk wait?)"
                )
            time.sleep(0.001)

    def _stands_still(self, until: float) -> bool:
        """Whether it stands still by then (monotonic)."""
        while not self.frozen():
            if time.monotonic() > until:
                return False
            time.sleep(0.0005)
        return True

    def thaw(self) -> None:
        """Let them go on; nothing happens when it is gone or was not frozen."""
        try:
            self._write(False)
        except FileNotFoundError:
            return

    def _write(self, freeze: bool) -> None:
        if self.legacy:
            (self.path / "freezer.state").write_text("FROZEN" if freeze else "THAWED")
        else:
            (self.path / "cgroup.freeze").write_text("1" if freeze else "0")


def awaits_child(pid: int) -> bool:
    """Whether one of its threads is in vfork(2), or in a clone(2) like it, until the child has memory of its own.

    False where that may not be seen: CRIU then finds out, and the move is undone.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for task in os.listdir(f"/proc/{pid}/task"):
            where = Path(f"/proc/{pid}/task/{task}/wchan").read_text()
            if where == "kernel_clone" or "vfork" in where:
                return True
    return False


def widen(end: socket.socket, size: int) -> None:
    """Let ``size`` bytes be under way in a socket; past the limit that is set for users, where we may."""
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, size)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def stat_of(pid: int) -> List[str]:
    """The fields of a process's ``stat`` from its state on (proc(5)'s third); [] when it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    """Whether a process is there, no zombie, and not just being taken off the list."""
    return stat_of(pid)[:1] not in ([], ["Z"], ["X"])


def started(pid: int) -> int:
    """When a process was started, in the kernel's ticks: with its number it names one process. 0: it is not there."""
    found = stat_of(pid)
    return int(found[19]) if found else 0


def is_of(pid: int, container: str) -> bool:
    """Whether a process is of the container of this (whole) id: numbers of processes are used again."""
    try:
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def end_program(pid: int, program: str) -> None:
    """End a process that was noted down, if it is there and still that program (numbers are used again)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return
    if program in (os.path.basename(word).decode(errors="replace") for word in words):
        os.kill(pid, signal.SIGKILL)


def wait_for_kill(pid: int, timeout: float) -> None:
    """Wait until SIGKILL is pending for a (frozen) process."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except FileNotFoundError:
            return
        pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
        if any(mask & (1 << (signal.SIGKILL - 1)) for mask in pending):
            return
        time.sleep(0.002)
    raise Trouble("not-removed", f"nobody has ended process {pid} within {timeout:g} s")


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait until a process has ended; False when it has not within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def spawn(
    argv: Sequence[str], log: Path, env: Mapping[str, str], stdin: Optional[int] = None
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own (it outlives the agent), its words going to ``log``."""
    with log.open("ab") as out:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=out,
            stderr=out,
            env=dict(env),
            start_new_session=True,
        )
