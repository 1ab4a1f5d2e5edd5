"""The agent itself.

It speaks the framed protocol on standard input and output: requests ``{"id", "method", "params"}`` are
answered by ``{"id", "result"}`` or ``{"id", "error": {"code", "message", "fix"}}``, in any order; ``{"event", …}``
comes in between. Each request runs in a thread of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Union

from umsui.agent import facts, framing, link, nested, traits
from umsui.agent.destination import Destination
from umsui.agent.host import CONTROL, Folder, Trouble
from umsui.agent.pods import PodDestination, PodSource
from umsui.agent.service_level import ServiceDestination, ServiceSource
from umsui.agent.source import Source

LEASE = 10.0  # seconds without a word from the coordinator before a source that has not voted thaws itself


class Agent:
    """The agent: one per connection, many migrations."""

    def __init__(self, own_file: Path) -> None:
        self.package = own_file.read_bytes()
        if own_file.parent == CONTROL:  # else it belongs to the image that this runs in
            own_file.unlink()  # nothing is left behind, however this process ends
        self.reader = framing.Reader(lambda size: os.read(0, size))
        self.writer = framing.Writer(lambda data: write_all(1, data))
        self.ends: Dict[str, Union[Source, Destination]] = {}
        self.heard = time.monotonic()

    def serve(self) -> int:
        """Answer requests until the connection ends; then keep the leases until they are over."""
        threading.Thread(target=self._watch, daemon=True).start()
        self.writer.send({"event": "hello", "pid": os.getpid(), "python": sys.version.split()[0]})
        while True:
            try:
                message = self.reader.next()
            except (framing.BadFrame, OSError):
                message = None
            if message is None:
                break
            self.heard = time.monotonic()
            if "id" in message:
                threading.Thread(target=self._answer, args=(message,), daemon=True).start()
        self._outlive()
        return 0

    def _answer(self, message: framing.Message) -> None:
        number = message["id"]
        try:
            method = str(message["method"])
            result = self._method(method)(**message.get("params", {}))
            reply: framing.Message = {"id": number, "result": result if result is not None else {}}
        except Trouble as trouble:
            reply = {"id": number, "error": {"code": trouble.code, "message": trouble.message, "fix": trouble.fix}}
        except Exception as error:  # whatever it is, the coordinator must hear of it
            where = traceback.format_exc().strip().splitlines()[-3:]
            reply = {"id": number, "error": {"code": "agent-fault", "message": f"{error!r} at {where}", "fix": ""}}
        try:
            self.writer.send(reply)
        except framing.BadFrame as error:
            self.writer.send(
                {"id": number, "error": {"code": "agent-fault", "message": f"the answer is {error}", "fix": ""}}
            )
        except OSError:
            return  # the connection is gone; ``serve`` sees it, too

    def _method(self, name: str) -> Callable[..., Any]:
        group, _, verb = name.partition(".")
        simple: Dict[str, Callable[..., Any]] = {
            "ping": dict,
            "clock": lambda: {"clock": time.time()},
            "node": facts.node,
            "service": facts.service,
            "nested": facts.nested_service,
            "baseline": nested.baseline,
            "listen": self._listen,
            "measure": link.measure,
            "kinds": traits.kinds,
            "cpuinfo": traits.cpuinfo,
            "cpu_fits": traits.cpu_fits,
        }
        if name in simple:
            return simple[name]
        if group in ("source", "destination") and not verb.startswith("_"):
            return lambda migration, **params: self._of_migration(group, verb, migration, params)
        raise Trouble("bad-input", f"no method {name!r}")

    def _listen(self) -> Dict[str, int]:
        return {"port": link.listen()}

    def _of_migration(self, role: str, verb: str, migration: str, params: Dict[str, Any]) -> Any:
        folder = Folder(migration, role)
        key = f"{migration}.{role}"
        if verb == "open":
            folder.make(**params)
            if not folder.agent.exists():
                folder.agent.write_bytes(self.package)
                folder.agent.chmod(0o600)
            return self.ends.setdefault(key, self._end(role, folder)) and {}
        end = self.ends.setdefault(key, self._end(role, folder))
        if verb == "close":
            end.close()
            del self.ends[key]
            return {}
        try:
            return getattr(end, verb)(**params)
        except (Trouble, OSError) as error:
            lost = isinstance(error, Trouble) and error.code == "lost"
            if lost or not isinstance(end, Source) or not end.uplink.cut_off():
                raise
            fix = "see why the two nodes do not reach each other any more, then try again"
            raise Trouble("link-lost", f"the connection to the destination's node broke ({error})", fix) from error

    def _end(self, role: str, folder: Folder) -> Union[Source, Destination]:
        def emit(kind: str, **data: Any) -> None:
            try:
                self.writer.send({"event": kind, "migration": folder.migration, "data": data})
            except OSError:
                return  # nobody listens any more; the steps go on

        inside = folder.exists and folder.approach == "service"
        if folder.exists and folder.engine == "kubernetes" and not inside:
            return PodSource(folder, emit) if role == "source" else PodDestination(folder, emit)
        if role == "source":
            return ServiceSource(folder, emit) if inside else Source(folder, emit)
        return ServiceDestination(folder, emit) if inside else Destination(folder, emit)

    def _watch(self) -> None:
        """The lease: a coordinator that has been silent for too long loses the sources that have not voted."""
        while True:
            time.sleep(0.5)
            if time.monotonic() - self.heard > LEASE:
                self._expire()

    def _expire(self) -> None:
        for end in list(self.ends.values()):
            if isinstance(end, Source) and end.folder.exists:
                end.expire()

    def _outlive(self) -> None:
        """The connection is gone: wait for the lease's end, give up what has not voted, and go.

        The guard is told nothing, so it looks after a source that is in the middle of a dump.
        """
        while self._undecided() and time.monotonic() - self.heard < LEASE:
            time.sleep(0.2)
        self._expire()

    def _undecided(self) -> bool:
        """Whether a source here stands still without having voted."""
        return any(isinstance(end, Source) and end.undecided() for end in list(self.ends.values()))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main() -> int:
    """Be the agent, until its connection ends."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    nested.laid_out()
    nested.enter_cgroups()
    return Agent(Path(sys.argv[0])).serve()
