"""One conversation with one agent: requests with a time limit, events in between, a heartbeat for the leases."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import Any

from umsui.adapters import Stream, Transport
from umsui.agent.framing import BadFrame, Reader, Writer
from umsui.core.shipping import package
from umsui.errors import CommandFailed, TimedOut, Unreachable

START = 30.0  # seconds from the login to the agent's first word
HEARTBEAT = 2.0  # seconds; the agent's lease is five of them

log = logging.getLogger(__name__)

OnEvent = Callable[[str, str, Mapping[str, Any]], None]
"""``on_event(kind, migration, data)``."""


class AgentError(CommandFailed):
    """The agent reports that a step failed; ``code`` tells which way."""


class Session:
    """A running agent on a node. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        where: str,
        user: str = "root",
        on_event: OnEvent | None = None,
        *,
        ready: str = "",
    ) -> None:
        """Ship and start the agent at ``where`` (cluster/node, for messages). Raises Unreachable.

        ``ready`` is a path there where somebody may have put it, compiled.
        """
        self.where = where
        self._on_event = on_event
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._gone: str | None = None
        self._stop = threading.Event()
        try:
            greeting = self._start(transport, user, ready)
        except Unreachable as error:
            if error.code != "connection-lost":
                raise
            fix = "is the node up, and its sshd? `umsui nodes --refresh` asks again"
            raise Unreachable(f"the connection to {where} broke as it was asked", fix, code=error.code) from error
        self.pid = int(greeting["pid"])
        threading.Thread(target=self._listen, name=f"agent {where}", daemon=True).start()
        threading.Thread(target=self._beat, name=f"heartbeat {where}", daemon=True).start()

    def _start(self, transport: Transport, user: str, ready: str) -> dict[str, Any]:
        """Send the agent, start it, and wait for its first word."""
        packed = package()
        self._stream: Stream = transport.open(packed.command(user, ready))
        self._writer = Writer(self._stream.write)
        self._reader = Reader(self._stream.read)
        alarm = threading.Timer(START, self._stream.close)
        alarm.daemon = True
        alarm.start()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            undo.callback(alarm.cancel)
            self._stream.write(packed.data)
            greeting = self._greeting()
            undo.pop_all()
        alarm.cancel()
        return greeting

    def _greeting(self) -> dict[str, Any]:
        try:
            message = self._reader.next()
        except (BadFrame, OSError) as error:
            message = None
            self._gone = self._said(error) or str(error)
        if message is None or message.get("event") != "hello":
            raise Unreachable(
                f"the agent does not start on {self.where}: {self._last_words() or self._gone or 'no answer'}",
                "the login must be root, or be allowed `sudo -n python3`; python3 >= 3.9 must be installed",
                code="no-agent",
            )
        return message

    def _said(self, error: BadFrame | OSError) -> str:
        """What came instead of a greeting, where that is text: an engine's words, or a shell's."""
        head = error.head if isinstance(error, BadFrame) else b""
        return (head + self._stream.read(400)).decode(errors="replace").strip() if head.isascii() and head else ""

    def _last_words(self) -> str:
        """What it complained of before it ended."""
        return str(getattr(self._stream, "stderr_tail", str)())

    def call(self, method: str, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        """Ask and wait. Raises AgentError, TimedOut, Unreachable (the connection is gone: who knows what was done)."""
        with self._lock:
            if self._gone is not None:
                raise Unreachable(f"the agent on {self.where} is gone: {self._gone}", code="agent-gone")
            self._number += 1
            number = self._number
            answer: Future[dict[str, Any]] = Future()
            self._waiting[number] = answer
        try:
            self._writer.send({"id": number, "method": method, "params": params})
            return answer.result(timeout)
        except OSError as error:
            if isinstance(error, Late):
                raise TimedOut(f"{self.where} did not answer {method} within {timeout:g} s") from None
            raise Unreachable(f"the agent on {self.where} is gone: {error}", code="agent-gone") from error
        except BadFrame as error:
            raise CommandFailed(f"{method} cannot be asked of {self.where}: {error}", code="too-long") from error
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def _listen(self) -> None:
        reason = "the connection was closed"
        while True:
            try:
                message = self._reader.next()
                if message is None:
                    reason = self._last_words() or reason
                    break
                self._take(message)
            except (BadFrame, OSError, Unreachable) as error:
                reason = str(error)
                break
            except (KeyError, TypeError, ValueError) as error:
                reason = f"it does not keep to the protocol: {error!r}"
                break
        with self._lock:
            self._gone = reason
            waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.set_exception(Unreachable(f"the agent on {self.where} is gone: {reason}", code="agent-gone"))

    def _take(self, message: Mapping[str, Any]) -> None:
        if "id" in message:
            self._settle(message)
        elif self._on_event is not None:
            kind, migration, data = str(message["event"]), str(message.get("migration", "")), message.get("data", {})
            try:
                self._on_event(kind, migration, data)
            except Exception:  # whatever a listener fails with is its own, and told; this thread serves all callers
                log.exception("what %s tells could not be noted", self.where)  # the calls must get their answers

    def _settle(self, message: Mapping[str, Any]) -> None:
        number, error, result = int(message["id"]), message.get("error"), message.get("result")
        failed = AgentError(f"{self.where}: {error['message']}", error["fix"], code=error["code"]) if error else None
        with self._lock:
            answer = self._waiting.pop(number, None)
        if answer is None:
            return  # its caller has given up
        if failed is not None:
            answer.set_exception(failed)
        else:
            answer.set_result(result or {})

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                self._writer.send({"beat": True})
            except (OSError, Unreachable):
                return  # the listener sees the same and tells the callers

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._gone is None

    def close(self) -> None:
        """Hang up; the agent ends when its leases are over. May be called twice."""
        self._stop.set()
        with contextlib.suppress(Unreachable, OSError):
            self._stream.close()
