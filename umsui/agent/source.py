"""The source's end of a migration: send what can go ahead, then freeze, checkpoint, send the rest, and wait.

``switch`` is the algorithm; everything slow is done before it, in ``arm``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Optional

from umsui.agent import criu, crossing, engines, guard, joint, relay, sync, vigil
from umsui.agent.engine import Engine
from umsui.agent.extras import Extras
from umsui.agent.host import Cgroup, Folder, Trouble, alive, end_program, environment, spawn, widen
from umsui.agent.memory import Memory
from umsui.agent.parcel import Parcel
from umsui.agent.uplink import Emit, Uplink, last_words

PAGES = threading.Lock()  # held by whoever starts a dump: there is one such number in a process
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
        self.uplink = Uplink(folder, emit)
        self.extras = Extras(self.uplink)
        self.memory: Optional[Memory] = None  # of a migration whose pages are placed by the destination's pager
        self.undone = False
        self.lock = threading.Lock()  # freeze, vote and abandon exclude each other

    @property
    def engine(self) -> Engine:
        """What manages the containers here."""
        return engines.of(self.folder)

    # -- before the freeze ------------------------------------------------------------------------------------------

    def key(self) -> Dict[str, str]:
        """A key for this one migration; answers its public half."""
        return self.uplink.key()

    def joint(self) -> Dict[str, List[str]]:
        """The command that the coordinator joins with the destination's end, where it carries the wire."""
        return {"command": joint.command(self.folder)}

    def connect(self, user: str, address: str, port: int, host_key: str, rate: float = 0.0) -> Dict[str, float]:
        """Open the wire; each stream gets ``rate`` bytes per second (0: no limit). Answers the time it took."""
        return self.uplink.connect(user, address, port, host_key, rate)

    def send_image(self, image: str, there: List[str]) -> Dict[str, int]:
        """The container image, without the layers that are ``there`` already; answers the bytes sent."""
        return self.uplink.send_image(image, there)

    def copy(self, roots: List[Dict[str, Any]], files: List[str], log: str) -> Dict[str, Any]:
        """Files ahead, while the service runs: passes until one moves little.

        ``files`` are those that are bound by themselves, ``log`` the service's log ("": none goes along).
        """
        self.extras.ahead(files, log)
        self.roots = [sync.Root(**root) for root in roots]
        moved: Dict[str, int] = {}
        for _ in range(ROUNDS):
            this_pass = 0
            for root in self.roots:
                copied = sync.live_pass(self.folder, root, self.uplink.shell(), self.uplink.rate)
                this_pass += copied
                moved[root.name] = root.bytes
                self.emit(
                    "progress", what="rootfs" if root.name == "/" else "volumes", done=root.bytes, total=None, rate=None
                )
            if this_pass < SMALL:
                break
        return {"bytes": moved}

    def page(self, pid: int, ahead: bool, at_once: bool) -> Dict[str, int]:
        """Open the page stream and, with ``ahead``, send the memory while the service runs, until little is left.

        ``at_once``: what is left then is sent while the service stands still; otherwise the destination fetches it
        after the switch. Raises Trouble.
        """
        self.folder.note(ahead=ahead, at_once=at_once)
        self.uplink.take_over()
        stream = self._page_stream()
        with self.lock:
            self.memory = stream
            if self.undone:  # while the stream was opened
                stream.release()
        if ahead:
            self._send_ahead(pid)
        return {"bytes": stream.sent}

    def _page_stream(self) -> Memory:
        return Memory(self.uplink.page_stream(), self.uplink.rate, self.emit)

    def _send_ahead(self, pid: int) -> None:
        assert self.memory is not None
        try:
            self.memory.ahead(Cgroup(pid).pids)
        except OSError as error:
            words = f"the service's memory cannot be sent ahead: {error}"
            raise Trouble("not-tracked", words, "migrate it with --strategy stop-copy") from error

    def arm(self, container: str, pid: int, runtime: str, lazy: bool = False, across: bool = False) -> None:
        """Start all that ``switch`` needs and let it wait: dump, page stream, image stream, rsync, guard.

        ``lazy``: CRIU's page stream is not needed, ours is open. ``across``: to another engine.
        """
        folder = self.folder
        if folder.state().get("abandoned"):
            raise Trouble("abandoned", "the source has given this migration up")
        cgroup = Cgroup(pid)
        if cgroup.frozen():
            raise Trouble("paused", "the service is paused", f"{self.engine.name} unpause it first")
        if across:
            crossing.refuse_shared_files(pid)
        folder.note(pid=pid, container=container, runtime=runtime, lazy=lazy, across=across)
        mine, theirs = socket.socketpair()
        widen(mine, BUFFER)
        if not lazy:
            orders = f"pages {self.uplink.rate:.0f}"
            self.pages = self.uplink.stream(orders, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        theirs.close()  # a lazy dump then finds nobody to serve its pages to, and ends as soon as all else is dumped
        self.images = self.uplink.stream(
            "images", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for root in self.roots:
            root.always = sync.shared_maps(cgroup.pids(), root.name)
            for other in root.also:  # containers of the same service that have it, too
                root.always |= sync.shared_maps(Cgroup(other["pid"]).pids(), other["inside"])
        self.warm = [sync.start(root, self.uplink.shell(), self._log(root), self.uplink.rate) for root in self.roots]
        if lazy:
            criu.raise_pipe_limit()
        kind = "lazy-pages" if lazy else "page-server"
        relay.install(folder, [*criu.OPTIONS, f"ps-socket {relay.PAGES_FD}", kind, *self.engine.dump_options(folder)])
        self._start_dump(container, runtime, mine)
        self._start_guard()
        assert self.images.stdout is not None
        if self.images.stdout.readline() != b"ready\n":
            raise Trouble("no-wire", "the destination does not take the checkpoint: " + last_words(self.images))

    def _start_dump(self, container: str, runtime: str, pages: socket.socket) -> None:
        argv = self.engine.checkpoint(runtime, container, self.folder.images, self.folder.work)
        with PAGES, (self.folder.control / "dump.out").open("wb") as out:
            os.dup2(pages.fileno(), relay.PAGES_FD, inheritable=True)
            pages.close()
            self.dump = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(**relay.environment(self.folder)),
                pass_fds=[relay.PAGES_FD],
                start_new_session=True,
            )
            os.close(relay.PAGES_FD)
        self.folder.note(dump=self.dump.pid)
        self.relay = criu.wait_for_relay(self.folder, self.dump, self.folder.control / "dump.out")

    def _start_guard(self) -> None:
        argv = [sys.executable, "-IS", str(self.folder.agent), "guard", self.folder.migration, self.folder.role]
        self.guard = spawn(argv, self.folder.control / "guard.log", environment(), stdin=subprocess.PIPE)
        self.folder.note(guard=self.guard.pid)

    def _log(self, root: sync.Root) -> Path:
        return self.folder.control / f"rsync-{root.name.replace('/', '_')}.log"

    def intact(self, container: str) -> Dict[str, str]:
        """Raises Trouble when somebody has changed the service since the first time that this was asked."""
        return vigil.look(self.folder, self.engine, container, "the service")

    # -- the switch -------------------------------------------------------------------------------------------------

    def freeze(self) -> Dict[str, float]:
        """The service stands still from now on. ``switch`` does it, too; several containers are frozen before.

        Answers the seconds that it took to stand still.
        """
        state = self.folder.state()
        if state.get("ahead") and not state.get("frozen"):
            self._send_ahead(state["pid"])  # what was written while the ends were armed
        with self.lock:
            self._refuse_abandoned()
            self.emit("step", step="freeze", state="started")
            began = time.monotonic()
            Cgroup(state["pid"]).freeze()
            self.folder.note(frozen=time.time())
        return {"seconds": time.monotonic() - began}

    def switch(self, within: float) -> Dict[str, float]:
        """Freeze; dump and send memory, overlapped; send the files that changed; send the rest; vote.

        Answers the seconds of each, from the freeze on. Raises Trouble; the service is then thawed.
        """
        state = self.folder.state()
        cgroup = Cgroup(state["pid"])
        times: Dict[str, float] = {}
        try:
            times["freeze"] = self.freeze()["seconds"]
            began = time.monotonic() - times["freeze"]
            self.relay.say("start")
            self.emit("step", step="freeze", state="done", seconds=times["freeze"])
            self.emit("step", step="checkpoint", state="started")
            with ThreadPoolExecutor(2) as pool:  # files and pages go while CRIU dumps
                files = pool.submit(self._send_changed_files, within)
                rest = pool.submit(self._complete_memory, cgroup.pids())
                self._wait_dump(within)
                times["checkpoint"] = time.monotonic() - began - times["freeze"]
                self.emit("step", step="checkpoint", state="done", seconds=times["checkpoint"])
                self.emit("step", step="transfer", state="started")
                times["files"] = files.result()
                times["changed"] = rest.result()
            parcel = Parcel(self.images)
            parcel.send(self.folder.images, self.extras)
            with self.lock:
                self._refuse_abandoned()
                vigil.refuse_ended(cgroup.pids())
                self.engine.hold(state["pid"])
                self.folder.note(voted=True)
            parcel.complete(within)
            times["transfer"] = time.monotonic() - began - times["freeze"] - times["checkpoint"]
            self.emit("step", step="transfer", state="done", seconds=times["transfer"])
            for idle in self.warm:  # in folders that nobody could unmount
                idle.kill()
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
        if self.relay.wait(*relay.WRITTEN, timeout=timeout) not in relay.WRITTEN:
            words = criu.words(self.folder.work / "dump.log")
            raise Trouble("not-dumped", f"CRIU could not checkpoint the service: {words}")

    def _complete_memory(self, pids: List[int]) -> int:
        return self.memory.complete(pids, self.folder.state()["at_once"]) if self.memory is not None else 0

    def drained(self, within: float) -> Dict[str, bool]:
        """Until the destination has all memory; over a new stream when one breaks. May run in another agent.

        Raises Trouble; the frozen processes still have everything.
        """
        end = time.monotonic() + within
        self.uplink.take_over()
        while self.memory is None or not self.memory.whole.wait(0.05):
            if time.monotonic() > end:
                raise Trouble("timed-out", f"memory is still missing at the destination after {within:g} s")
            if self.memory is None or self.memory.broken.is_set():
                self._serve_again()
        return {"drained": True}

    def _serve_again(self) -> None:
        self._frozen()  # else there is nothing to serve
        if self.memory is not None:
            words = last_words(self.memory.stream)
            self.memory.close()
            if "pager" in words:
                raise Trouble("lost", f"the destination takes no more memory: {words}")
            time.sleep(0.5)  # the link is cut, perhaps for long
        self.memory = self._page_stream()
        self.memory.know(self._frozen())

    def _frozen(self) -> List[int]:
        """The processes whose memory is still wanted. Raises Trouble when they have ended."""
        pid = self.folder.state().get("pid")  # none: the node was started anew
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, Trouble):  # they are just ending
            if pid and alive(pid):
                return Cgroup(pid).pids()
        raise Trouble(
            "lost",
            "the source's processes ended before all their memory had arrived",
            "the service is lost: remove its container at the destination, and start it anew; "
            "pre-copy and stop-copy have no such risk",
        )

    def _send_changed_files(self, timeout: float) -> float:
        began = time.monotonic()
        for root, process in zip(self.roots, self.warm):  # noqa: B905 - strict= needs Python 3.10
            changed = root.observe()
            if changed:  # else rsync goes on waiting: two programs less that want the CPU now
                root.bytes += sync.finish(process, changed, self._log(root), timeout)
        return time.monotonic() - began

    # -- afterwards -------------------------------------------------------------------------------------------------

    def noted(self) -> Dict[str, Any]:
        """What this migration has noted here; {} when nothing."""
        return {"state": self.folder.state()}

    def progress(self) -> Dict[str, int]:
        """Bytes of files moved so far, by kind."""
        rootfs = sum(root.bytes for root in self.roots if root.name == "/")
        return {"rootfs": rootfs, "volumes": sum(root.bytes for root in self.roots) - rootfs + self.extras.bytes}

    def thaw(self) -> Dict[str, bool]:
        """Undo: the service goes on here, where it stopped. May run twice, and in another agent than ``switch``."""
        with self.lock:
            self.undone = True
            if self.memory is not None:
                self.memory.release()
        state = self.folder.state()
        if "pid" not in state:
            return {"thawed": False}
        with self.lock:
            self.folder.note(abandoned=True, voted=False)
        guard.stop_dump(self.folder)
        if alive(state["pid"]):
            self.engine.thaw(state["pid"])
        elif state.get("frozen") and self.engine.status(state["container"]) != "running":
            raise Trouble(
                "source-gone",
                "the service's process at the source is gone",
                f"{self.engine.name} start {state['container'][:12]} starts it anew, without its memory",
            )
        return {"thawed": bool(state.get("frozen"))}

    def halt(self) -> Dict[str, bool]:
        """Cancelled: what is being sent ends, so that ``switch`` fails and thaws. Nothing, once this end has voted."""
        with self.lock:
            if not self.undecided():
                return {"halted": False}
            self.folder.note(abandoned=True)
        for process in [*self.warm, *([self.pages] if hasattr(self, "pages") else [])]:
            process.kill()  # CRIU lets go of the service by itself when nobody takes its pages
        return {"halted": True}

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
        pid = state["pid"] if alive(state["pid"]) else 0
        cgroup = Cgroup(pid) if pid else None

        def kill() -> None:
            assert cgroup is not None
            for each in cgroup.pids():
                os.kill(each, signal.SIGKILL)  # pending in all of them before the first one can run
            self.engine.thaw(pid)

        if cgroup is not None and not cgroup.frozen():
            raise Trouble("source-runs", "the source runs although it has voted", "look at both ends by hand")
        self.engine.remove(state["container"], pid, kill, within)
        return {"removed": True}

    def close(self) -> None:
        """End the wire and the helpers; remove this migration's folders."""
        if hasattr(self, "guard") and self.guard.stdin is not None:
            self.guard.stdin.write(b"done")
            self.guard.stdin.close()
        elif (guard_pid := self.folder.state().get("guard")) is not None:
            end_program(guard_pid, "guard")  # of an agent that has not noticed yet that its connection is gone
        if self.folder.images.is_dir():
            self.uplink.take_over()
        if self.memory is not None:
            self.memory.close()
        begun = [getattr(self, name) for name in ("dump", "pages", "images") if hasattr(self, name)]
        for process in [*self.warm, *begun]:
            process.kill()
            process.wait()
        self.uplink.hang_up()
        self.folder.remove()
