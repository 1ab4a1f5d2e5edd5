"""A way into a container: the node's transport, through its orchestrator's ``exec``."""

from __future__ import annotations

from collections.abc import Sequence

from umsui.adapters import Completed, Stream, Transport


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


def exec_words(engine: str, container: str, *variables: str) -> list[str]:
    """What leads into a container; ``variables`` of the caller's environment go along."""
    return [engine, "exec", "-i", *(word for name in variables for word in ("-e", name)), "--user=0:0", container]
