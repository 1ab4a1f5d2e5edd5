"""The two ends of a service-level migration: everything that touches the service happens inside its container.

The node's part is small: it holds the wire, passes words and streams on, and knows how far the migration has come. The
supervisor inside (``umsui/inside``) stops, dumps, restores and guards.
"""

from __future__ import annotations

import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE
from typing import Any, Dict, List, Optional, Sequence

from umsui.agent.destination import KEEP_THE_SOURCE, Destination
from umsui.agent.engine import process_of
from umsui.agent.host import Folder, Trouble, end_program
from umsui.agent.inside import PASSIVE, Channel, Inside, answer_over, inside_of, passes, send_ahead, write_all
from umsui.agent.inside_files import Mirror, in_memory
from umsui.agent.source import ROUNDS, SMALL, Source
from umsui.agent.uplink import Emit, last_words

CHECKPOINT = 600.0  # seconds that a dump or a restore may take before it is given up
TOGETHER = 8  # trees of files that are copied at the same time


class ServiceSource(Source):
    """One migration at its source, carried out inside the container."""

    def __init__(self, folder: Folder, emit: Emit) -> None:
        super().__init__(folder, emit)
        self.mirrors: List[Mirror] = []
        self.session: Optional[Channel] = None
        self.pages_channel: Optional[Channel] = None

    def _inside(self) -> Inside:
        return inside_of(self.folder)

    # -- before the freeze ------------------------------------------------------------------------------------------

    def stand_for(self, container: str) -> Dict[str, bool]:
        """This container's migration is carried out from elsewhere; what is left for the node is its removal."""
        self.folder.note(container=container)
        return {"noted": True}

    def copy_inside(self, container: str, volumes: List[str], created: float, log: str) -> Dict[str, Any]:
        """Files ahead, while the service runs: root file system, ``volumes`` (their paths inside), what is in memory.

        ``created`` is the container's own age (Unix time), ``log`` the file of its log ("": it does not go along).
        """
        self.folder.note(container=container)
        inside = self._inside()
        user = int(inside.status()["uid"])
        trees = dict.fromkeys(["/", *volumes, *in_memory(inside.read("mounts"))])
        self.volumes = volumes
        self.extras.ahead([], log)
        self.mirrors = [Mirror(root, inside, self.uplink, int(created * 1e9), user) for root in trees]
        with ThreadPoolExecutor(1 if self.uplink.rate else TOGETHER) as pool:  # a limit holds for all together
            for _ in range(ROUNDS):
                if sum(pool.map(self._live_pass, self.mirrors)) < SMALL:
                    break
        return {"bytes": self.progress()}

    def _live_pass(self, mirror: Mirror) -> int:
        copied = mirror.live_pass()
        kind = "volumes" if mirror.root in self.volumes else "rootfs"
        self.emit("progress", what=kind, done=self.progress()[kind], total=None, rate=None)
        return copied

    def progress(self) -> Dict[str, int]:
        """Bytes of files moved so far, by kind."""
        volumes = sum(mirror.bytes for mirror in self.mirrors if mirror.root in self.volumes)
        rootfs = sum(mirror.bytes for mirror in self.mirrors) - volumes
        return {"rootfs": rootfs, "volumes": volumes + self.extras.bytes}

    def arm_inside(self, container: str, ahead: bool = False) -> Dict[str, Any]:
        """Let dump, memory's way and restore be up and wait; may go on beside ``copy_inside``.

        ``ahead``: memory may go that way from now on (``send_memory``).
        """
        if self.folder.state().get("abandoned"):
            raise Trouble("abandoned", "the source has given this migration up")
        self.folder.note(container=container)
        inside = self._inside()
        processes = inside.status()["processes"]
        self.images = self.uplink.stream(f"inside restore {processes}", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        self.session = inside.open()
        self.session.say("dump")
        self.session.expect("listening", code="not-armed")
        self.pages_channel = inside.pages()
        self.session.expect("armed", code="not-armed")
        ends = {"stdin": self.pages_channel.reader, "stdout": self.pages_channel.writer}
        verb = "page-store" if ahead else "page-server"
        self.pages = self.uplink.stream(f"inside {verb} {self.uplink.rate:.0f}", stderr=PIPE, **ends)
        self.pages_channel.leave()  # with ours open, CRIU would not see the other end go
        self.folder.note(pages=self.pages.pid)
        self._expect("ready", 20.0)  # there is room for CRIU's pages from now on
        return {}

    def send_memory(self, once: bool = False) -> Dict[str, Any]:
        """Memory ahead, while the service runs; after ``arm_inside``, and beside ``copy_inside``.

        ``once``: what was written since, right before the switch.
        """
        assert self.session is not None
        if once:
            send_ahead(self.session)
        else:
            passes(self.session)
        return {}

    def arm_files(self) -> Dict[str, Any]:
        """Let what sends the last changes to files be up and wait; after ``copy_inside``."""
        for mirror in self.mirrors:
            mirror.arm()
        self.log = self.uplink.stream("log", stdin=PIPE, stdout=subprocess.DEVNULL, stderr=PIPE)
        return {}

    def _expect(self, wanted: str, timeout: float) -> None:
        """Wait for a line of the restore at the destination. Raises Trouble with what came instead."""
        assert self.images.stdout is not None
        alarm = threading.Timer(timeout, self.images.kill)
        alarm.start()
        came = self.images.stdout.readline().decode(errors="replace").rstrip("\n")
        alarm.cancel()
        if came.startswith("failed "):
            raise Trouble("not-restored", came.removeprefix("failed "))
        if came != wanted:
            raise Trouble("no-wire", f"the destination did not come to {wanted!r}: {last_words(self.images)}")

    # -- the switch -------------------------------------------------------------------------------------------------

    def switch(self, within: float) -> Dict[str, float]:
        """Stop; dump and send memory, overlapped; send what files changed; vote; send the rest; see it restored.

        Answers the seconds of each. Raises Trouble; the service then goes on here.
        """
        try:
            return self._switch(within)
        except (Trouble, OSError, subprocess.SubprocessError) as error:
            self.thaw()
            if isinstance(error, Trouble):
                raise
            raise Trouble("switch-failed", f"{type(error).__name__}: {error}") from error

    def _switch(self, within: float) -> Dict[str, float]:
        session, times = self.session, {}
        assert session is not None
        with self.lock:
            self._refuse_abandoned()
            began = time.monotonic()
            self.folder.note(frozen=time.time())
            session.say("switch")
            session.expect("frozen", code="not-frozen")
        times["freeze"] = time.monotonic() - began
        self.emit("step", step="freeze", state="done", seconds=times["freeze"])
        self.emit("step", step="checkpoint", state="started")
        with ThreadPoolExecutor(TOGETHER) as pool:  # files go while CRIU dumps
            files = [pool.submit(mirror.final_pass) for mirror in self.mirrors]
            files.append(pool.submit(self._send_log))
            session.expect("dumped", within, code="not-dumped")
            times["checkpoint"] = time.monotonic() - began - times["freeze"]
            self.emit("step", step="checkpoint", state="done", seconds=times["checkpoint"])
            self.emit("step", step="transfer", state="started")
            for copied in files:
                copied.result()
        with self.lock:
            self._refuse_abandoned()
            self.folder.note(voted=True)
            session.say("vote")
            session.expect("voted")
        self._send_checkpoint(session)
        times["transfer"] = time.monotonic() - began - times["freeze"] - times["checkpoint"]
        self.emit("step", step="transfer", state="done", seconds=times["transfer"])
        self.emit("step", step="restore", state="started")
        self._expect("restored", within)
        times["restore"] = time.monotonic() - began - sum(times.values())
        self.emit("step", step="restore", state="done", seconds=times["restore"])
        return times

    def _send_log(self) -> None:
        """What it has written since the log went ahead."""
        words = self.log.communicate(self.extras.rest())[1].decode(errors="replace")
        if self.log.returncode:
            raise Trouble("log-not-copied", f"the log could not be sent: {words.strip()[-400:]}")

    def _send_checkpoint(self, session: Channel) -> None:
        """The checkpoint's small files, from one supervisor to the other."""
        head = session.line()
        packed = session.exactly(int(head.split()[1]))
        assert self.images.stdin is not None
        write_all(self.images.stdin.fileno(), head.encode() + b"\n" + packed)
        self._expect("started", 20.0)

    # -- afterwards -------------------------------------------------------------------------------------------------

    def thaw(self) -> Dict[str, bool]:
        """Undo: the service goes on here, where it stopped. May run twice, and in another agent than ``switch``."""
        if "container" not in self.folder.state():
            return {"thawed": False}
        with self.lock:
            self.folder.note(abandoned=True, voted=False)
        self._let_go()
        return {"thawed": True}

    def _let_go(self) -> None:
        pages = self.folder.state().get("pages")
        if pages:
            end_program(pages, "ssh")  # a dump that is under way ends with it, and lets go; killing CRIU would harm
        try:
            answer = self._inside().ask("thaw", CHECKPOINT)
        except Trouble as trouble:
            raise Trouble("source-gone", f"the service at the source is gone: {trouble.message}") from trouble
        if answer != "thawed":
            raise Trouble("not-thawed", answer.removeprefix("failed "))

    def expire(self) -> bool:
        """The lease is over: give up, unless the source has voted."""
        with self.lock:
            if not self.undecided():
                return False
            self.folder.note(abandoned=True)
        self._let_go()
        return True

    def remove(self, within: float) -> Dict[str, bool]:
        """After the commit: the service ends here without running another instruction. May run twice."""
        container = self.folder.state()["container"]
        if self.engine.holds("container", container):
            if self._goes_on():
                raise Trouble("source-runs", "the source runs although it has voted", "look at both ends by hand")
            self.engine.discard(container, within)
        return {"removed": True}

    def _goes_on(self) -> bool:
        """Whether the service runs, and does not stand still."""
        try:
            return not self._inside().status()["frozen"]
        except Trouble as trouble:
            if trouble.code != "not-running":
                raise
            return False

    def close(self) -> None:
        """End the wire and the helpers; remove this migration's folders."""
        for channel in (self.session, self.pages_channel):
            if channel is not None:
                channel.close()
        for mirror in self.mirrors:
            mirror.close()
        if hasattr(self, "log"):
            self.log.kill()
            self.log.wait()
        super().close()


class ServiceDestination(Destination):
    """One migration at its destination: a container of the same image that was started to wait for a restore."""

    gate: Optional[Channel] = None  # the connection that waits for the word to go

    def prepare(self, container: str, volumes: Dict[str, str], top: Sequence[int] = ()) -> Dict[str, Any]:  # noqa: ARG002
        """Start the created container, passive. Its files are written from inside: it has no roots here."""
        self.put(container, PASSIVE, hold=True)
        self.engine.ask("start", container, code="not-started")
        found = self.engine.inspect(container)
        log_format, log = self.engine.log(found)
        self.folder.note(container=container, log=log, process=process_of(found))
        self._wait_passive()
        return {"roots": {}, "log_format": log_format}

    def _wait_passive(self) -> None:
        end = time.monotonic() + 10.0
        while True:
            try:
                status = inside_of(self.folder).status()
                break
            except Trouble:
                if time.monotonic() > end:
                    raise
            time.sleep(0.01)
        if not status["passive"]:
            raise Trouble("not-passive", "the container started the service instead of waiting for it")

    def armed(self, within: float) -> Dict[str, bool]:
        """Until the way of the memory leads into the container, and that of the word to go. Raises Trouble."""
        self.gate = inside_of(self.folder).open()
        end = time.monotonic() + within
        while not (self.folder.control / "arrived").exists():
            if time.monotonic() > end:
                raise Trouble("not-armed", f"the page server is not reached within {within:g} s")
            time.sleep(0.01)
        return {"armed": True}

    def abandon(self) -> None:
        """Nothing to call off: the container is removed as it is."""

    def commit(self, within: float) -> Dict[str, bool]:
        """Open the gate. May run twice, and in another agent. Raises Trouble."""
        try:
            answer = self._say_go(within)
        except Trouble as trouble:
            raise Trouble("lost", f"the restored service is gone: {trouble.message}", KEEP_THE_SOURCE) from trouble
        if answer != "open":
            raise Trouble("lost", answer.removeprefix("failed "), KEEP_THE_SOURCE)
        self.folder.note(open=True)
        return {"open": True}

    def _say_go(self, within: float) -> str:
        """Over the connection that waits for it; over a new one, when that is gone."""
        gate, self.gate = self.gate, None
        answer = answer_over(gate, "go", within)
        return answer or inside_of(self.folder).ask("go", within)

    def close(self) -> None:
        """The connections, and this migration's folders."""
        if self.gate is not None:
            self.gate.close()
        super().close()

    def confirm(self, within: float) -> Dict[str, str]:  # noqa: ARG002
        """After the commit: the engine knows that it runs. Raises Trouble."""
        status = self.engine.status(self.folder.state()["container"])
        if status != "running":
            raise Trouble("not-running", f"{self.engine.name} says that the service is {status}", KEEP_THE_SOURCE)
        return {"status": status}
