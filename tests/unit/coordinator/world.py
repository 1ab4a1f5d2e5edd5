"""A scripted world for the coordinator's tests: two clusters with a node each, and a Move that does what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from umsui.errors import BadInput
from umsui.interface.protocol import End, Order
from umsui.model import (
    Approach,
    Cluster,
    ClusterState,
    Estimate,
    Migration,
    MigrationRequest,
    Node,
    Place,
    Plan,
    Port,
    Service,
    ServiceState,
    Specification,
    Strategy,
    Traffic,
)

HERE, THERE = Place("azure-lab", "n1"), Place("gcp-lab", "n1")
SPEC = Specification(name="memhog", image="memhog:latest", image_id="abc")


def request(**more: Any) -> MigrationRequest:
    return MigrationRequest("azure-lab/memhog", "gcp-lab", **more)


def migration(id: str = "aaaa", **more: Any) -> Migration:
    return Migration(
        id, "azure-lab/memhog", HERE, THERE, Approach.ORCHESTRATOR, Strategy.STOP_COPY, started=1.0, **more
    )


def plan_of(asked: MigrationRequest, **more: Any) -> Plan:
    values: dict[str, Any] = {
        "request": asked,
        "service": "azure-lab/memhog",
        "source": HERE,
        "destination": THERE,
        "approach": Approach.ORCHESTRATOR,
        "strategy": Strategy.STOP_COPY,
        "reason": "it is the only one",
        "verdicts": (),
        "findings": (),
        "downtime": Estimate(0.1, 0.2, 0.3),
        "total": Estimate(1.0, 2.0, 3.0),
        "bytes": {"memory": 1, "rootfs": 2, "volumes": 3, "image": 4},
    }
    return Plan(**{**values, **more})


def planned(asked: MigrationRequest, known: Any, *_: Any, **more: Any) -> tuple[Plan, Specification]:
    """``umsui.decision.planned`` in this world."""
    return plan_of(asked, **more), known.end(HERE).orchestrator.specification(None, "memhog")


class Hands:
    """An orchestrator and a transport that know one service."""

    name = "podman"
    address = "127.0.0.1"
    port = 22

    def __init__(self, spec: Specification = SPEC, runs: Mapping[str, str] | None = None) -> None:
        self.spec = spec
        self.runs = runs or {}

    def specification(self, transport: Any, service: str) -> Specification:
        return self.spec

    def raw(self, transport: Any, service: str) -> Mapping[str, Any]:
        if service not in self.runs:
            raise BadInput("there is none")
        return {"State": {"Status": self.runs[service]}}

    def logs(self, transport: Any, service: str, lines: int) -> list[str]:
        return ["hello", "wörld"]


@dataclass
class FakeInventory:
    """What ``umsui.coordinator.inventory.Inventory`` is to the engine."""

    spec: Specification = SPEC
    protected: bool = False
    refreshed: int = 0
    runs: dict[str, dict[str, str]] = field(default_factory=dict)  # cluster -> container -> status

    def clusters(self, without: str = "") -> list[Cluster]:
        service = Service(
            "azure-lab", "n1", "memhog", "id", "memhog:latest", ServiceState.UP, ports=(Port(8000, 8000),)
        )
        nodes = {name: (Node(name, "n1", "root@127.0.0.1:22", ClusterState.LIVE),) for name in ("azure-lab", "gcp-lab")}
        live = {"state": ClusterState.LIVE, "protected": self.protected}
        return [
            Cluster("azure-lab", "azure", "podman", nodes=nodes["azure-lab"], services=(service,), **live),
            Cluster("gcp-lab", "gcp", "podman", nodes=nodes["gcp-lab"], **live),
        ]

    def end(self, place: Place) -> End:
        hands: Any = Hands(self.spec, self.runs.get(place.cluster))
        return End(place, hands, hands)

    def watcher(self, place: Place) -> Any:
        words = f"there is no node {place.cluster}/{place.node}"
        raise BadInput(words, "`umsui nodes` lists them", code="unknown-node")

    def places(self) -> list[Place]:
        return [HERE, THERE]

    def ends(self) -> list[End]:
        return [self.end(HERE), self.end(THERE)]

    def refresh(self) -> list[Cluster]:
        self.refreshed += 1
        return self.clusters()

    def falters(self) -> bool:
        return False

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def look(self, *places: Place) -> None: ...
    def tell(self, name: str) -> None: ...


@dataclass
class Script:
    """What the next Move does: ``at`` names a call and what happens there; ``calls`` is what was called."""

    at: Mapping[str, Callable[[Order], None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    forgotten: bool = False

    def __call__(self, order: Order) -> ScriptedMove:
        return ScriptedMove(order, self)


class ScriptedMove:
    def __init__(self, order: Order, script: Script) -> None:
        self.order = order
        self.script = script

    def _do(self, name: str) -> None:
        self.script.calls.append(name)
        self.script.at.get(name, lambda order: None)(self.order)

    def connect(self) -> None:
        self._do("connect")

    def reserve(self) -> None:
        self._do("reserve")

    def copy_ahead(self) -> None:
        self._do("copy_ahead")

    def arm(self) -> None:
        self._do("arm")

    def intact(self) -> None:
        self.script.at.get("intact", lambda order: None)(self.order)

    def switch(self) -> None:
        for step in ("freeze", "checkpoint", "transfer", "restore"):
            self.order.emit("step", step=step, state="started")
            if step == "transfer":
                self._do("switch")
            self.order.emit("step", step=step, state="done", seconds=0.01)

    def commit(self) -> None:
        self._do("commit")

    def drain(self) -> None:
        self._do("drain")

    def rollback(self) -> None:
        self._do("rollback")

    def finish(self) -> None:
        self._do("finish")

    def forgotten(self) -> bool:
        return self.script.forgotten

    def traffic(self) -> Traffic:
        return Traffic(memory=5, wire=5)

    def close(self) -> None:
        self.script.calls.append("close")


def raising(error: Exception, times: int = 1_000_000) -> Callable[[Order], None]:
    left = [times]

    def act(order: Order) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return act
