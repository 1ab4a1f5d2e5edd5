"""A coordinator that kills itself with SIGKILL where it is told to; two nodes whose state outlives it, in a file."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbos import DBOS

from umsui.config import Config
from umsui.coordinator import engine as engine_module
from umsui.coordinator import workflow
from umsui.coordinator.bus import Bus
from umsui.coordinator.engine import Engine
from umsui.coordinator.journal import Journal
from umsui.coordinator.run import Run
from umsui.interface.protocol import Order
from umsui.model import Approach, Strategy, Traffic

from .world import FakeInventory, planned, request

KIND = (Approach.ORCHESTRATOR, Strategy.STOP_COPY, "podman", "podman")
WITHIN = 30.0  # seconds for a migration that is taken up


class Nodes:
    """What is where: changed by renaming a file, as real nodes outlive a coordinator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "nodes.json"
        if not self.file.exists():
            self._write({"source": "running", "destination": "none", "notes": "kept", "calls": [], "wrong": []})

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def _write(self, state: dict[str, Any]) -> None:
        new = self.folder / "nodes.new"
        new.write_text(json.dumps(state))
        new.rename(self.file)

    def change(self, call: str = "", wrong: str = "", **ends: str) -> None:
        state = {**self.state, **ends}
        state["calls"] += [call] if call else []
        state["wrong"] += [wrong] if wrong else []
        if state["source"] == "running" and state["destination"] == "running":
            state["wrong"].append(f"two copies after {call}")
        self._write(state)

    def die(self, point: str) -> None:
        """End here and now, if it is the next of the points at which to."""
        file = self.folder / "die.json"
        points = json.loads(file.read_text())
        if points and points[0] == point:
            file.write_text(json.dumps(points[1:]))
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


class Move:
    """As an approach: idempotent steps, and no memory but the nodes'."""

    def __init__(self, nodes: Nodes, order: Order) -> None:
        self.nodes = nodes
        self.order = order

    def _step(self, name: str, *changes: dict[str, str]) -> None:
        self.nodes.die(f"{name}:before")
        self.nodes.change(name)
        for number, change in enumerate(changes):
            if number:
                self.nodes.die(f"{name}:middle")
            self.nodes.change("", **change)
        self.nodes.die(f"{name}:after")

    def connect(self) -> None:
        self._step("connect")

    def reserve(self) -> None:
        self._step("reserve", {"destination": "reserved"})

    def copy_ahead(self) -> None:
        self._step("copy_ahead")

    def arm(self) -> None:
        self._step("arm")

    def switch(self) -> None:
        for step in ("freeze", "checkpoint", "transfer", "restore"):
            self.order.emit("step", step=step, state="started")
            if step == "freeze":
                self._step("switch", {"source": "frozen"}, {"destination": "gated"})
            self.order.emit("step", step=step, state="done", seconds=0.01)

    def commit(self) -> None:
        if self.nodes.state["destination"] not in ("gated", "running"):
            self.nodes.change(wrong=f"commit of a destination that is {self.nodes.state['destination']}")
        self._step("commit", {"destination": "running"})

    def rollback(self) -> None:
        if "commit" in self.nodes.state["calls"]:
            self.nodes.change(wrong="rollback after commit")
        self._step("rollback", {"destination": "none"}, {"source": "running"})

    def intact(self) -> None: ...

    def drain(self) -> None: ...

    def finish(self) -> None:
        if self.nodes.state["destination"] != "running":
            self.nodes.change(wrong="the source removed, and nothing runs")
        if self.forgotten():
            self.nodes.change(wrong="clean nodes were asked again")
        self._step("finish", {"source": "gone"}, {"notes": "none"})

    def forgotten(self) -> bool:
        return self.nodes.state["notes"] == "none"

    def traffic(self) -> Traffic:
        return Traffic()

    def close(self) -> None: ...


def around(kind: type[Any], name: str, nodes: Nodes, when: Callable[..., str]) -> None:
    """Let ``kind.name`` die before and after it does its work, where ``when(*arguments)`` gives it a name."""
    real = getattr(kind, name)

    def wrapped(self: Any, *arguments: Any, **more: Any) -> Any:
        point = when(*arguments)
        nodes.die(f"{point}:before")
        found = real(self, *arguments, **more)
        nodes.die(f"{point}:after")
        return found

    setattr(kind, name, wrapped)


def coordinator(folder: Path, first: bool) -> None:
    """A coordinator's whole life: take up what is left, begin a migration if it is the first, end when all ended."""
    nodes = Nodes(folder)
    around(Journal, "add", nodes, lambda *_: "add")
    around(Journal, "planned", nodes, lambda *_: "planned")
    around(Journal, "decide", nodes, lambda _, decision, __: decision.value)
    around(Journal, "update", nodes, lambda migration: "final" if migration.finished else "")
    around(Journal, "record", nodes, lambda event: event.kind if event.kind == "outcome" else "")
    around(Run, "worked", nodes, lambda: "cleaned")
    around(Run, "has_done", nodes, lambda step: step.value)
    engine_module.APPROACHES = {KIND: lambda order: Move(nodes, order)}  # type: ignore[attr-defined]
    engine_module.planned = planned  # type: ignore[attr-defined]
    real_verify = workflow._verify

    def verify(run: Any) -> Any:
        nodes.change("verify")
        nodes.die("verify:before")
        return real_verify(run)

    workflow._verify = verify
    journal = Journal(folder)
    engine = Engine(Config(), journal, Bus())
    ends = zip(("azure-lab", "gcp-lab"), (nodes.state["source"], nodes.state["destination"]), strict=True)
    runs = {cluster: {"memhog": end} for cluster, end in ends if end in ("running", "frozen")}
    engine.inventory = FakeInventory(runs=runs)  # type: ignore[assignment]
    engine.start(folder)
    if first:
        engine.migrate(request(), "")
    end = time.monotonic() + WITHIN
    while busy(journal, engine) and time.monotonic() < end:
        time.sleep(0.01)
    os._exit(3 if busy(journal, engine) else 0)


def busy(journal: Journal, engine: Engine) -> bool:
    """Whether anything goes on, or has not noted yet that it ended."""
    return bool(journal.running() or engine.running() or DBOS.list_workflows(status=["PENDING", "ENQUEUED"]))
