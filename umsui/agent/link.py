"""How far and how wide: the link between two nodes, measured before a migration is planned."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from typing import Dict, Optional, Union

PATIENCE = 10.0  # seconds that a listener waits for its one caller
CHUNK = 1 << 18
RTT_AT = 68  # where tcpi_rtt is in struct tcp_info, linux/tcp.h


def listen() -> int:
    """Open a port for one measurement and answer its number; it swallows what one caller sends, and closes."""
    server = socket.socket()
    server.bind(("", 0))
    server.listen(1)
    server.settimeout(PATIENCE)
    port: int = server.getsockname()[1]
    threading.Thread(target=_swallow, args=(server,), daemon=True).start()
    return port


def _swallow(server: socket.socket) -> None:
    with server:
        try:
            caller, _ = server.accept()
        except OSError:
            return  # nobody called
        with caller:
            caller.settimeout(PATIENCE)
            try:
                while caller.recv(CHUNK):
                    pass
                caller.sendall(b".")
            except OSError:
                return  # the caller sees it


def measure(
    address: str, port: int, bulk: Optional[int] = None, seconds: float = 0.2
) -> Dict[str, Union[bool, float, str, None]]:
    """Round-trip time to ``address:port`` and, with a listener at ``bulk``, the bandwidth in bytes/s.

    An unshaped link is left after ``seconds``. Where the listener cannot be reached (a firewall lets only SSH through)
    the bandwidth is None.
    """
    try:
        with socket.create_connection((address, port), timeout=5.0) as stream:
            rtt = _round_trip(stream)
    except OSError as error:
        return {"reachable": False, "error": str(error), "rtt": None, "bandwidth": None}
    return {
        "reachable": True,
        "error": "",
        "rtt": rtt,
        "bandwidth": _bandwidth(address, bulk, seconds) if bulk else None,
    }


def _round_trip(stream: socket.socket) -> float:
    """As the kernel saw the connect, in seconds: this program may have waited for a processor meanwhile."""
    told = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RTT_AT + 4)
    microseconds: int = struct.unpack_from("=I", told, RTT_AT)[0]
    return microseconds / 1e6


def _bandwidth(address: str, port: int, seconds: float) -> Optional[float]:
    block = os.urandom(CHUNK)
    try:
        with socket.create_connection((address, port), timeout=2.0) as stream:
            stream.settimeout(PATIENCE)
            sent, began = 0, time.monotonic()
            while time.monotonic() - began < seconds:
                stream.sendall(block)
                sent += len(block)
            stream.shutdown(socket.SHUT_WR)
            stream.recv(1)
            return sent / (time.monotonic() - began)
    except OSError:
        return None
