"""Frames on a byte stream: four bytes of length (big endian), then that many bytes of JSON.

Both ends use this module: the agent on its standard input and output, ``umsui.core.session`` on the SSH channel.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import Any, Callable, Dict, Optional

LIMIT = 16 << 20  # a longer frame is a fault of the peer, not a message

Message = Dict[str, Any]


class BadFrame(Exception):
    """What came is not a frame: too long, or not JSON. ``head``: the bytes that should have been its length."""

    head = b""


def encode(message: Message) -> bytes:
    """A message as one frame. Raises BadFrame when it is too long: the peer would hang up."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > LIMIT:
        raise BadFrame(f"a frame of {len(body)} bytes")
    return struct.pack(">I", len(body)) + body


class Reader:
    """Reads frames with ``read(size) -> bytes`` (b"" at the end)."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def next(self) -> Optional[Message]:
        """The next message; None at the end of the stream. Raises BadFrame."""
        head = self._exactly(4)
        if head is None:
            return None
        (size,) = struct.unpack(">I", head)
        if size > LIMIT:
            error = BadFrame(f"a frame of {size} bytes")
            error.head = head
            raise error
        body = self._exactly(size)
        if body is None:
            return None
        try:
            message = json.loads(body)
        except ValueError as error:
            raise BadFrame(str(error)) from error
        if not isinstance(message, dict):
            raise BadFrame("a frame that is no object")
        return message

    def _exactly(self, size: int) -> Optional[bytes]:
        parts = []
        while size:
            part = self._read(min(size, 1 << 16))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class Writer:
    """Writes frames with ``write(bytes)``; one at a time, from any thread."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message whole. Raises BadFrame when it is too long."""
        frame = encode(message)
        with self._lock:
            self._write(frame)
