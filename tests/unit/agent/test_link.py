"""A link's figures do not depend on how busy the machine is that measures it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from umsui.agent import link


@pytest.fixture
def door() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_slow_program_makes_no_long_link(door: int, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    def slowly(address: tuple[str, int], timeout: float) -> socket.socket:
        stream = connect(address, timeout)
        time.sleep(0.05)  # somebody else has the processor
        return stream

    monkeypatch.setattr(socket, "create_connection", slowly)
    found = link.measure("127.0.0.1", door)
    assert found["reachable"] is True
    assert isinstance(found["rtt"], float)
    assert 0 < found["rtt"] < 0.02
    assert found["bandwidth"] is None


def test_its_width(door: int) -> None:
    wide = link.measure("127.0.0.1", door, link.listen(), seconds=0.05)["bandwidth"]
    assert isinstance(wide, float)
    assert wide > 1e6


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = link.measure("127.0.0.1", port)
    assert found["reachable"] is False
    assert "refused" in str(found["error"])
