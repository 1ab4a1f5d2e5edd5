"""The benchmark's client."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

from umsui.bench.watcher import Watcher
from umsui.coordinator.prober import Address


def serve(stop: threading.Event) -> int:
    """A server that answers until ``stop``, then only accepts, as a frozen one does. Returns its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)

    def run() -> None:
        while True:
            stream, _ = listening.accept()
            if stop.is_set():
                return
            with closing(stream):
                stream.recv(512)
                stream.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    threading.Thread(target=run, daemon=True).start()
    return int(listening.getsockname()[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_downtime_is_from_the_last_reply_there_to_the_first_here() -> None:
    frozen, destination = threading.Event(), free_port()
    here = serve(frozen)
    with Watcher(Address("127.0.0.1", here, 8000), Address("127.0.0.1", destination, 8000)) as seen:
        assert seen.downtime is None
        frozen.set()
        time.sleep(0.2)
        with socket.create_server(("127.0.0.1", destination), backlog=256) as arrived:
            stream, _ = arrived.accept()
            with closing(stream):
                stream.recv(512)
                stream.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                assert seen.wait(5.0)
    assert seen.downtime is not None
    assert 0.18 <= seen.downtime < 1.0


def test_no_reply_is_no_downtime() -> None:
    with Watcher(Address("127.0.0.1", free_port(), 8000), Address("127.0.0.1", free_port(), 8000)) as seen:
        assert not seen.wait(0.05)
    assert seen.downtime is None
