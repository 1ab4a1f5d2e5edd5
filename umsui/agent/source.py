"""The source's end of a migration: send what can go ahead, then freeze, checkpoint, send the rest, and wait.

``switch`` is the algorithm; everything slow is done before it, in ``arm``.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from umsui.agent import guard, relay, sync
from umsui.agent.host import Cgroup, Folder, Trouble, alive, end_program, environment, run, spawn, wait_gone

Emit = Callable[..., None]

CRIU_OPTIONS = [
    "tcp-close",  # established connections are closed: their clients connect again, to the new place
    "skip-in-flight",
    "file-locks",
    "link-remap",
    "ghost-limit 1073741824",  # bytes of a deleted but still open file that go into the images
    "network-lock skip",  # all its processes are frozen: nobody is there to answer a packet
]
PAGES_FD = 87  # where criu finds its connection to the page server; far above what the runtimes open
SO_SNDBUFFORCE = 32  # Linux; past the limit that is set for users
PIPE_LIMIT = 1 << 30  # bytes; fs.pipe-max-size while lazy pages are served
BUFFER = 4 << 20  # bytes of pages that may be under way in the socket: CRIU need not wait for ssh at each step
ROUNDS = 4  # live passes over the files at most
SMALL = 16 << 20  # bytes; a live pass that moved less than this is the last one


class Source:
    """One migration at its source. ``emit(kind, **data)`` tells the coordinator what happens meanwhile."""

    def __init__(self, folder: Folder, emit: Emit) -> None:
        self.folder = folder
        self.emit = emit
        self.roots: List[sync.Root] = []
        self.warm: List["subprocess.Popen[bytes]"] = []
        self.rate = 0.0
        self.lock = threading.Lock()  # freeze, vote and abandon exclude each other

    # -- before the freeze ------------------------------------------------------------------------------------------

    def key(self) -> Dict[str, str]:
        """A key for this one migration; answers its public half."""
        key = self.folder.control / "key"
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"umsui:{self.folder.migration}", "-f", str(key)])
        return {"public": key.with_suffix(".pub").read_text().strip()}

    def connect(self, user: str, address: str, port: int, host_key: str, rate: float = 0.0) -> Dict[str, float]:
        """Open the wire: one SSH connection that all streams share. Answers the time it took.

        ``rate`` limits each stream, in bytes per second (0: no limit).
        """
        self.rate = rate
        began = time.monotonic()
        control = self.folder.control
        (control / "known_hosts").write_text(f"umsui {host_key}\n")
        lines = [
            "Host umsui",
            f"  HostName {address}",
            f"  Port {port}",
            f"  User {user}",
            f"  IdentityFile {control}/key",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {control}/known_hosts",
            "  HostKeyAlias umsui",
            "  StrictHostKeyChecking yes",
            "  BatchMode yes",
            "  Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com",
            "  Compression no",
            "  ConnectTimeout 10",
            "  ServerAliveInterval 5",
            "  ServerAliveCountMax 3",
            "  ControlMaster auto",
            f"  ControlPath {control}/wire",
            "  ControlPersist yes",
            "  LogLevel ERROR",
        ]
        (control / "ssh.conf").write_text("\n".join(lines) + "\n")
        run([*self._ssh(), "-N", "-f", "umsui"], timeout=20, code="no-route")
        return {"seconds": time.monotonic() - began}

    def _ssh(self) -> List[str]:
        return ["ssh", "-F", f"{self.folder.control}/ssh.conf"]

    def _stream(self, words: str, **more: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*self._ssh(), "umsui", words], env=environment(), **more)

    def send_image(self, image: str) -> Dict[str, int]:
        """The container image, for a destination that lacks it; answers the bytes sent."""
        save = subprocess.Popen(["podman", "save", "-q", image], stdout=subprocess.PIPE, env=environment())
        assert save.stdout is not None
        load = self._stream("image", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert load.stdin is not None
        sent, told, began = 0, 0.0, time.monotonic()
        try:
            while chunk := save.stdout.read(1 << 20):
                load.stdin.write(chunk)
                sent += len(chunk)
                if self.rate:
                    time.sleep(max(0.0, began + sent / self.rate - time.monotonic()))
                if time.monotonic() - told > 0.1:
                    told = time.monotonic()
                    self.emit("progress", what="image", done=sent, total=None, rate=None)
        except BrokenPipeError:
            pass  # the destination refused; its words come with the status below
        words = load.communicate()[1].decode(errors="replace")
        if save.wait() or load.returncode:
            raise Trouble("image-not-copied", f"the image {image} could not be sent: {words.strip()[-400:]}")
        return {"bytes": sent}

    def copy(self, roots: List[Dict[str, Any]]) -> Dict[str, Any]:
        """Files ahead, while the service runs: passes until one moves little."""
        self.roots = [sync.Root(**root) for root in roots]
        moved: Dict[str, int] = {}
        for _ in range(ROUNDS):
            this_pass = 0
            for root in self.roots:
                copied = sync.live_pass(self.folder, root, self._shell(), self.rate)
                this_pass += copied
                moved[root.name] = root.bytes
                self.emit(
                    "progress", what="rootfs" if root.upper else "volumes", done=root.bytes, total=None, rate=None
                )
            if this_pass < SMALL:
                break
        return {"bytes": moved}

    def _shell(self) -> str:
        return shlex.join(self._ssh())

    def arm(self, container: str, pid: int, runtime: str, lazy: bool = False) -> Dict[str, Any]:
        """Start all that ``switch`` needs and let it wait: dump, page stream, image stream, rsync, guard."""
        folder = self.folder
        if folder.state().get("abandoned"):
            raise Trouble("abandoned", "the source has given this migration up")
        cgroup = Cgroup(pid)
        if cgroup.frozen():
            raise Trouble("paused", "the service is paused", "podman unpause it first")
        folder.note(pid=pid, container=container, runtime=runtime, lazy=lazy)
        mine, theirs = socket.socketpair()
        mine.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
        words = f"{'lazy' if lazy else 'pages'} {self.rate:.0f}"
        self.pages = self._stream(words, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        theirs.close()
        folder.note(pages=self.pages.pid)
        self.images = self._stream("images", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for root in self.roots:
            root.always = shared_maps(cgroup.pids(), root)
        self.warm = [sync.start(root, self._shell(), self._log(root), self.rate) for root in self.roots]
        relay.install(folder, [*CRIU_OPTIONS, f"ps-socket {PAGES_FD}", *(self._lazily() if lazy else ["page-server"])])
        self._start_dump(container, runtime, mine)
        self._start_guard()
        assert self.images.stdout is not None
        if self.images.stdout.readline() != b"ready\n":
            raise Trouble("no-wire", "the destination does not take the checkpoint: " + self._words(self.images))
        return {"descriptors": descriptors(container, pid)}

    def _lazily(self) -> List[str]:
        """CRIU's options for post-copy: it keeps the pages and serves them; a script tells when all else is dumped."""
        script = self.folder.control / "dumped"
        script.write_text(f'#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ] || : > {self._dumped}\n')
        script.chmod(0o700)
        raise_pipe_limit()
        return ["lazy-pages", f"action-script {script}"]

    @property
    def _dumped(self) -> Path:
        return self.folder.control / "dumped.flag"

    def _start_dump(self, container: str, runtime: str, pages: socket.socket) -> None:
        os.dup2(pages.fileno(), PAGES_FD, inheritable=True)
        pages.close()
        work = self.folder.control / "work"
        work.mkdir(mode=0o700, exist_ok=True)
        argv = [runtime, "checkpoint", "--leave-running", "--image-path", str(self.folder.images)]
        argv += ["--work-path", str(work), container]
        with (self.folder.control / "dump.out").open("wb") as out:
            self.dump = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(**relay.environment(self.folder)),
                pass_fds=[PAGES_FD],
                start_new_session=True,
            )
        os.close(PAGES_FD)
        self.folder.note(dump=self.dump.pid)
        self.relay = wait_for_relay(self.folder, self.dump, self.folder.control / "dump.out")

    def _start_guard(self) -> None:
        argv = [sys.executable, "-IS", str(self.folder.agent), "guard", self.folder.migration, self.folder.role]
        self.guard = spawn(argv, self.folder.control / "guard.log", environment(), stdin=subprocess.PIPE)

    def _log(self, root: sync.Root) -> Path:
        return self.folder.control / f"rsync-{root.name.replace('/', '_')}.log"

    def _words(self, process: "subprocess.Popen[bytes]") -> str:
        process.kill()
        assert process.stderr is not None
        return process.stderr.read().decode(errors="replace").strip()[-400:]

    # -- the switch -------------------------------------------------------------------------------------------------

    def switch(self, within: float) -> Dict[str, float]:
        """Freeze; dump and send memory, overlapped; send the files that changed; send the rest; vote.

        Answers the seconds of each, from the freeze on. Raises Trouble; the service is then thawed.
        """
        state = self.folder.state()
        cgroup = Cgroup(state["pid"])
        times: Dict[str, float] = {}
        try:
            with self.lock:
                self._refuse_abandoned()
                began = time.monotonic()
                cgroup.freeze()
                self.folder.note(frozen=time.time())
            times["freeze"] = time.monotonic() - began
            self.emit("step", step="freeze", state="done", seconds=times["freeze"])
            self.emit("step", step="checkpoint", state="started")
            self.relay.say("start")
            with ThreadPoolExecutor(1) as pool:  # files go while CRIU dumps
                files = pool.submit(self._send_changed_files, within)
                self._wait_dump(within)
                times["checkpoint"] = time.monotonic() - began - times["freeze"]
                self.emit("step", step="checkpoint", state="done", seconds=times["checkpoint"])
                self.emit("step", step="transfer", state="started")
                times["files"] = files.result()
            with self.lock:
                self._refuse_abandoned()
                self.folder.note(voted=True)
            self._send_images(within)
            times["transfer"] = time.monotonic() - began - times["freeze"] - times["checkpoint"]
            self.emit("step", step="transfer", state="done", seconds=times["transfer"])
        except (Trouble, OSError, subprocess.SubprocessError) as error:
            self.thaw()
            if isinstance(error, Trouble):
                raise
            raise Trouble("switch-failed", f"{type(error).__name__}: {error}") from error
        return times

    def _refuse_abandoned(self) -> None:
        if self.folder.state().get("abandoned"):
            raise Trouble("abandoned", "the coordinator was silent for too long: the service was thawed and stays here")

    def _wait_dump(self, timeout: float) -> None:
        if self.folder.state().get("lazy") and self._dumped_lazily(timeout):
            return
        ended = self.relay.wait(timeout=timeout)
        if ended != "ended 0":
            raise Trouble(
                "not-dumped",
                "CRIU could not checkpoint the service: " + criu_words(self.folder.control / "work" / "dump.log"),
            )
        if self.dump.wait(timeout=timeout):
            raise Trouble("not-dumped", (self.folder.control / "dump.out").read_text(errors="replace").strip()[-400:])

    def _dumped_lazily(self, timeout: float) -> bool:
        """Until all but the lazy pages is dumped; False when the dump has ended before."""
        end = time.monotonic() + timeout
        while not self._dumped.exists():
            if self.dump.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True

    def drained(self, within: float) -> Dict[str, bool]:
        """Post-copy: until the last page has left. May run twice, and in another agent. Raises Trouble."""
        if not wait_gone(self.folder.state()["dump"], within):
            raise Trouble("timed-out", f"pages are still missing at the destination after {within:g} s")
        log = self.folder.control / "work" / "dump.log"
        if "Dumping finished successfully" not in log.read_text(errors="replace"):
            raise Trouble(
                "lost",
                f"the link broke before all memory had arrived; the service is lost where it went: {criu_words(log)}",
                "the source still holds it as it was at the switch: look there first; stop-copy has no such risk",
            )
        return {"drained": True}

    def _send_changed_files(self, timeout: float) -> float:
        began = time.monotonic()
        for root, process in zip(self.roots, self.warm):  # noqa: B905 - strict= needs Python 3.10
            root.bytes += sync.finish(process, root.observe(), self._log(root), timeout)
        return time.monotonic() - began

    def _send_images(self, timeout: float) -> None:
        """The checkpoint as a tar stream, without memory sent before or fetched later; ``complete`` is last."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(self.folder.images.iterdir()):
                archive.add(path, path.name)
            archive.addfile(tarfile.TarInfo("complete"))
        stream = self.images
        assert stream.stdin is not None
        assert stream.stdout is not None
        try:
            stream.stdin.write(packed.getvalue())
            stream.stdin.close()
        except BrokenPipeError as error:
            raise Trouble("no-wire", "the destination hung up: " + self._words(stream)) from error
        alarm = threading.Timer(timeout, stream.kill)
        alarm.start()
        answer = stream.stdout.readline()
        alarm.cancel()
        if answer != b"started\n":
            raise Trouble("no-wire", "the destination did not take the checkpoint: " + self._words(stream))

    # -- afterwards -------------------------------------------------------------------------------------------------

    def noted(self) -> Dict[str, Any]:
        """What this migration has noted here; {} when nothing."""
        return {"state": self.folder.state()}

    def progress(self) -> Dict[str, int]:
        """Bytes of files moved so far, by kind."""
        rootfs = sum(root.bytes for root in self.roots if root.upper)
        return {"rootfs": rootfs, "volumes": sum(root.bytes for root in self.roots) - rootfs}

    def thaw(self) -> Dict[str, bool]:
        """Undo: the service goes on here, where it stopped. May run twice, and in another agent than ``switch``."""
        state = self.folder.state()
        if "pid" not in state:
            return {"thawed": False}
        with self.lock:
            self.folder.note(abandoned=True, voted=False)
        stop_dump(self.folder, state)
        if not alive(state["pid"]):
            raise Trouble("source-gone", "the service's process at the source is gone")
        Cgroup(state["pid"]).thaw()
        return {"thawed": True}

    def undecided(self) -> bool:
        """Whether the service stands still and this end has not voted."""
        state = self.folder.state()
        return bool(state.get("frozen")) and not state.get("voted") and not state.get("abandoned")

    def expire(self) -> bool:
        """The lease is over: give up, unless the source has voted."""
        with self.lock:
            return self.undecided() and guard.thaw_unless_voted(self.folder)

    def remove(self, within: float) -> Dict[str, bool]:
        """After the commit: the service ends here without running another instruction. May run twice."""
        state = self.folder.state()
        cgroup: Optional[Cgroup] = Cgroup(state["pid"]) if alive(state["pid"]) else None
        orders = ["podman", "rm", "--force", "--time", "0", "--ignore", state["container"]]
        removal = subprocess.Popen(orders, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
        if cgroup is not None:
            if not cgroup.frozen():
                raise Trouble("source-runs", "the source runs although it has voted", "look at both ends by hand")
            wait_for_kill(state["pid"], 5.0)  # podman knows by then that this end is wanted: no restart policy acts
            for pid in cgroup.pids():
                os.kill(pid, signal.SIGKILL)  # pending in all of them before the first one can run
            cgroup.thaw()
        words = removal.communicate(timeout=within)[1]
        if removal.returncode:
            raise Trouble("not-removed", "podman rm: " + words.decode(errors="replace").strip()[-400:])
        return {"removed": True}

    def close(self) -> None:
        """End the wire and the helpers; remove this migration's folders."""
        if hasattr(self, "guard") and self.guard.stdin is not None:
            self.guard.stdin.write(b"done")
            self.guard.stdin.close()
        for process in [*self.warm, *(getattr(self, name) for name in ("pages", "images") if hasattr(self, name))]:
            process.kill()
            process.wait()
        if (self.folder.control / "ssh.conf").exists():
            subprocess.run(
                [*self._ssh(), "-O", "exit", "umsui"], capture_output=True, env=environment(), timeout=10, check=False
            )
        self.folder.remove()


def raise_pipe_limit() -> None:
    """CRIU keeps lazy pages in pipes as large as they come; without CAP_SYS_RESOURCE the node's limit stops it."""
    limit = Path("/proc/sys/fs/pipe-max-size")
    if int(limit.read_text()) < PIPE_LIMIT:
        limit.write_text(str(PIPE_LIMIT))


def shared_maps(pids: List[int], root: sync.Root) -> "set[str]":
    """The files below ``root`` that processes have mapped shared and writable, relative to it."""
    inside = "/" if root.upper else root.name
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


def descriptors(container: str, pid: int) -> str:
    """What the service's first three descriptors were when it started, as the runtime noted it (JSON)."""
    for path in (Path(f"/run/crun/{container}/status"), Path(f"/run/runc/{container}/state.json")):
        if path.exists():
            noted = json.loads(path.read_text()).get("external_descriptors")
            if noted:
                return noted if isinstance(noted, str) else json.dumps(noted)
    return json.dumps([os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)])


def criu_words(log: Path) -> str:
    """The errors in a CRIU log; what they mean is in their own words."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return f"no log at {log}"
    errors = [line.split("Error ", 1)[1] for line in lines if "Error " in line and "RLIMIT_NOFILE" not in line]
    return "; ".join(errors[:4]) or "(no error in its log)"


def wait_for_relay(
    folder: Folder, process: "subprocess.Popen[bytes]", log: Path, timeout: float = 20.0
) -> relay.Handle:
    """Connect to the relay as soon as the runtime has reached it. Raises Trouble when the runtime ends before."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            return relay.Handle(folder, timeout)
        except (FileNotFoundError, ConnectionError):  # not there yet, or just ended
            if process.poll() is not None:
                raise Trouble("not-armed", log.read_text(errors="replace").strip()[-600:] or "it ended") from None
            time.sleep(0.005)
    raise Trouble("not-armed", f"the runtime did not call criu within {timeout:g} s")


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
    raise Trouble("not-removed", f"podman did not end process {pid} within {timeout:g} s")


def stop_dump(folder: Folder, state: Dict[str, Any]) -> None:
    """End a dump that has not begun; wait for one that has (killing CRIU inside a dump would harm the service)."""
    dump = state.get("dump")
    if not dump or not alive(dump):
        return
    try:
        handle = relay.Handle(folder, 5.0)
        if handle.state == "armed":
            handle.say("abort")
        elif state.get("lazy"):
            end_program(state["pages"], "ssh")  # CRIU gives up serving pages and lets the service go
        handle.close()
    except OSError:
        pass  # no relay (yet, or any more): the runtime ends by itself
    if not wait_gone(dump, guard.DUMP_ENDS):
        raise Trouble("dump-stuck", f"the dump (process {dump}) does not end")
