"""Service-level migration where an orchestrator's API is the only way to a container: Kubernetes.

umsui in the service's own container does the work, as in ``service_level.py``; but no agent runs on a node. The
coordinator is joined with both containers through their orchestrators, and everything goes through it. What must
survive the coordinator is in the containers (their supervisors) and on the reserved pod (its annotations).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from umsui.agent.destination import KEEP_THE_SOURCE
from umsui.agent.host import Trouble
from umsui.agent.inside import AHEAD, PATIENCE, Channel, answer_over, passes, send_ahead, write_all
from umsui.agent.inside_files import Mirror, in_memory, on_the_way
from umsui.agent.service_level import TOGETHER
from umsui.agent.source import ROUNDS, SMALL
from umsui.core.session import AgentError
from umsui.errors import BadInput, Cancelled, UmsuiError, Unknown
from umsui.interface import beside, neutral
from umsui.interface.api_ends import GROUPS, end_of, insist
from umsui.interface.cpu import flags, isa
from umsui.interface.protocol import Order
from umsui.interface.remote_inside import MemoryWay, RemoteInside, RemoteUplink
from umsui.interface.unchanged import Unchanged
from umsui.model import Specification, Strategy, Traffic

SWITCH = 120.0  # seconds that the service may stand still
LEASE = 10  # seconds without a word from us after which a source that has not voted goes on by itself
BEAT = 2.0  # seconds between two words
STARTED = 60.0  # seconds that a container which runs may take until umsui answers in it


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """What goes wrong in there, as an error for the operator."""
    try:
        yield
    except Trouble as trouble:
        raise AgentError(f"{where}: {trouble.message}", trouble.fix, code=trouble.code) from trouble
    except OSError as error:
        raise AgentError(f"{where}: {error}", code="switch-failed") from error


class ServiceThroughApi:
    """One migration from inside the service's container, through the coordinator (a ``protocol.Move``)."""

    def __init__(self, order: Order) -> None:
        self.order = order
        name = order.specification.name
        self._source, self._destination = (end_of(end, name, order.id) for end in (order.source, order.destination))
        self._rate = order.plan.request.bandwidth or 0.0
        self._mirrors: list[Mirror] = []
        self._volumes: set[str] = set()
        self._session: Channel | None = None
        self._restore: Channel | None = None
        self._gate: Channel | None = None
        self._memory: MemoryWay | None = None
        self._ahead: Future[None] | None = None  # memory that is sent while the service runs
        self._unchanged = Unchanged(self._source, self._destination)
        self._facts: dict[str, Any] = {}
        self._over = threading.Event()
        self._thawed = False

    @property
    def _here(self) -> str:
        return f"{self.order.source.place.cluster}/{self.order.specification.name}"

    @property
    def _there(self) -> str:
        return f"{self.order.destination.place.cluster}/{self.order.specification.name}"

    def _step_aside(self) -> None:
        if self.order.cancelled():
            raise Cancelled("cancelled by the operator")

    # -- pre-migration ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """See that umsui answers in the source's container."""
        with told(self._here):
            self._facts = self._source.inside.status()

    def reserve(self) -> None:
        """An identical container at the destination, started and waiting."""
        self._destination.discard(self.order.id)  # of a first attempt that was cut off
        self._step_aside()
        self._destination.reserve(self._specification(), self._source.particulars(), self.order.id)
        with told(self._there):
            self._wait_passive(self._destination.inside)
            self._compare_cpus()
        self._unchanged.look()

    def _specification(self) -> Specification:
        """What is created there: its processes keep the host name that they have read, and their groups."""
        spec, here = self.order.specification, self.order.source
        if here.orchestrator.name != self.order.destination.orchestrator.name:
            spec = neutral.with_capabilities(spec, self._facts["capabilities"])
        name = spec.hostname
        if not name and not here.through_api:
            name = str(here.orchestrator.raw(here.transport, spec.name)["Config"].get("Hostname") or "")
        return replace(spec, hostname=name, annotations={**spec.annotations, GROUPS: str(self._facts["groups"])})

    def _wait_passive(self, inside: RemoteInside) -> None:
        end = time.monotonic() + STARTED
        while True:
            try:
                status = inside.status()
                break
            except (Trouble, ValueError) as trouble:
                if time.monotonic() > end:
                    raise Trouble("no-agent-inside", f"umsui does not answer in the new container: {trouble}") from None
                time.sleep(0.1)
        if not status["passive"]:
            raise Trouble("not-passive", "the container started the service instead of waiting for it")
        if self._goes_ahead and status["version"] < AHEAD:
            fix = "pull the image anew there: it must be the source's, or choose stop-copy"
            raise Trouble("old-inside", "the umsui in the new container is older than memory that goes ahead", fix)

    def _compare_cpus(self) -> None:
        """Only now there is somebody to ask at the destination."""
        here, there = (flags(each.inside.read("cpuinfo")) for each in (self._source, self._destination))
        lacking = sorted(isa(here, "x86_64") - there)
        if lacking:
            fix = "choose a node with the same or a newer CPU of the same make"
            raise Trouble("cpu", f"the destination's CPU lacks {', '.join(lacking[:6])}", fix)

    def copy_ahead(self) -> None:
        """Root file system changes, volumes, and what is in memory file systems, while the service runs."""
        inside = self._source.inside
        uplink = RemoteUplink(self._destination.inside, self._rate)
        with told(self._here):
            self._facts = inside.status()
            self._volumes = {mount.destination for mount in self.order.specification.volumes}
            trees = dict.fromkeys(["/", *sorted(self._volumes), *in_memory(inside.read("mounts"))])
            created, user = int(self._source.identity()["created"]) * 10**9, int(self._facts["uid"])
            there = self._destination.inside.read("mounts")
            self._mirrors = [
                Mirror(root, inside, uplink, created, user, kept=on_the_way(there, root))  # type: ignore[arg-type]
                for root in trees
            ]
            if self._goes_ahead and not self._rate:  # a limit holds for all streams together: memory comes after
                self._begin_memory()
            for _ in range(ROUNDS):
                if self._pass() < SMALL:
                    break
                self._step_aside()
            if self._goes_ahead:
                if self._ahead is None:
                    self._begin_memory()
                self._wait_for_memory()

    @property
    def _goes_ahead(self) -> bool:
        """Whether memory goes ahead."""
        return self.order.plan.strategy is Strategy.PRE_COPY

    def _begin_memory(self) -> None:
        self._arm_inside()
        self._send(passes)

    def _send(self, how: Callable[[Channel], object]) -> None:
        """Begin to send memory, beside what else there is to do."""
        self._ahead = beside.begin(lambda: self._sent(how), "memory")

    def _sent(self, how: Callable[[Channel], object]) -> None:
        assert self._session is not None
        with beside.watching(self._watch_memory):
            how(self._session)

    def _wait_for_memory(self) -> None:
        assert self._ahead is not None
        beside.wait_for(self._ahead, self._step_aside)  # what is undone then breaks the connection off

    def _pass(self) -> int:
        """All trees once, at the same time: each waits for the API most of its time."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            copied: int = sum(pool.map(Mirror.live_pass, self._mirrors))
        moved = self.traffic()
        for kind in ("rootfs", "volumes"):
            self.order.emit("progress", what=kind, done=getattr(moved, kind), total=None, rate=None)
        return copied

    def arm(self) -> None:
        """Dump and restore started and waiting for their word, memory's way open."""
        with told(self._here), ThreadPoolExecutor(TOGETHER) as pool:
            warm = [pool.submit(mirror.arm) for mirror in self._mirrors]
            if not self._goes_ahead:
                self._arm_inside()
            self._gate = self._destination.inside.open()
            for each in warm:
                each.result()
        threading.Thread(target=self._beat, name=f"lease {self.order.id}", daemon=True).start()

    def _arm_inside(self) -> None:
        self._restore = self._destination.inside.open()
        self._restore.say(f"restore {int(self._facts['processes'])}")
        self._restore.expect("ready", code="not-armed")
        self._session = self._source.inside.open()
        self._session.say(f"dump {LEASE}")
        self._session.expect("listening", code="not-armed")
        verb = "page-store" if self._goes_ahead else "page-server"
        self._memory = MemoryWay(self._source.inside, self._destination.inside, verb, self._rate)
        self._session.expect("armed", code="not-armed")

    def _beat(self) -> None:
        session = self._session
        while session is not None and not self._over.wait(BEAT):
            with contextlib.suppress(Trouble, OSError):  # whoever waits for its answer sees it, too
                session.say("beat")

    def intact(self) -> None:
        """Whether both containers are still as they were at the first call."""
        self._unchanged.look()

    # -- migration --------------------------------------------------------------------------------------------------

    def switch(self) -> None:
        """Stop, checkpoint and transfer overlapped, restore up to the gate; both ends have then voted."""
        if self._goes_ahead:
            with told(self._here):
                self._send(send_ahead)  # what was written since
                self._wait_for_memory()
        self._step_aside()
        self.order.emit("step", step="freeze", state="started")
        with beside.watching(self._watch_memory), told(self._here):
            self._switch()
        received = self._memory.moved if self._memory else 0
        self.order.emit("progress", what="memory", done=received, total=received, rate=None)

    def _switch(self) -> None:
        session, restore, clock = self._session, self._restore, _Clock(self.order)
        assert session is not None
        assert restore is not None
        session.say("switch")
        session.expect("frozen", code="not-frozen")
        clock.ended("freeze", "checkpoint")
        with ThreadPoolExecutor(TOGETHER) as pool:  # files go while CRIU dumps
            files = [pool.submit(mirror.final_pass) for mirror in self._mirrors]
            session.expect("dumped", SWITCH, code="not-dumped")
            clock.ended("checkpoint", "transfer")
            for copied in files:
                copied.result()
        self._step_aside()
        session.say("vote")
        session.expect("voted")
        head = session.line()
        packed = session.exactly(int(head.split()[1]))
        write_all(restore.writer, head.encode() + b"\n" + packed)
        restore.expect("started", code="not-restored")
        clock.ended("transfer", "restore")
        restore.expect("restored", SWITCH, code="not-restored")
        clock.ended("restore")

    def _watch_memory(self, done: threading.Event) -> None:
        before, then = 0, time.monotonic()
        while not done.wait(0.1):
            moved, now = self._memory.moved if self._memory else 0, time.monotonic()
            expected = max(int(self._facts.get("memory", 0)), moved)
            self.order.emit("progress", what="memory", done=moved, total=expected, rate=(moved - before) / (now - then))
            before, then = moved, now

    def commit(self) -> None:
        """The decision is durable: open the destination's gate, and lead clients there."""
        with told(self._there):
            try:
                answer = self._say_go()
            except Trouble as trouble:
                raise Trouble("lost", f"the restored service is gone: {trouble.message}", KEEP_THE_SOURCE) from trouble
            if answer != "open":
                raise Trouble("lost", answer.removeprefix("failed "), KEEP_THE_SOURCE)
        self._destination.lead()

    def _say_go(self) -> str:
        """Over the connection that waits for it; over a new one, when that is gone."""
        gate, self._gate = self._gate, None
        return answer_over(gate, "go", PATIENCE) or insist(self._destination, "go")

    # -- post-migration ---------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Nothing: all memory has arrived."""

    def finish(self) -> None:
        """The destination's owner takes over; the source and its owner go."""
        if self._source_is_there():
            self._destination.settle(self._source.particulars())
            with told(self._here):
                if not self._source.inside.status()["frozen"]:
                    raise Trouble("source-runs", "the source runs although it has voted", "look at both ends by hand")
            self._source.take_away()

    def _source_is_there(self) -> bool:
        try:
            self._source.identity()
        except BadInput:
            return False
        return True

    def forgotten(self) -> bool:
        """Whether neither end knows anything of this migration any more."""
        if self._destination.reserved(self.order.id):
            return False
        if not self._source_is_there():
            return True
        with told(self._here):
            return not self._source.inside.status()["frozen"]

    # -- undo -------------------------------------------------------------------------------------------------------

    def rollback(self) -> None:
        """The destination goes first, but the source does not wait for one that does not answer."""
        try:
            self._undo_both()
        except AgentError as error:
            raise Unknown(f"the migration could not be undone: {error.message}", error.fix, code=error.code) from error
        self._end_channels()

    def _undo_both(self) -> None:
        try:
            self._refuse_open()
            self._destination.discard(self.order.id)
        except UmsuiError as error:
            if error.code != "committed":  # only an open gate makes it wrong to thaw
                self._thaw()
            raise
        self._thaw()

    def _refuse_open(self) -> None:
        if not self._destination.reserved(self.order.id):
            return
        try:
            status = self._destination.inside.status()
        except (Trouble, ValueError):
            return  # it has not started, or is gone: nothing runs there
        if status["service"] and not status["gated"]:
            raise AgentError(f"{self._there}: the gate is open: the service runs there", code="committed")

    def _thaw(self) -> None:
        if self._thawed:  # what happens to the service after that is not ours
            return
        with told(self._here):
            if self._memory is not None:
                self._memory.end()  # a dump that is under way ends with it, and lets go
            try:
                answer = insist(self._source, "thaw")
            except Trouble as trouble:
                if self._removed_by_others():
                    return  # whoever did that wanted it to end
                raise Trouble("source-gone", f"the service at the source is gone: {trouble.message}") from trouble
            if answer != "thawed":
                raise Trouble("not-thawed", answer.removeprefix("failed "))
        self._thawed = True

    def _removed_by_others(self) -> bool:
        """Whether the source is gone, or going, though nobody has decided so."""
        try:
            return bool(self._source.identity().get("its deletion"))
        except BadInput:
            return True

    def traffic(self) -> Traffic:
        """Bytes moved so far."""
        volumes = sum(mirror.bytes for mirror in self._mirrors if mirror.root in self._volumes)
        rootfs = sum(mirror.bytes for mirror in self._mirrors) - volumes
        memory = self._memory.moved if self._memory else 0
        return Traffic(memory=memory, rootfs=rootfs, volumes=volumes, wire=memory + rootfs + volumes)

    def close(self) -> None:
        """Break the connections off: a source that has not voted goes on."""
        self._end_channels()

    def _end_channels(self) -> None:
        self._over.set()
        for mirror in self._mirrors:
            mirror.close()
        for channel in (self._session, self._restore, self._gate, self._memory):
            if channel is not None:
                channel.close()


class _Clock:
    """Tells the steps of the switch, and how long each took."""

    def __init__(self, order: Order) -> None:
        self._order, self._then = order, time.monotonic()

    def ended(self, step: str, following: str = "") -> None:
        now = time.monotonic()
        self._order.emit("step", step=step, state="done", seconds=now - self._then)
        self._then = now
        if following:
            self._order.emit("step", step=following, state="started")
