"""A program that joins its standard input and output to a command in a pod: ``exec``, over a WebSocket.

``python -IS kubernetes_bridge.py FD``: what to connect to comes as JSON from descriptor FD (never from the command
line: it has credentials). Standard library only, so that it is up in no time. The end of the input cannot be told to
the other side (``v4.channel.k8s.io`` has no word for it). Where that matters, the input is sent in frames (``framed``):
four bytes of length, big endian, and that much; none at all is the end. The command in the pod has to take it so
(``/umsui/init --talk --framed``). Elsewhere the input goes as it is, and its end breaks the connection off, which the
command sees as its end. Ends with the command's own status.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import ssl
import struct
import sys
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 17
SILENCE = 30  # seconds until the other end is asked whether it is there: balancers forget who is silent for minutes
PATIENCE = 15.0  # seconds for a connection, and for the API to begin
STDIN, STDOUT, STDERR, STATUS = b"\0", 1, 2, 3
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


def connect(told: dict[str, Any]) -> tuple[ssl.SSLSocket | socket.socket, bytes]:
    """A WebSocket to the API, and what came after its first answer. Ends the program when it is refused."""
    url = urlsplit(told["url"])
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    way: ssl.SSLSocket | socket.socket = socket.create_connection((host, port), timeout=PATIENCE)
    way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    way.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a word may be waited for while gigabytes go elsewhere
    way.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=told["ca"] or None)
        if not told["verify"]:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if told["certificate"]:
            context.load_cert_chain(told["certificate"], told["key"])
        way = context.wrap_socket(way, server_hostname=told["server_name"] or host)
    lines = [
        f"GET {url.path.rstrip('/')}{told['path']} HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Protocol: v4.channel.k8s.io",
        *([f"Authorization: {told['authorization']}"] if told["authorization"] else []),
    ]
    way.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = way.recv(CHUNK)
        if not part:
            sys.exit("the API hung up")
        answer += part
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        sys.exit(refusal(head, rest, way))
    way.setblocking(False)
    return way, rest


def refusal(head: bytes, body: bytes, way: ssl.SSLSocket | socket.socket) -> str:
    """What the API says instead of opening the stream."""
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    while len(body) < length:
        part = way.recv(CHUNK)
        if not part:
            break
        body += part
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError):
        return head.split(b"\r\n", 1)[0].decode(errors="replace")


def frame(kind: int, data: bytes) -> bytes:
    """One message. Its mask is zero: the way is encrypted, and no proxy reads along."""
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x80 | kind, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, size)
    return head + b"\0\0\0\0" + data


class Bridge:
    """Everything that goes to and fro, in one thread."""

    def __init__(self, way: ssl.SSLSocket | socket.socket, rest: bytes, framed: bool) -> None:
        self.way = way
        self.framed = framed
        self.came = bytearray(rest)
        self.out = bytearray()
        self.message = bytearray()  # of several parts
        self.input = True

    def run(self) -> int:
        """Until the command ends; its status."""
        status = self.take()
        while status is None:
            if not (self.input or self.framed or self.out):
                return 0  # whoever could be told of its status has gone
            self.wait()
            self.send()
            status = self.receive()
        return status

    def wait(self) -> None:
        """Until something can be done."""
        if isinstance(self.way, ssl.SSLSocket) and self.way.pending():
            return
        reading: list[Any] = [self.way]
        if self.input and not self.out:
            reading.append(0)
        ready, _, _ = select.select(reading, [self.way] if self.out else [], [])
        if 0 in ready:
            part = os.read(0, CHUNK)
            self.input = bool(part)
            if self.framed:
                part = struct.pack(">I", len(part)) + part
            if part:
                self.out += frame(BINARY, STDIN + part)

    def send(self) -> None:
        """As much of what is to go as goes now."""
        while self.out:
            try:
                sent = self.way.send(self.out)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                return
            del self.out[:sent]

    def receive(self) -> int | None:
        """Pass on all that is here; the status, when the command has ended."""
        while True:
            try:
                part = self.way.recv(CHUNK)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return None
            if not part:
                return 1
            self.came += part
            status = self.take()
            if status is not None:
                return status

    def take(self) -> int | None:
        """Take whole messages off what came."""
        while len(self.came) >= 2:
            first, size, at = self.came[0], self.came[1] & 0x7F, 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                if len(self.came) < at + wide:
                    return None
                size = int.from_bytes(self.came[at : at + wide], "big")
                at += wide
            if len(self.came) < at + size:
                return None
            data = bytes(self.came[at : at + size])
            del self.came[: at + size]
            status = self.part(first & 0x0F, bool(first & 0x80), data)
            if status is not None:
                return status
        return None

    def part(self, kind: int, final: bool, data: bytes) -> int | None:
        """One frame of the connection."""
        if kind == CLOSE:
            return 1
        if kind == PING:
            self.out += frame(PONG, data)
        elif kind != PONG:
            self.message += data
            if final:
                whole, self.message = bytes(self.message), bytearray()
                return self.channel(whole[0], whole[1:]) if whole else None
        return None

    def channel(self, number: int, content: bytes) -> int | None:
        """One message: what the command says, or how it ended."""
        if number == STATUS:
            return ended(json.loads(content))
        write_all(2 if number == STDERR else 1, content)
        return None


def ended(status: dict[str, Any]) -> int:
    """The command's status, as the API reports it."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    sys.stderr.write(str(status.get("message") or status) + "\n")
    return 1


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main(descriptor: int) -> int:
    """Read what to connect to, connect, and be the bridge."""
    with os.fdopen(descriptor, "rb") as file:
        told = json.load(file)
    try:
        return Bridge(*connect(told), told["framed"]).run()
    except BrokenPipeError:
        return 1
    except OSError as error:
        sys.stderr.write(f"the way through the API broke: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
