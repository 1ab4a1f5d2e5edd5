"""A coordinator that plays a recorded list of events, as far as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.console import scenario
from umsui.benchmarks import Benchmark
from umsui.console.documents import finished
from umsui.console.feed import Info, Item, ServiceDetail
from umsui.errors import BadInput, UmsuiError, Unreachable
from umsui.model import (
    Cluster,
    Event,
    Failure,
    Finding,
    Migration,
    MigrationRequest,
    Operation,
    Outcome,
    Overhead,
    Phase,
    Place,
    Plan,
    ServiceState,
    Step,
    Traffic,
)
from umsui.vitals import LogLines, NodeDetail, Shell, Vitals

RECORDINGS = Path(__file__).parent / "recordings"


def load(name: str = "memhog") -> list[Event]:
    """A recording, an event a line."""
    events = []
    for line in (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        data: dict[str, Any] = json.loads(line)
        events.append(Event(data.pop("t"), data.pop("migration"), data.pop("kind"), data))
    return events


@dataclass
class StillClock:
    """Stands still unless moved."""

    now: float = 1000.0

    def wall(self) -> float:
        return scenario.START + self.now - 1000.0

    def steady(self) -> float:
        return self.now


class FakeFeed:
    """``play`` lets the recording run on; ``paced`` plays it by itself in real time."""

    def __init__(self, clock: Any = None, *, paced: bool = False, speed: float = 1.0) -> None:
        self.clock = clock or StillClock()
        self.clusters: dict[str, Cluster] = {c.name: c for c in scenario.clusters()}
        self.known: dict[str, Migration] = {}
        self.told: dict[str, list[Event]] = {}
        self.script: list[Event] = []
        self.planned: list[MigrationRequest] = []
        self.requests: list[tuple[MigrationRequest, str]] = []
        self.cancelled: list[str] = []
        self.undoing = False  # a cancellation takes its time, until ``called_off``
        self.refreshed = 0
        self.woken = 0
        self.looks = 0
        self.asked: list[str] = []
        self.measured = False
        self.operations: list[Operation] = []
        self.plans: list[Plan] = []  # the next ones; then the scenario's
        self.benches: list[Benchmark] = scenario.benchmarks()
        self.gone = False
        self.refusal: UmsuiError | None = None
        self.plan_gate: asyncio.Event | None = None
        self._readers: list[asyncio.Queue[LogLines]] = []
        self._watchers: list[asyncio.Queue[Item | None]] = []
        self._listeners: list[tuple[str, asyncio.Queue[Event]]] = []
        self._paced, self._speed = paced, speed
        self._tasks: set[asyncio.Task[None]] = set()

    # The façade.

    async def wake(self) -> None:
        self.woken += 1

    async def info(self) -> Info:
        self._there()
        return Info("0.1", 4711)

    async def board(self) -> Sequence[Cluster]:
        self._there()
        return list(self.clusters.values())

    async def watch(self) -> AsyncIterator[Item]:
        self._there()
        queue: asyncio.Queue[Item | None] = asyncio.Queue()
        self._watchers.append(queue)
        for cluster in list(self.clusters.values()):
            yield cluster
        for migration in list(self.known.values()):
            yield migration
        while (item := await queue.get()) is not None:
            yield item
        raise Unreachable("the coordinator closed the connection", "umsui coordinator run")

    async def refresh(self) -> Sequence[Cluster]:
        self._there()
        self.refreshed += 1
        return list(self.clusters.values())

    async def plan(self, request: MigrationRequest) -> Plan:
        self._there()
        self.planned.append(request)
        if self._paced:
            await asyncio.sleep(0.8 / self._speed)
        if self.plan_gate is not None:
            await self.plan_gate.wait()
        return self.plans.pop(0) if self.plans else scenario.plan(request)

    async def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        self._there()
        self.requests.append((request, confirm))
        if self.refusal is not None:
            raise self.refusal
        return self.start(request)

    async def switch(self, node: str, action: str) -> Operation:
        self._there()
        self.asked.append(f"{action} {node}")
        cluster, _, name = node.partition("/")
        self.operations = [Operation("op1", Place(cluster, name), action, note="STAGING", progress=0.4),
                           Operation("op1", Place(cluster, name), action, "done")]  # fmt: skip
        return self.operations.pop(0)

    async def operation(self, number: str) -> Operation:
        self._there()
        return self.operations.pop(0)

    async def migrations(self) -> Sequence[Migration]:
        self._there()
        return sorted(self.known.values(), key=lambda m: -m.started)

    async def events(self, migration: str) -> AsyncIterator[Event]:
        self._there()
        if migration not in self.known:
            raise BadInput(f"there is no migration {migration}")
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners.append((migration, queue))
        for event in list(self.told.get(migration, ())):
            queue.put_nowait(event)
        while True:
            event = await queue.get()
            yield event
            if event.kind == "outcome":
                return

    async def cancel(self, migration: str) -> Migration:
        self._there()
        self.cancelled.append(migration)
        self.script.clear()
        if not self.undoing:
            self.called_off(migration)
        return self.known[migration]

    def called_off(self, migration: str) -> None:
        """What was done is undone."""
        error = {"step": "copy-ahead", "code": "cancelled", "message": "cancelled by the operator"}
        document = {"outcome": "cancelled", "overhead": {"total": 1.9}, "error": error}
        last = self.told[migration][-1].t if self.told.get(migration) else 0.0
        self.tell(Event(last + 0.1, migration, "outcome", {"result": document}))

    async def service(self, key: str) -> ServiceDetail:
        self._there()
        cluster, _, name = key.partition("/")
        found = next(s for s in self.clusters[cluster].services if s.name == name)
        return ServiceDetail(found, replace(scenario.SPECIFICATION, name=name), scenario.LOGS)

    async def vitals(self, key: str, *, volumes: bool = False) -> Vitals:
        self._there()
        self.looks += 1
        return scenario.vitals(self.clock.wall(), volumes)

    async def logs(self, key: str, lines: int = 200) -> AsyncIterator[LogLines]:
        self._there()
        queue: asyncio.Queue[LogLines] = asyncio.Queue()
        self._readers.append(queue)
        yield LogLines(scenario.LOGS[-lines:])
        while True:
            yield await queue.get()

    def log(self, *lines: str, dropped: int = 0) -> None:
        """The service writes."""
        for queue in self._readers:
            queue.put_nowait(LogLines(lines, dropped))

    async def shell(self, key: str) -> Shell:
        self._there()
        return Shell(("sh", "-c", "echo a shell in it; read line; echo heard $line"))

    async def node(self, key: str) -> NodeDetail:
        self._there()
        self.asked.append(key)
        return scenario.node_detail(key, self.clock.wall(), self.measured)

    async def measure_links(self, key: str) -> NodeDetail:
        self._there()
        self.measured = True
        return scenario.node_detail(key, self.clock.wall(), True)

    async def doctor(self, node: str | None = None) -> Sequence[Finding]:
        self._there()
        return scenario.DOCTOR

    async def benchmarks(self) -> Sequence[Benchmark]:
        self._there()
        return [replace(each, rows=()) for each in self.benches]

    async def benchmark(self, name: str) -> Benchmark:
        self._there()
        return next(each for each in self.benches if each.id == name)

    async def close(self) -> None:
        return None

    # The strings behind it.

    def start(self, request: MigrationRequest) -> Migration:
        """A migration begins, whoever asked for it."""
        plan = scenario.plan(request)
        self.script = load()
        own = self.script[0].migration if not self.known else f"{self.script[0].migration}-{len(self.known)}"
        self.script = [replace(event, migration=own) for event in self.script]
        assert plan.approach is not None
        assert plan.strategy is not None
        migration = Migration(
            self.script[0].migration, plan.service, plan.source, plan.destination, plan.approach, plan.strategy,
            plan.reason, predicted={"downtime": plan.downtime.as_list() if plan.downtime else [],
                                    "total": plan.total.as_list() if plan.total else []},
            started=self.clock.wall(),
        )  # fmt: skip
        source = self.clusters[plan.source.cluster]
        moving = next(s for s in source.services if s.key == plan.service)
        self._swap(source.name, moving.name, replace(moving, state=ServiceState.MOVING, migration=migration.id))
        arriving = replace(moving, cluster=plan.destination.cluster, node=plan.destination.node,
                           state=ServiceState.ARRIVING, migration=migration.id)  # fmt: skip
        self._add(arriving)
        self.say(migration)
        if self._paced:
            task = asyncio.create_task(self._play_paced())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return migration

    def play(self, until: Callable[[Event], bool] | float | None = None) -> None:
        """Tell the script up to a time, up to and with an event, or to its end."""
        while self.script:
            if isinstance(until, (int, float)) and self.script[0].t > until:
                return
            event = self.script.pop(0)
            self.tell(event)
            if callable(until) and until(event):
                return

    async def _play_paced(self) -> None:
        last = 0.0
        while self.script:
            await asyncio.sleep(max(self.script[0].t - last, 0) / self._speed)
            if self.script:
                last = self.script[0].t
                self.tell(self.script.pop(0))

    def tell(self, event: Event) -> None:
        """One event, and what the coordinator makes of it."""
        self.told.setdefault(event.migration, []).append(event)
        for queue in self._watchers:
            queue.put_nowait(event)
        for wanted, listener in self._listeners:
            if wanted == event.migration:
                listener.put_nowait(event)
        migration = self.known.get(event.migration)
        if migration is None:
            return
        if event.kind == "step" and event.data["state"] == "started":
            step = Step(event.data["step"])
            self.say(replace(migration, step=step, cancellable=migration.cancellable and step is not Step.COMMIT))
        elif event.kind == "phase":
            self.say(replace(migration, phase=Phase(event.data["phase"])))
        elif event.kind == "outcome":
            self._over(finished(migration, event.data["result"]))

    def _over(self, migration: Migration) -> None:
        name = migration.service.partition("/")[2]
        committed = migration.outcome is Outcome.COMMITTED
        gone, stays = migration.source.cluster, migration.destination.cluster
        if not committed:
            gone, stays = stays, gone
        kept = next(s for s in self.clusters[stays].services if s.name == name)
        self._swap(gone, name, None)
        self._swap(stays, name, replace(kept, state=ServiceState.UP, migration=""))
        self.say(replace(migration, finished=migration.started + migration.overhead.total))

    def say(self, item: Item) -> None:
        """To all that watch."""
        if isinstance(item, Cluster):
            self.clusters[item.name] = item
        elif isinstance(item, Migration):
            self.known[item.id] = item
        for queue in self._watchers:
            queue.put_nowait(item)

    def finish(self, migration: str) -> None:
        """One of several arrives, without its events."""
        document = {"outcome": "committed", "downtime": 0.1, "overhead": {"total": 3.0}}
        self.tell(Event(3.0, migration, "outcome", {"result": document}))

    def fail(self, message: str = "restore: criu could not map 7f3a", which: str = "") -> None:
        """The running migration fails before its commit and is rolled back."""
        migration = next(m for m in self.known.values() if m.outcome is None and which in ("", m.id))
        document = {"outcome": "rolled-back", "overhead": {"total": 2.4},
                    "error": {"step": "restore", "code": "criu", "message": message,
                              "fix": "umsui doctor gcp-lab/gcp-1"}}  # fmt: skip
        self.script.clear()
        self.tell(Event(2.4, migration.id, "outcome", {"result": document}))

    def crowd(self, count: int) -> None:
        """So many services more, over all clusters."""
        tiers = ("db", "web", "cache")
        for number, (name, cluster) in enumerate(self.clusters.items()):
            more = tuple(
                scenario.service(name, f"{name}-{i % 5}", f"svc-{i:05d}", 10 + i % 300,
                                 labels={"tier": tiers[i // 3 % 3]},
                                 state=ServiceState.PAUSED if i % 7 == 0 else ServiceState.UP)
                for i in range(number, count, len(self.clusters))
            )  # fmt: skip
            self.clusters[name] = replace(cluster, services=(*cluster.services, *more))

    def past(self, count: int) -> None:
        """Migrations from before."""
        outcomes = list(Outcome)
        for index in range(count):
            outcome = outcomes[0 if index % 3 else index % 5]
            failed = outcome is not Outcome.COMMITTED
            plan = scenario.plan(MigrationRequest("azure-lab/memhog", "gcp-lab"))
            assert plan.approach is not None
            assert plan.strategy is not None
            self.known[f"past-{index}"] = Migration(
                f"past-{index}", "azure-lab/memhog", plan.source, plan.destination, plan.approach, plan.strategy,
                outcome=outcome, downtime=None if failed else 0.09 + index * 0.02,
                overhead=Overhead(0.31 + index / 50, 0.04, 1.9 + index / 20, 0.09, 3.0 + index / 10),
                predicted={"downtime": [0.08, 0.12, 0.21], "total": [2.9, 3.4, 4.4]},
                bytes=Traffic(64 << 20, 3 << 20, 128 << 20, 0, 201 << 20),
                started=scenario.START - 700 * (index + 1), finished=scenario.START - 700 * (index + 1) + 3,
                error=Failure("restore", "criu", "criu could not restore") if failed else None, cancellable=False,
            )  # fmt: skip

    def lose(self) -> None:
        """The coordinator dies."""
        self.gone = True
        for queue in self._watchers:
            queue.put_nowait(None)
        self._watchers.clear()

    def return_(self) -> None:
        """It is started again."""
        self.gone = False

    def _there(self) -> None:
        if self.gone:
            raise Unreachable("no coordinator at /run/umsui/coordinator.sock", "umsui coordinator run")

    def _swap(self, cluster: str, name: str, service: Any) -> None:
        was = self.clusters[cluster]
        services = tuple(
            service if s.name == name else s for s in was.services if s.name != name or service is not None
        )
        self.say(replace(was, services=services))

    def _add(self, service: Any) -> None:
        was = self.clusters[service.cluster]
        self.say(replace(was, services=(*was.services, service)))
