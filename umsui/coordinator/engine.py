"""The engine: the migrations that run in this process, and what the API asks of them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID

from umsui.config import Config
from umsui.coordinator import again, workflow
from umsui.coordinator.bus import Bus
from umsui.coordinator.details import Links
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.journal import AlreadyDecided, Decision, Journal
from umsui.coordinator.operations import Operations
from umsui.coordinator.prober import Address, Prober
from umsui.coordinator.quiet import Quiet
from umsui.coordinator.run import CANCELLED, Run
from umsui.core.agents import Agents
from umsui.decision import find_cluster, planned, resolve
from umsui.decision.resolve import choose_node
from umsui.errors import BadInput, UmsuiError, Unreachable
from umsui.interface import APPROACHES, Together
from umsui.interface.probe import Probes
from umsui.interface.protocol import End, Move, Order
from umsui.model import (
    Approach,
    Cluster,
    Failure,
    Migration,
    MigrationRequest,
    Node,
    Outcome,
    Place,
    Plan,
    Port,
    Specification,
    StartFirst,
    Step,
    Strategy,
)

AGAIN = (0.0, 1.0, 2.0)  # seconds between questions for a service that nobody has seen
LOCAL = ("127.", "::1", "localhost")  # addresses of ports that only the node itself reaches


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan may know (a ``umsui.decision.planner.Resolver``): the board without the migration that it is for."""

    inventory: Inventory
    operations: Operations
    migration: str

    def clusters(self) -> list[Cluster]:
        """The board."""
        return self.inventory.clusters(without=self.migration)

    def end(self, place: Place) -> End:
        """A connection to a node. Raises BadInput."""
        return self.inventory.end(place)

    def start_first(self, place: Place, source: Node | None) -> StartFirst:
        """What it takes to start a node's machine."""
        return self.operations.start_first(place, source)


class Engine:
    """All running migrations. There is one in a process."""

    def __init__(self, config: Config, journal: Journal, bus: Bus) -> None:
        self.config = config
        self.journal = journal
        self.bus = bus
        self.quiet = Quiet()
        self.inventory = Inventory(config, bus, self.running, self.quiet)
        self.links = Links()
        self.operations = Operations(self.inventory)
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def start(self, folder: Path) -> None:
        """Begin to poll, and take up what an earlier coordinator left."""
        workflow.work_for(self)
        for migration in self.journal.running():
            self.run(migration.id)
        self.inventory.start()
        settings: DBOSConfig = {
            "name": "umsui",
            "system_database_url": f"sqlite:///{folder / 'workflows.sqlite'}",
            "application_version": "1",  # the workflow's own: an upgraded umsui takes up what an older one left
            "executor_id": "local",
            "log_level": "WARNING",
        }
        DBOS(config=settings)
        DBOS.launch()
        self._take_up()

    def _take_up(self) -> None:
        """Migrations that have not ended, and that DBOS does not take up itself.

        Either the coordinator died between the journal's entry and the workflow's start, or the workflow came to an
        end that it should not have: the disk was full, or so.
        """
        for migration in self.journal.running():
            status = DBOS.get_workflow_status(migration.id)
            if status is None:
                self._begin(migration.id)
            elif status.status not in ("PENDING", "ENQUEUED"):
                self._begin(migration.id, f"{migration.id}-{uuid.uuid4().hex[:6]}")

    def stop(self) -> None:
        """End the process's part; workflows that run are taken up at the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=0)
        self.inventory.stop()

    # -- what the API asks ------------------------------------------------------------------------------------------

    def running(self) -> list[Migration]:
        """Those that have not ended."""
        with self._lock:
            return [run.migration for run in self._runs.values()]

    def plan(self, request: MigrationRequest) -> Plan:
        """What would be done; probes both ends. Raises BadInput, Unreachable."""
        return self.planned(request)[0]

    def planned(
        self, request: MigrationRequest, of: str = "", agents: Agents | None = None
    ) -> tuple[Plan, Specification | None]:
        """The same, and the service as it is. ``of`` is the migration it is for, ``agents`` those that it lends."""
        self._settle(lambda: resolve(self.inventory.clusters(), request))
        with Probes(self.links.learn, agents) as probes:
            return planned(request, Known(self.inventory, self.operations, of), probes, self.journal.all())

    def place(self, cluster: str, node: str | None) -> Place:
        """Where a new service starts. Raises BadInput, Unreachable."""

        def chosen() -> Place:
            found = find_cluster(self.inventory.clusters(), cluster)
            return Place(found.name, choose_node(found, node, Place("", "")).name)

        self._settle(chosen)
        return chosen()

    def _settle(self, find: Callable[[], object]) -> None:
        """A name that is not known may just not have been seen yet; a node that just fails is asked once more."""
        for pause in AGAIN:
            try:
                find()
            except (BadInput, Unreachable):
                time.sleep(pause)
                self.inventory.refresh()
            else:
                return
            if not self.inventory.falters():
                return

    def migrate(self, request: MigrationRequest, confirm: str) -> Migration:
        """Start a migration. Raises BadInput at once for what cannot be meant; the rest is refused by its plan."""
        self._settle(lambda: resolve(self.inventory.clusters(), request))
        found = resolve(self.inventory.clusters(), request)
        guarded = [each.name for each in (found.source_cluster, found.destination_cluster) if each.protected]
        if guarded and confirm != found.service.name:
            raise BadInput(
                f"{' and '.join(guarded)} is protected",
                f"confirm with the service's name: {found.service.name}",
                code="protected",
            )
        migration = Migration(
            id=uuid.uuid4().hex[:12],
            service=found.service.key,
            source=found.source,
            destination=found.destination,
            approach=request.approach or Approach.ORCHESTRATOR,
            strategy=request.strategy or Strategy.STOP_COPY,
            budget=request.max_downtime,
            started=time.time(),
        )
        # What was found is meant, also when the plan is made again: by then another node may have more memory free.
        meant = replace(request, service=found.service.key, node=found.destination.node)
        with self._lock:
            self._refuse_moving(migration.service)
            self.journal.add(migration, meant)
            self._runs[migration.id] = Run(migration, self.journal, self.bus)
        for place in (migration.source, migration.destination):
            self.inventory.tell(place.cluster)
        self._begin(migration.id)
        return migration

    def refuse_moving(self, service: str) -> None:
        """No change to a service (``cluster/name``) that moves, or that one arrives as. Raises BadInput."""
        with self._lock:
            self._refuse_moving(service)

    def _refuse_moving(self, service: str) -> None:
        for run in self._runs.values():
            moving = run.migration
            arriving = f"{moving.destination.cluster}/{moving.service.partition('/')[2]}"
            if service in (moving.service, arriving):
                what = (
                    f"{service} is being moved already" if service == moving.service else f"{service} is just arriving"
                )
                fix = f"wait for it: umsui watch {run.id}"
                raise BadInput(f"{what} (migration {run.id})", fix, code="already-moving")

    def _begin(self, migration_id: str, workflow_id: str = "") -> None:
        with SetWorkflowID(workflow_id or migration_id):
            DBOS.start_workflow(workflow.migrate, migration_id)

    def cancel(self, migration_id: str) -> Migration:
        """Call it off: a decision like the commit, so that exactly one of them comes true, whenever this is asked.

        Raises BadInput for one that there is not, and with code ``too-late`` when it is decided or has ended.
        """
        migration = self.journal.migration(migration_id)
        late = BadInput(f"{migration_id} cannot be cancelled any more", _way_back(migration), code="too-late")
        with self._lock:
            run = self._runs.get(migration_id)
        if run is None or migration.finished is not None:
            raise late
        try:
            self.journal.decide(migration_id, Decision.ABORT, CANCELLED)
        except AlreadyDecided:
            raise late from None
        run.cancel()
        return run.migration

    def resolve(self, migration_id: str) -> Migration:
        """Take up again what ended as unknown. Raises BadInput for one whose outcome is known, or that there is not."""
        self.refuse_moving(self.journal.migration(migration_id).service)
        migration = again.reopen(self.journal, migration_id)
        run = self.run(migration_id)
        try:
            told = self.by_sight(run)
        except Exception as error:  # whatever it is: it has not been taken up
            words, fix = f"it cannot be taken up: {error}", f"mend that; then: umsui resolve {run.id}"
            run.conclude(Outcome.UNKNOWN, Failure(Step.CLEAN_UP.value, "not-resolved", words, fix))
            self.forget(run)
            raise
        if told is None:
            self._begin(migration_id, f"{migration_id}-{uuid.uuid4().hex[:6]}")
            return migration
        run.conclude(*told)
        self.forget(run)
        return self.journal.migration(migration_id)

    def by_sight(self, run: Run) -> tuple[Outcome, Failure | None] | None:
        """What it came to, where the nodes know nothing of it any more; None where they do."""
        order, move = self.journal.order(run.id), self.move(run)
        if order is None or move is None:
            return None
        ends = (self.inventory.end(run.migration.source), self.inventory.end(run.migration.destination))
        here, there = again.sight(run, order[1], *ends)
        return again.by_sight(here, there) if again.forgotten(move) else None

    # -- what the workflow's steps share ----------------------------------------------------------------------------

    def run(self, migration_id: str) -> Run:
        """A migration's shared state; made from the journal when this process has not seen it."""
        with self._lock:
            if migration_id not in self._runs:
                found = self.journal.migration(migration_id)
                self._runs[migration_id] = Run(found, self.journal, self.bus, recalled=True)
            return self._runs[migration_id]

    def move(self, run: Run) -> Move | None:
        """How it is carried out; None when it was never planned, so that nothing was touched."""
        order = self.journal.order(run.id)
        if run.move is None and order is not None:
            run.move = self.new_move(run, *order)
        return run.move

    def new_move(self, run: Run, plan: Plan, spec: Specification) -> Move:
        """The approach's own part of a migration; does nothing remote yet. Raises BadInput."""
        source, destination = self.inventory.end(plan.source), self.inventory.end(plan.destination)
        assert plan.approach is not None
        assert plan.strategy is not None
        kind = (plan.approach, plan.strategy, source.orchestrator.name, destination.orchestrator.name)
        factory = Together if spec.parts else APPROACHES[kind]
        return factory(Order(run.id, plan, spec, source, destination, run.emit, lambda: run.halted, run.agents))

    def prober(self, run: Run, spec: Specification) -> Prober | None:
        """A client of the service, where it publishes a TCP port and answers there; else the log says why not."""
        silent = []
        for prober in self.probers(run, spec):
            if not (why := prober.start()):
                return prober
            silent.append(why)
        why = "; ".join(silent) or "it publishes no TCP port that others reach"
        run.log(f"downtime is measured from freeze to thaw, as no client gets a reply: {why}", "warning")
        return None

    def probers(self, run: Run, spec: Specification) -> list[Prober]:
        """A client for each TCP port that others reach, not started."""
        source, destination = (self.inventory.end(each) for each in (run.migration.source, run.migration.destination))
        interval, name = self.config.coordinator.probe_interval, spec.name
        try:
            host = source.host_of(name)
        except UmsuiError:
            return []  # nothing can be measured there; whoever moves it says why

        def prober(port: Port) -> Prober:
            here = Address(host, source.port_of(port), port.container)

            def there() -> Address:
                return Address(destination.host_of(name), destination.port_of(port), port.container)

            return Prober(here, there, interval, run.emit)

        return [prober(port) for port in spec.ports if port.protocol == "tcp" and not port.address.startswith(LOCAL)]

    def forget(self, run: Run) -> None:
        """It has ended."""
        run.close()
        self.quiet.end(run.id)
        with self._lock:
            self._runs.pop(run.id, None)
        self.inventory.look(run.migration.source, run.migration.destination)
        for name in (run.migration.source.cluster, run.migration.destination.cluster):
            self.inventory.tell(name)


def _way_back(migration: Migration) -> str:
    """What to do about a migration for which it is too late to be called off."""
    if migration.outcome not in (None, Outcome.COMMITTED):
        return f"there is nothing to call off: it ended as {migration.outcome.value}"
    name = migration.service.partition("/")[2]
    back = f"umsui migrate {migration.destination.cluster}/{name} --to {migration.source.cluster}"
    return f"move the service back: `{back} --node {migration.source.node}`"
