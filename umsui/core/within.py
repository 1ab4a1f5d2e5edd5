"""A way into a container, through its orchestrator's ``exec``: on a node, or through a cluster's API."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

from umsui.adapters import ApiOrchestrator, Completed, Stream, Transport
from umsui.errors import BadInput, TimedOut, Unreachable


class Within:
    """A Transport to a running container. Its address is its node's: containers are reached through that."""

    def __init__(self, transport: Transport, engine: str, container: str) -> None:
        self._transport = transport
        self._words = exec_words(engine, container)

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        """Run a command in the container as root; a non-zero status is returned."""
        return self._transport.run([*self._words, *argv], stdin=stdin, timeout=timeout)

    def open(self, argv: Sequence[str]) -> Stream:
        """Start a program in the container and stay connected."""
        return self._transport.open([*self._words, *argv])

    def program(self, argv: Sequence[str]) -> list[str]:
        """A local program joined with one in the container."""
        return self._transport.program([*self._words, *argv])

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """The same, running; its three ends are pipes."""
        ends = subprocess.PIPE
        return subprocess.Popen(self.program(argv), stdin=ends, stdout=ends, stderr=ends, start_new_session=True)

    @property
    def address(self) -> str:
        """The node's address."""
        return self._transport.address

    @property
    def port(self) -> int:
        """The node's SSH port."""
        return self._transport.port

    @property
    def host_key(self) -> str:
        """The node's verified host key."""
        return self._transport.host_key

    def close(self) -> None:
        """Nothing: the connection is the node's, and others use it."""


class InPod:
    """A Transport to a running pod. It has no address: nothing but its cluster's API leads there.

    A program there sees the end of its input only when the connection ends.
    """

    address, port, host_key = "", 0, ""

    def __init__(self, orchestrator: ApiOrchestrator, transport: Transport, pod: str) -> None:
        self._orchestrator, self._transport, self._pod = orchestrator, transport, pod

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        """Run a command in the pod's container; a non-zero status is returned. Raises TimedOut."""
        process = self.start(argv)
        assert process.stdin is not None
        held, process.stdin = process.stdin, None  # else it would be closed at once
        with held, process:
            held.write(stdin)
            held.flush()
            try:
                out, words = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TimedOut(f"`{argv[0]}` did not end in {self._pod} within {timeout:g} s") from None
        return Completed(process.returncode, out, words)

    def open(self, argv: Sequence[str]) -> Stream:
        """Start a program in the container and stay connected."""
        return Joined(self.start(argv))

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """A local program joined with one in the container; its three ends are pipes."""
        return self._orchestrator.program(self._transport, self._pod, argv)

    def program(self, argv: Sequence[str]) -> list[str]:
        """Raises BadInput: its words alone, with no credentials, would lead nowhere."""
        raise BadInput(f"`{argv[0]}` cannot be started in a pod from a command line")

    def close(self) -> None:
        """Nothing is held."""


class Joined:
    """A Stream through a local program's standard input and output."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; b"" at its end."""
        return os.read(self._out.fileno(), size)

    def write(self, data: bytes) -> None:
        """All of ``data``. Raises Unreachable when the program has ended."""
        try:
            self._in.write(data)
            self._in.flush()
        except (OSError, ValueError) as error:
            raise Unreachable(f"the connection is gone: {error}", code="connection-lost") from error

    def close(self) -> None:
        """Break it off."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what it could not be told any more
            self._in.close()

    def stderr_tail(self) -> str:
        """What it complained of, once it has ended."""
        self.close()
        return self._process.stderr.read().decode(errors="replace").strip()[-400:] if self._process.stderr else ""


def exec_words(engine: str, container: str) -> list[str]:
    """What leads into a container."""
    return [engine, "exec", "-i", "--user=0:0", container]
