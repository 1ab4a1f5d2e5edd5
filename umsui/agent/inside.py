"""The way to umsui's supervisor inside a service's container (``umsui/inside``), and what it says of itself.

Where the agent may enter the container's files, it connects to the supervisor's socket there; elsewhere, and with the
same words, through the engine's ``exec``. Each connection begins with one line that says what it is for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional

from umsui.agent import engines
from umsui.agent.engine import Engine, process_of
from umsui.agent.host import Folder, Trouble, environment, is_of, widen, write_atomically
from umsui.agent.passes import until_little
from umsui.agent.talk import enter

INIT = "/umsui/init"
PASSIVE = "/umsui/state/passive"  # tells the supervisor to wait for a restore
PATIENCE = 20.0  # seconds for an answer that needs no work
CHUNK = 1 << 20
F_SETPIPE_SZ = 1031  # Linux; the fcntl module names it from Python 3.10 on
BUFFER = 4 << 20  # bytes of memory that may be under way in a socket: fewer, larger steps cost less
PASS = 3600.0  # seconds that a pass over memory may take: the service runs meanwhile
AHEAD = 2  # version of the supervisor from which on it sends memory ahead
NOTED_EACH = 0.05  # seconds between two notes of how much has arrived
MEMORY = ("page-server", "page-store")  # how a dump's memory is taken: as it comes, or behind what went ahead
VERBS = ("scan", "unpack", "restore", *MEMORY)  # what the source may ask of the destination's container


class Channel:
    """One connection to the supervisor: two descriptors, and the exec between them where there is one."""

    def __init__(self, reader: int, writer: int, exec_: "Optional[subprocess.Popen[bytes]]" = None) -> None:
        self.reader = reader
        self.writer = writer
        self._exec = exec_

    @property
    def direct(self) -> bool:
        """Whether it is the supervisor's own socket."""
        return self._exec is None

    def say(self, words: str) -> None:
        """Send one line."""
        write_all(self.writer, words.encode(errors="surrogateescape") + b"\n")

    def line(self, timeout: float = PATIENCE) -> str:
        """The next line. Raises Trouble: the connection ended, or nothing came within ``timeout`` seconds."""
        alarm = threading.Timer(timeout, self.end)
        alarm.start()
        try:
            found = b""
            while not found.endswith(b"\n"):
                part = os.read(self.reader, 1)
                if not part:
                    raise Trouble("inside-gone", f"umsui inside the container hung up, or took more than {timeout:g} s")
                found += part
        except OSError as error:
            raise Trouble("inside-gone", f"umsui inside the container does not answer: {error}") from error
        finally:
            alarm.cancel()
        return found.decode(errors="replace").rstrip("\n")

    def expect(self, wanted: str, timeout: float = PATIENCE, code: str = "inside-failed") -> None:
        """Wait for this line. Raises Trouble with what came instead."""
        came = self.line(timeout)
        if came != wanted:
            raise Trouble(code, came.removeprefix("failed ") if came.startswith("failed ") else f"it said {came!r}")

    def rest(self) -> bytes:
        """All that comes until the end."""
        parts = []
        while part := os.read(self.reader, CHUNK):
            parts.append(part)
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises Trouble when there are less."""
        parts, missing = [], size
        while missing:
            part = os.read(self.reader, min(missing, CHUNK))
            if not part:
                raise Trouble("inside-gone", "umsui inside the container hung up in the middle of the checkpoint")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Nothing more will be said; the other side sees the end."""
        if self._exec is None:
            os_shutdown(self.writer)
        elif self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def end(self) -> None:
        """Break the connection off; whoever reads from it sees the end."""
        if self._exec is not None:
            self._exec.kill()
        elif self.reader >= 0:
            os_shutdown(self.reader, socket.SHUT_RDWR)

    def leave(self) -> None:
        """Somebody else has it now: give our descriptors back, but do not break it off."""
        for descriptor in {self.reader, self.writer} - {-1}:
            os.close(descriptor)
        self.reader = self.writer = -1

    def close(self) -> None:
        """Break it off, and give its descriptors back."""
        self.end()
        for descriptor in {self.reader, self.writer} - {-1}:
            os.close(descriptor)
        if self._exec is not None:
            self._exec.wait()
        self.reader = self.writer = -1


def os_shutdown(descriptor: int, how: int = socket.SHUT_WR) -> None:
    """Shut a socket down that we have as a descriptor; one that has ended is no error."""
    try:
        end = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return
    with end:
        try:
            end.shutdown(how)
        except OSError:
            return


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises Trouble when nobody reads."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise Trouble("inside-gone", f"umsui inside the container hung up: {error}") from error


def answer_over(channel: Optional[Channel], words: str, timeout: float) -> Optional[str]:
    """The answer over a connection that was kept for this, and ends with it; None when there is none, or it broke."""
    if channel is None:
        return None
    with contextlib.closing(channel):
        try:
            channel.say(words)
            return channel.line(timeout)
        except (Trouble, OSError):
            return None


class Inside:
    """umsui in one running container."""

    def __init__(self, engine: Engine, container: str, pid: int) -> None:
        """``pid``: the container's first process, 0 where there is none. Raises Trouble, then."""
        self.engine = engine
        self.container = container
        self.pid = pid
        if not self.pid:
            raise Trouble("not-running", f"the container {container} does not run", f"{engine.name} start {container}")

    def open(self, name: str = "talk") -> Channel:
        """A connection to its socket ``talk`` (or ``pages``, while a dump is armed). Raises Trouble."""
        try:
            end = enter(self.pid, name)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise Trouble(
                "no-agent-inside",
                f"umsui does not listen in the container {self.container} ({error})",
                "the container must be of an image that `umsui image build --approach service` made",
            ) from error
        except PermissionError:
            return self._exec(name)  # another user's container: its files are not ours to enter
        descriptor = end.detach()
        return Channel(descriptor, descriptor)

    def pages(self) -> Channel:
        """The way out for memory, while a dump waits for it; as wide as we may make it. Raises Trouble."""
        channel = self.open("pages")
        if not channel.direct:
            channel.say("here")
            return channel
        theirs, ours = socket.socketpair()
        widen(theirs, BUFFER)  # CRIU need not wait for ssh at each step
        with socket.socket(fileno=os.dup(channel.writer)) as end, theirs:
            socket.send_fds(end, [b"here\n"], [theirs.fileno()])
        channel.close()
        descriptor = ours.detach()
        return Channel(descriptor, descriptor)

    def _exec(self, name: str) -> Channel:
        argv = [self.engine.name, "exec", "-i", self.container, INIT, "--talk", *([name] if name != "talk" else [])]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        assert process.stdin is not None
        assert process.stdout is not None
        return Channel(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()), adopted(process))

    def ask(self, words: str, timeout: float = PATIENCE) -> str:
        """One line for one line."""
        channel = self.open()
        try:
            channel.say(words)
            return channel.line(timeout)
        finally:
            channel.close()

    def read(self, words: str) -> bytes:
        """All that it answers."""
        channel = self.open()
        try:
            channel.say(words)
            return channel.rest()
        finally:
            channel.close()

    def status(self) -> Dict[str, Any]:
        """What the supervisor tells of itself and of the service."""
        found: Dict[str, Any] = json.loads(self.ask("status"))
        return found


def adopted(process: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
    """The process without the files of its own: the channel has the descriptors."""
    for file in (process.stdin, process.stdout):
        assert file is not None
        file.close()
    return process


def described(engine: Engine, found: Dict[str, Any]) -> Dict[str, Any]:
    """What umsui tells from inside an inspected container; {} when the container's command is not umsui's."""
    if found.get("Path") != INIT or not found["State"]["Pid"]:
        return {}
    try:
        return Inside(engine, found["Id"], int(found["State"]["Pid"])).status()
    except (Trouble, ValueError) as trouble:
        return {"error": str(trouble)}


def inside_of(folder: Folder) -> Inside:
    """umsui in the container of this end of a migration. Raises Trouble when that does not run.

    Its process is noted: to ask the engine each time takes a good part of what a stream takes to begin.
    """
    engine, state = engines.of(folder), folder.state()
    noted = state.get("process")
    if not noted or not is_of(noted["pid"], noted["id"]):  # another one since it was started anew
        noted = process_of(engine.inspect(state["container"]))
        folder.note(process=noted)
    return Inside(engine, state["container"], noted["pid"])


def send_ahead(session: Channel) -> int:
    """One pass over the service's memory, while it runs (``dump`` is armed, and its way leads to a ``page-store``).

    Answers how many bytes had to be sent; they have arrived. Raises Trouble.
    """
    session.say("ahead")
    answer = session.line(PASS)
    words = answer.split()
    if words[:1] != ["passed"]:
        fix = "see why the two ends do not reach each other any more"
        raise Trouble("not-sent", answer.removeprefix("failed "), fix)
    return int(words[1])


def passes(session: Channel) -> None:
    """Memory ahead, pass after pass until one sends little. Raises Trouble."""
    until_little(lambda: send_ahead(session))


# -- the destination's end of the wire --------------------------------------------------------------------------------


def serve(folder: Folder, words: List[str]) -> NoReturn:
    """Join this stream to the container's supervisor: ``VERB [WORD]``; that of memory is a rate, bytes per second."""
    if words[:1] == [] or words[0] not in VERBS:
        raise SystemExit(f"umsui wire: {words[:1]} is not done inside")
    rate, arrived = 0.0, None
    if words[0] in MEMORY:
        rate, arrived = float(words.pop()), folder.control / "arrived"
    channel = inside_of(folder).open()
    channel.say(" ".join(words))
    if arrived is not None:
        write_atomically(arrived, "0")
    with contextlib.suppress(OSError):  # standard input may be a socket instead
        fcntl.fcntl(0, F_SETPIPE_SZ, CHUNK)
    if channel.direct:
        with socket.socket(fileno=os.dup(channel.writer)) as end:
            widen(end, BUFFER)
    threading.Thread(target=_take, args=(channel, rate, arrived), daemon=True).start()
    while part := os.read(channel.reader, CHUNK):
        write_all(1, part)
    os._exit(0)


def _take(channel: Channel, rate: float, arrived: Optional[Path]) -> None:
    """Standard input goes in, at ``rate``; ``arrived`` is told how much there has been."""
    due = told = 0.0  # when the next chunk may come: time that nobody used is not saved up
    moved = 0
    while part := os.read(0, CHUNK):
        write_all(channel.writer, part)
        moved += len(part)
        now = time.monotonic()
        if arrived is not None and now - told > NOTED_EACH:
            told = now
            write_atomically(arrived, str(moved))
        if rate:
            due = max(due, now) + len(part) / rate
            time.sleep(max(0.0, due - now))
    if arrived is not None:
        write_atomically(arrived, str(moved))
    channel.finish()
