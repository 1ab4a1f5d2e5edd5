"""No polls while a service stands still."""

from __future__ import annotations

import threading
import time

import pytest

from umsui.config import ClusterConfig, NodeConfig
from umsui.coordinator import quiet
from umsui.coordinator.quiet import Quiet
from umsui.coordinator.watcher import Watcher
from umsui.model import Node, Service


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "LOOK", 0.02)


def waits(this: Quiet, within: float, asked: threading.Event | None = None) -> bool:
    """Whether a poll still waits after so many seconds."""
    waiting = threading.Thread(target=this.rest, args=(asked or threading.Event(),), daemon=True)
    waiting.start()
    waiting.join(within)
    return waiting.is_alive()


def test_a_poll_waits_until_the_last_switch_is_over() -> None:
    this = Quiet()
    assert not waits(this, 5)
    this.begin("one")
    this.begin("two")
    this.begin("two")
    this.end("one")
    this.end("one")
    assert waits(this, 0.2)
    this.end("two")
    assert not waits(this, 5)
    this.end("one that never began")
    assert not waits(this, 5)


def test_who_asks_is_not_left_waiting() -> None:
    this, asked = Quiet(), threading.Event()
    this.begin("one")
    asked.set()
    assert not waits(this, 5, asked)


def test_the_board_does_not_go_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "LONGEST", 0.3)
    this = Quiet()
    this.begin("one that hangs")
    began = time.monotonic()
    assert not waits(this, 10)
    assert time.monotonic() - began >= 0.3


class Host:
    """Orchestrator and transport of one node; counts its polls."""

    name = "podman"

    def __init__(self) -> None:
        self.polls = 0

    def survey(self, transport: object, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        self.polls += 1
        return node, ()

    def close(self) -> None: ...


def test_a_node_is_left_alone_meanwhile_unless_somebody_asks() -> None:
    this, host, stop = Quiet(), Host(), threading.Event()
    node = NodeConfig(name="n1", ssh="root@10.0.0.1")
    cluster = ClusterConfig(name="prod", provider="onprem", orchestrator="podman", nodes=(node,))
    watcher = Watcher(cluster, node, host, lambda *_, **__: host, lambda: None)  # type: ignore[arg-type]
    threading.Thread(target=watcher.run, args=(lambda: 0.01, stop, this), daemon=True).start()

    def polled(more: int, within: float) -> bool:
        before, end = host.polls, time.monotonic() + within
        while time.monotonic() < end and host.polls < before + more:
            time.sleep(0.01)
        return host.polls >= before + more

    try:
        assert polled(3, 10)
        this.begin("one")
        time.sleep(0.2)  # one that was under way
        assert not polled(1, 0.5)
        this.end("one")
        assert polled(3, 10)
        this.begin("two")
        time.sleep(0.2)
        assert not polled(1, 0.2)
        assert watcher.wait(watcher.look(), 10)
    finally:
        stop.set()
