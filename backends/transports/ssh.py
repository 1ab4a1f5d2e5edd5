"""SSH by paramiko: one lasting connection to a node, strict about who it talks to, bounded in time."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paramiko

from backends.transports.ssh_channel import SshStream, complete, execute, say
from backends.transports.ssh_config import Target, resolve
from backends.transports.ssh_connection import Connection, connect
from umsui.adapters import Completed
from umsui.errors import TimedOut, Unreachable

OUTPUT_LIMIT = 32 << 20
"""Bytes that one command may print."""
CONCURRENT_RUNS = 16
"""Commands at once; more wait for their turn. Streams come on top."""
MAX_CONNECTIONS = 8
"""To one node. A second is made only when sshd's MaxSessions is used up."""

# Without a handler Python prints paramiko's warnings to stderr, into the middle of a console.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshTransport:
    """A node reached over SSH. Connects when first used, again after the connection was lost. Thread-safe.

    ``target`` is ``user@host:port`` or a name from ssh_config; ``identity`` a private key's file, which is then the
    only key that is tried; ``known_hosts`` the only file that host keys are looked up in; ``connect_timeout`` bounds,
    in seconds, connecting and logging in. Raises BadInput when the target is malformed.
    """

    def __init__(
        self,
        target: str,
        identity: Path | None = None,
        known_hosts: Path | None = None,
        connect_timeout: float = 5.0,
        *,
        config: Path | None = None,
        jump: str | None = None,
    ) -> None:
        self._target: Target = resolve(target, identity, known_hosts, config)
        self._given = (target, identity, known_hosts, config)
        self._timeout = connect_timeout
        self._changed = threading.Condition()
        self._connections: list[Connection] = []
        self._connecting = False
        self._failures = 0  # counts failed attempts, so that those who waited for one share its error
        self._failure: Exception | None = None
        self._key = ""
        self._runs = threading.BoundedSemaphore(CONCURRENT_RUNS)
        self._jump = self._make_jump(identity, known_hosts, config, jump)

    def _make_jump(
        self, identity: Path | None, known_hosts: Path | None, config: Path | None, jump: str | None
    ) -> SshTransport | None:
        hops = [hop.strip() for hop in (self._target.proxy_jump if jump is None else jump).split(",") if hop.strip()]
        if not hops:
            return None
        before = ",".join(hops[:-1]) if len(hops) > 1 else None
        return SshTransport(hops[-1], identity, known_hosts, self._timeout, config=config, jump=before)

    @property
    def address(self) -> str:
        """The host's address as others reach it."""
        return self._target.host

    @property
    def port(self) -> int:
        """The SSH port."""
        return self._target.port

    @property
    def user(self) -> str:
        """The login user."""
        return self._target.user

    @property
    def host_key(self) -> str:
        """The verified host key, ``ssh-ed25519 AAAA…``. Connects when that was never done; raises like ``run``."""
        if not self._key:
            self._release(self._acquire(time.monotonic() + self._timeout))
        return self._key

    def program(self, argv: Sequence[str]) -> list[str]:
        """A local program joined with one there, as strict about who it talks to: for bytes in bulk."""
        text, identity, known_hosts, config = self._given
        target, colon, port = text.rpartition(":")
        target, ports = (target, ["-p", port]) if colon and port.isdigit() else (text, [])
        options = [*(["-F", str(config)] if config else []), *ports, "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", "Ciphers=^aes128-gcm@openssh.com"]
        options += ["-o", f"ConnectTimeout={self._timeout:.0f}"]
        options += ["-i", str(identity), "-o", "IdentitiesOnly=yes"] if identity is not None else []
        options += ["-o", f"UserKnownHostsFile={known_hosts}"] if known_hosts is not None else []
        return ["ssh", "-T", *options, "--", target, shlex.join(argv)]

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        """Run a command as the login user, within ``timeout`` seconds from call to return; a status is returned.

        Raises Unreachable, HostKeyChanged, TimedOut (the command is then killed), CommandFailed on runaway output.
        """
        until = time.monotonic() + timeout
        if not self._runs.acquire(timeout=timeout):
            raise TimedOut(f"{self.address} is busy: `{say(argv)}` did not get its turn within {timeout:.3g} s")
        try:
            with self._started(argv, until) as (connection, channel):
                try:
                    return complete(
                        channel, self.address, argv, stdin=stdin, until=until, timeout=timeout, limit=OUTPUT_LIMIT
                    )
                finally:
                    channel.close()
                    self._release(connection)
        finally:
            self._runs.release()

    def open(self, argv: Sequence[str]) -> SshStream:
        """Start a program and stay connected with its standard input and output. Raises like ``run``."""
        with self._started(argv, time.monotonic() + self._timeout) as (connection, channel):
            return SshStream(channel, self.address, argv, lambda: self._release(connection))

    def close(self) -> None:
        """Drop the connection; the next use makes a new one. May be called twice."""
        with self._changed:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        if self._jump is not None:
            self._jump.close()

    def tunnel(self, host: str, port: int, timeout: float) -> Any:
        """A byte stream to another host as seen from this one (what ProxyJump is made of)."""
        connection = self._acquire(time.monotonic() + timeout)
        try:
            return connection.transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout)
        finally:
            self._release(connection)  # forwardings do not count as sessions

    @contextlib.contextmanager
    def _started(self, argv: Sequence[str], until: float) -> Any:
        connection, channel = self._session(max(0.0, until - time.monotonic()))
        try:
            execute(channel, argv)
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._release(connection)
            raise Unreachable(f"the connection to {self.address} broke before `{say(argv)}`") from error
        yield connection, channel

    def _session(self, timeout: float) -> tuple[Connection, paramiko.Channel]:
        """A fresh session; while nothing was sent, a connection found dead is replaced without a word."""
        until = time.monotonic() + timeout
        while True:
            connection = self._acquire(until)
            try:
                left = max(0.01, until - time.monotonic())
                return connection, connection.transport.open_session(timeout=left)
            except paramiko.ChannelException:
                with self._changed:  # MaxSessions is lower than thought
                    connection.capacity = max(1, connection.sessions - 1)
                self._release(connection)
            except (paramiko.SSHException, OSError, EOFError) as error:
                self._release(connection)
                if time.monotonic() >= until:
                    raise TimedOut(f"{self.address} opened no session within {timeout:.3g} s") from error
                connection.close()

    def _acquire(self, until: float) -> Connection:
        """A connection with room for one more session, made when there is none."""
        with self._changed:
            failures = self._failures
            while True:
                self._connections = [each for each in self._connections if each.alive]
                for connection in self._connections:
                    if connection.sessions < connection.capacity:
                        connection.sessions += 1
                        return connection
                if not self._connecting and len(self._connections) < MAX_CONNECTIONS:
                    self._connecting = True
                    break
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise TimedOut(
                        f"{self.address} has no session free", "raise MaxSessions in its sshd_config", code="sessions"
                    )
                if failures != self._failures and self._failure is not None:
                    raise self._failure
        return self._connect(until)

    def _connect(self, until: float) -> Connection:
        try:
            left = min(self._timeout, max(0.01, until - time.monotonic()))
            connection = connect(self._target, self._dial, left)
        except Exception as error:
            with self._changed:
                self._connecting = False
                self._failures += 1
                self._failure = error
                self._changed.notify_all()
            raise
        with self._changed:
            self._connecting = False
            self._key = connection.host_key
            connection.sessions += 1
            self._connections.append(connection)
            self._changed.notify_all()
        return connection

    def _dial(self, timeout: float) -> Any:
        target = self._target
        if self._jump is not None:
            return self._jump.tunnel(target.host, target.port, timeout)
        if target.proxy_command:
            return paramiko.ProxyCommand(target.proxy_command)
        return socket.create_connection((target.host, target.port), timeout)

    def _release(self, connection: Connection) -> None:
        with self._changed:
            connection.sessions -= 1
            self._changed.notify_all()
