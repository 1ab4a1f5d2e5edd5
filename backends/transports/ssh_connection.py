"""One SSH connection: made within bounded time, strictly identified, and closed when its peer falls silent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paramiko

from backends.transports import known_hosts
from backends.transports.ssh_config import Target
from umsui.errors import TimedOut, UmsuiError, Unreachable

HEARTBEAT = 4.0
"""Seconds between two questions to the peer."""
PATIENCE = 8.0
"""Seconds that it may take to answer one: a dead peer is noticed within their sum."""
MAX_SESSIONS = 10
"""Sessions on one connection: OpenSSH's default for MaxSessions."""

# AES-GCM first: with AES-NI it is the cheapest cipher at both ends, and needs no separate MAC.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}

Dial = Callable[[float], Any]
"""Makes the byte stream to the host, within so many seconds."""


class Connection:
    """An authenticated connection, and how many sessions are open on it."""

    def __init__(self, transport: paramiko.Transport, host_key: str) -> None:
        self.transport = transport
        self.host_key = host_key
        self.sessions = 0
        self.capacity = MAX_SESSIONS
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name=f"ssh heartbeat {transport.name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can still be used, as far as is known."""
        return self.transport.is_active()

    def close(self) -> None:
        """Drop it and every session on it."""
        self._closed.set()
        self.transport.close()

    def _watch(self) -> None:
        # TCP alone notices a host without power after many minutes, and a stopped sshd never.
        while not self._closed.wait(HEARTBEAT) and self.alive:
            deadline = threading.Timer(PATIENCE, self._give_up)
            deadline.daemon = True
            deadline.start()
            try:
                with contextlib.suppress(Exception):
                    self.transport.global_request("keepalive@openssh.com", wait=True)
            finally:
                deadline.cancel()

    def _give_up(self) -> None:
        self.transport.saved_exception = TimeoutError(f"it did not answer for {PATIENCE:g} s")  # for who lost it
        self.transport.close()


def connect(target: Target, dial: Dial, timeout: float) -> Connection:
    """Connect, check the host's key, log in: each within what is left of ``timeout`` seconds.

    Raises Unreachable (code "auth" when the host lets us not in), HostKeyChanged, TimedOut.
    """
    until = time.monotonic() + timeout
    with _explained(target, timeout):
        sock = dial(timeout)
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        with contextlib.ExitStack() as undo:
            undo.callback(transport.close)
            key = _handshake(transport, target, until)
            _log_in(transport, target, until)
            undo.pop_all()
    return Connection(transport, key)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _handshake(transport: paramiko.Transport, target: Target, until: float) -> str:
    known = [entry.kind for entry in known_hosts.entries(target.key_name, target.known_hosts) if not entry.revoked]
    options = transport.get_security_options()
    options.ciphers = tuple(cipher for cipher in _CIPHERS if cipher in options.ciphers)
    # A host has several keys; ask for the kind we know, else a known host looks like a changed one.
    wanted = [signature for kind in known for signature in _SIGNATURES.get(kind, (kind,))]
    offered = tuple(options.key_types)
    options.key_types = tuple(sorted(offered, key=lambda kind: wanted.index(kind) if kind in wanted else len(wanted)))
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = _left(until)
    transport.start_client(timeout=_left(until))
    key = transport.get_remote_server_key()
    known_hosts.check(target.key_name, key.get_name(), key.get_base64(), target.known_hosts)
    return f"{key.get_name()} {key.get_base64()}"


def _log_in(transport: paramiko.Transport, target: Target, until: float) -> None:
    problems: list[str] = []
    tried: list[str] = []
    for where, key in _keys(target, problems):
        _left(until)
        tried.append(where)
        try:
            transport.auth_publickey(target.user, key)
        except paramiko.BadAuthenticationType as error:
            problems.append(f"the host takes {', '.join(error.allowed_types)} only")
            break
        except paramiko.AuthenticationException:
            if not transport.is_active():
                problems.append("the host hung up after too many keys")
                break
            continue
        if transport.is_authenticated():
            return
        problems.append("the host wants more than a key")
        break
    said = f" (tried {', '.join(tried)})" if tried else " (there is no key to try)"
    if problems:
        said += ": " + "; ".join(problems)
    where = f"-p {target.port} " if target.port != 22 else ""
    raise Unreachable(
        f"{target.host} does not let {target.user} in{said}",
        f"ssh-copy-id {where}{target.user}@{target.host}, or load the right key with ssh-add",
        code="auth",
    )


def _keys(target: Target, problems: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """The keys to try, files that were asked for before the agent's; unusable files are told in ``problems``."""
    for path in target.identities:
        if not path.exists():
            if not target.use_agent:
                problems.append(f"{path} does not exist")
            continue
        try:
            key = paramiko.PKey.from_path(path)
            certificate = path.with_name(path.name + "-cert.pub")
            if certificate.exists():
                key.load_certificate(str(certificate))
            yield str(path), key
        except (paramiko.PasswordRequiredException, TypeError):
            problems.append(f"{path} has a passphrase: ssh-add it")
        except (paramiko.SSHException, ValueError, OSError) as error:
            problems.append(f"{path} cannot be read: {error}")
    if target.use_agent:
        agent = paramiko.Agent()
        try:
            for key in agent.get_keys():
                yield f"the agent's {key.get_name()}", key
        finally:
            agent.close()


@contextlib.contextmanager
def _explained(target: Target, timeout: float) -> Iterator[None]:
    """Whatever goes wrong becomes an error with words for people."""
    place = f"{target.host}:{target.port}"
    try:
        yield
    except UmsuiError:
        raise
    except socket.gaierror as error:
        raise Unreachable(f"the name {target.host} cannot be resolved", "check its spelling and the DNS") from error
    except ConnectionRefusedError as error:
        raise Unreachable(f"nothing listens on {place}", "is sshd running there, and is this its port?") from error
    except TimeoutError as error:
        raise TimedOut(
            f"{place} did not answer within {timeout:.3g} s", "is the machine up, and does a firewall let SSH through?"
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        if "timeout" in str(error).lower() or "timed out" in str(error).lower():
            raise TimedOut(f"{place} did not finish its SSH greeting within {timeout:.3g} s: {error}") from error
        said = str(error) or type(error).__name__
        raise Unreachable(f"no SSH connection to {place}: {said}", f"try `ssh -v {target.name}`") from error
