"""One session on an SSH connection: a command run to its end, or a program that stays connected."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from umsui.adapters import Completed
from umsui.errors import CommandFailed, TimedOut, Unreachable

_CHUNK = 1 << 15
_PORTION = 1 << 17
_TAIL = 4096
_FULL = 0.01  # seconds until a full window is looked at again


class _Wake(threading.Event):
    """Set when there is something to read. Paramiko clears it when *one* of two buffers is empty; only we may."""

    def clear(self) -> None:
        """Ignored."""

    def rearm(self) -> None:
        """To be called before looking at the buffers, so that nothing that arrives later is missed."""
        super().clear()


def say(argv: Sequence[str]) -> str:
    """The start of a command, for messages: never all of it, which might hold what nobody should read."""
    words = shlex.join(argv[:3]).split("\n")[0]
    return words[:60] + ("…" if len(argv) > 3 or len(words) > 60 else "")


def execute(channel: paramiko.Channel, argv: Sequence[str]) -> None:
    """Start the command. Does not wait for the host's consent: a refusal shows as an end without status."""
    _request(channel, "exec", shlex.join(argv))


def kill(channel: paramiko.Channel) -> None:
    """Kill the command (OpenSSH >= 7.9 at the host; else it ends when it next reads or writes) and close."""
    with contextlib.suppress(Exception):
        _request(channel, "signal", "KILL")
    channel.close()


def _request(channel: paramiko.Channel, kind: str, argument: str) -> None:
    # Channel.exec_command would wait for the reply, without a timeout, and there is no method for signals.
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_boolean(False)
    message.add_string(argument)
    transport: Any = channel.get_transport()  # typeshed knows its public methods only
    transport._send_user_message(message)


def _watched(channel: paramiko.Channel) -> _Wake:
    wake = _Wake()
    channel.in_buffer.set_event(wake)
    channel.in_stderr_buffer.set_event(wake)
    return wake


def _lost(host: str, argv: Sequence[str], channel: paramiko.Channel) -> Unreachable:
    why = str(getattr(channel.get_transport(), "saved_exception", None) or "") or "the host closed it"
    return Unreachable(f"the connection to {host} broke during `{say(argv)}`: {why}", code="connection-lost")


def complete(
    channel: paramiko.Channel, host: str, argv: Sequence[str], *, stdin: bytes, until: float, timeout: float, limit: int
) -> Completed:
    """Feed ``stdin``, collect all output up to ``limit`` bytes, and the status (-1 when a signal ended it).

    Raises TimedOut at ``until`` (monotonic; ``timeout`` is what it is called in the message), CommandFailed on more
    output, Unreachable when the connection breaks.
    """
    wake = _watched(channel)
    channel.settimeout(0)
    pending = memoryview(stdin)
    out, err = bytearray(), bytearray()
    if not pending:
        channel.shutdown_write()
    while True:
        wake.rearm()
        ended = channel.eof_received or channel.closed
        while channel.recv_ready():
            out += channel.recv(_CHUNK)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK)
        if len(out) + len(err) > limit:
            kill(channel)
            raise CommandFailed(f"`{say(argv)}` on {host} printed more than {limit >> 20} MiB", code="too-much-output")
        if ended:
            break
        pending = _feed(channel, pending)
        left = until - time.monotonic()
        if left <= 0:
            kill(channel)
            raise TimedOut(f"`{say(argv)}` on {host} did not finish within {timeout:.3g} s and was killed")
        wake.wait(min(left, _FULL) if pending else left)
    channel.status_event.wait(max(0.0, until - time.monotonic()))
    if not channel.status_event.is_set():
        kill(channel)
        raise TimedOut(f"`{say(argv)}` on {host} closed its output but did not end within {timeout:.3g} s")
    if channel.exit_status == -1 and not channel.get_transport().is_active():
        raise _lost(host, argv, channel)
    return Completed(channel.exit_status, bytes(out), bytes(err))


def _feed(channel: paramiko.Channel, pending: memoryview) -> memoryview:
    """Send what the window takes; returns what is left."""
    if not pending:
        return pending
    try:
        while pending and channel.send_ready():
            pending = pending[channel.send(bytes(pending[:_CHUNK])) :]
    except TimeoutError:
        return pending
    except OSError:
        return pending[:0]  # it has ended without wanting its input; its output tells
    if not pending:
        channel.shutdown_write()
    return pending


class SshStream:
    """A program on a node, connected by its standard input and output. One thread may read while another writes."""

    def __init__(self, channel: paramiko.Channel, host: str, argv: Sequence[str], closed: Callable[[], None]) -> None:
        self._channel = channel
        self._host = host
        self._argv = tuple(argv)
        self._closed = closed
        self._tail = b""
        self._lock = threading.Lock()
        self._wake = _watched(channel)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; blocks until there is one; b"" at the end.

        Raises Unreachable when the connection broke, so that a broken link is never taken for a program's end.
        """
        channel = self._channel
        while True:
            self._wake.rearm()
            ended = channel.eof_received or channel.closed
            self._drain()
            if channel.recv_ready():
                return channel.recv(size)
            if ended:
                if not channel.eof_received and not channel.get_transport().is_active():
                    raise _lost(self._host, self._argv, self._channel)
                return b""
            self._wake.wait()

    def write(self, data: bytes) -> None:
        """All of ``data``; blocks while the program does not read. Raises Unreachable when it is gone."""
        try:
            # sendall copies all that is left after each packet: give it little at a time.
            for start in range(0, len(data), _PORTION):
                self._channel.sendall(data[start : start + _PORTION])
        except (OSError, paramiko.SSHException, EOFError) as error:
            if self._channel.get_transport().is_active():
                message = f"`{say(self._argv)}` on {self._host} has ended: {self.stderr_tail() or 'it said nothing'}"
                raise Unreachable(message, code="ended") from error
            raise _lost(self._host, self._argv, self._channel) from error

    def finish(self) -> None:
        """No more input; its output can still be read. Like ``close``, may be called twice."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()

    def status(self, timeout: float = 0.0) -> int | None:
        """The program's exit status, waiting for it up to ``timeout`` seconds; None when there is none."""
        self._channel.status_event.wait(timeout)
        return self._channel.exit_status if self._channel.exit_status != -1 else None

    def stderr_tail(self) -> str:
        """The last 4 KiB that it printed to its standard error."""
        self._drain()
        return self._tail.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End it; the program sees the end of its input. May be called twice."""
        self._channel.close()
        closed, self._closed = self._closed, lambda: None
        closed()

    def _drain(self) -> None:
        # Both outputs share one window: unread errors would stop the output too.
        with self._lock:
            while self._channel.recv_stderr_ready():
                self._tail = (self._tail + self._channel.recv_stderr(_CHUNK))[-_TAIL:]
