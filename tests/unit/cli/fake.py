"""A coordinator that is none: answers what it was told to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from umsui.documents import result_document
from umsui.errors import BadInput, UmsuiError, Unreachable
from umsui.model import (
    Approach,
    Authority,
    Cluster,
    ClusterState,
    Estimate,
    Event,
    Failure,
    Finding,
    Migration,
    MigrationRequest,
    Node,
    Outcome,
    Overhead,
    Place,
    Plan,
    Port,
    Service,
    ServiceState,
    Strategy,
    Traffic,
    Verdict,
)

MIB = 1 << 20


def board() -> list[Cluster]:
    live = ClusterState.LIVE
    memhog = Service(
        "azure-lab", "azure-1", "memhog", "c1", "memhog:1", ServiceState.UP, memory=64 * MIB, processes=1,
        ports=(Port(8000, 8000),),
    )  # fmt: skip
    return [
        Cluster(
            "azure-lab", "azure", "podman", state=live, age=0.4,
            nodes=(Node("azure-lab", "azure-1", "root@10.77.0.11", live, software={"podman": "5.4.2"}),),
            services=(memhog,),
        ),
        Cluster(
            "gcp-lab", "gcp", "podman", state=live, age=3,
            nodes=(Node("gcp-lab", "gcp-1", "root@10.77.0.12", live),),
        ),
        Cluster(
            "onprem-lab", "onprem", "podman", authority=Authority.LIMITED, state=ClusterState.UNREACHABLE,
            error="no route to host", fix="start it", age=200,
            nodes=(Node("onprem-lab", "onprem-1", "root@10.77.0.13", ClusterState.UNREACHABLE, "no route to host"),),
        ),
    ]  # fmt: skip


MIGRATION = Migration(
    id="20261124-aaaa",
    service="azure-lab/memhog",
    source=Place("azure-lab", "azure-1"),
    destination=Place("gcp-lab", "gcp-1"),
    approach=Approach.ORCHESTRATOR,
    strategy=Strategy.STOP_COPY,
    reason="the only feasible one",
    outcome=Outcome.COMMITTED,
    downtime=0.21,
    overhead=Overhead(0.3, 0.1, 0.12, 0.08, 1.2),
    predicted={"downtime": [0.1, 0.2, 0.3], "total": [0.9, 1.1, 1.9]},
    bytes=Traffic(memory=64 * MIB, wire=65 * MIB),
    endpoint="10.77.0.12:8000",
    started=1.8e9,
    finished=1.8e9 + 1.2,
    cancellable=False,
)


def plan(**changes: Any) -> Plan:
    downtime, total = Estimate(0.1, 0.2, 0.3), Estimate(0.9, 1.1, 1.9)
    base = Plan(
        request=MigrationRequest("memhog", "gcp-lab"),
        service="azure-lab/memhog",
        source=Place("azure-lab", "azure-1"),
        destination=Place("gcp-lab", "gcp-1"),
        approach=Approach.ORCHESTRATOR,
        strategy=Strategy.STOP_COPY,
        reason="the only feasible one",
        verdicts=(
            Verdict(Approach.ORCHESTRATOR, Strategy.STOP_COPY, True, "full control", "", downtime, total),
            Verdict(Approach.SERVICE, Strategy.STOP_COPY, False, "not built yet", "wait"),
        ),
        findings=(
            Finding("criu", True, False, "CRIU 4.2.1", where="gcp-lab/gcp-1"),
            Finding("connections", False, False, "1 open connection", "closed", "reconnect", "azure-lab/memhog"),
        ),
        downtime=downtime,
        total=total,
        bytes={"memory": 64 * MIB, "rootfs": 0, "volumes": 0, "image": 0},
        endpoint="10.77.0.12:8000",
    )
    return replace(base, **changes)


BLOCKER = Finding("port", False, True, "port 8000/tcp is taken there", "clients know it", "stop it", "gcp-lab/gcp-1")


def events(ended: Migration) -> list[Event]:
    t, said = 1000.0, ended.id
    steps = [("verify", 0.0, 0.1), ("freeze", 0.5, 0.01), ("checkpoint", 0.51, 0.1), ("restore", 0.61, 0.08)]
    found = [Event(t, said, "phase", {"phase": "pre-migration"})]
    for name, start, took in [*steps, ("commit", 0.7, 0.02), ("clean-up", 0.8, 0.1)]:
        found.append(Event(t + start, said, "step", {"step": name, "state": "started"}))
        found.append(Event(t + start + took, said, "step", {"step": name, "state": "done", "seconds": took}))
    found += [
        Event(t + 0.6, said, "progress", {"what": "memory", "done": MIB, "total": 64 * MIB, "rate": 1e8}),
        Event(t + 0.73, said, "probe", {"samples": [], "down": None, "downtime": 0.21}),
        Event(t + 0.8, said, "log", {"level": "warning", "message": "a remark"}),
        Event(t + 1.2, said, "outcome", {"result": result_document(ended)}),
    ]
    return found


class Fake:
    """An Api."""

    def __init__(self) -> None:
        self.clusters: list[Cluster] = board()
        self.planned = plan()
        self.ended = MIGRATION
        self.known = [MIGRATION, replace(MIGRATION, id="20261123-bbbb", outcome=Outcome.ROLLED_BACK)]
        self.findings: list[Finding] = list(self.planned.findings)
        self.running = True
        self.raises: UmsuiError | None = None  # from the next plan or migrate
        self.asked: list[Any] = []
        self.interrupt_at: list[int] = []  # Ctrl+C at these events
        self.lose_at: list[int] = []  # the connection is lost before these events

    def info(self) -> dict[str, Any]:
        if not self.running:
            raise Unreachable("no coordinator answers", "start it")
        return {"version": "0.1.0", "pid": 7, "started": 1.8e9, "config": "/x/config.toml", "data": "/d",
                "recordings": "/d/r", "migrations_running": 0}  # fmt: skip

    def board(self, *, whole: bool = True) -> Sequence[Cluster]:
        return self.clusters

    def refresh(self, *, whole: bool = True) -> Sequence[Cluster]:
        self.asked.append("refresh")
        self.clusters = board()
        return self.clusters

    def plan(self, request: MigrationRequest) -> Plan:
        self.asked.append(("plan", request))
        if self.raises:
            raise self.raises
        return self.planned

    def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        self.asked.append(("migrate", request, confirm))
        if self.raises:
            raise self.raises
        return replace(self.ended, outcome=None, error=None)

    def migrations(self) -> Sequence[Migration]:
        return self.known

    def migration(self, migration_id: str) -> Migration:
        if migration_id == self.ended.id:
            return self.ended
        return next(each for each in self.known if each.id == migration_id)

    def events(self, migration_id: str) -> Iterator[Event]:
        for number, event in enumerate(events(self.ended)):
            if number in self.interrupt_at:
                self.interrupt_at.remove(number)
                raise KeyboardInterrupt
            if number in self.lose_at:
                self.lose_at.remove(number)
                raise Unreachable("gone")
            yield event

    def resolve(self, migration_id: str) -> Migration:
        self.asked.append(("resolve", migration_id))
        return self.migration(migration_id)

    def cancel(self, migration_id: str) -> Migration:
        self.asked.append(("cancel", migration_id))
        if self.raises:
            raise self.raises
        return self.ended

    def doctor(self, node: str | None = None) -> Sequence[Finding]:
        self.asked.append(("doctor", node))
        return self.findings

    def shutdown(self, force: bool = False) -> None:
        self.asked.append(("shutdown", force))
        if not self.running:
            raise Unreachable("no coordinator answers")
        self.running = False


def failed(outcome: Outcome, code: str = "broken", step: str = "transfer") -> Migration:
    return replace(
        MIGRATION, outcome=outcome, downtime=None, error=Failure(step, code, "the link broke", "mend the link")
    )


def bad_input() -> BadInput:
    return BadInput("there is no cluster gpc-lab", "did you mean `gcp-lab`?", code="unknown-cluster")
