"""What open screens ask for: one service or node in depth. Nothing here happens unless somebody asks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, cast

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from umsui import locations
from umsui.adapters import ApiOrchestrator
from umsui.benchmarks import Benchmark, known, read
from umsui.coordinator.api_cluster import ApiNode
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.streams import Lines, streamed
from umsui.coordinator.watcher import Watcher
from umsui.decision import find_service
from umsui.errors import BadInput, CommandFailed, UmsuiError
from umsui.interface import composition, vitals
from umsui.interface.facts import LinkFacts
from umsui.interface.probe import Probes
from umsui.model import Place, Service
from umsui.vitals import Link, NodeDetail, Shell, Vitals

MOST_LINKS = 12  # measured in one go: each takes a fraction of a second of the link
MOST_LINES = 5000  # of the past, when a log is followed


class Links:
    """The ways between nodes as they were last measured: by plans, and when an operator asks."""

    def __init__(self) -> None:
        self._known: dict[tuple[Place, Place], Link] = {}
        self._lock = threading.Lock()

    def learn(self, source: Place, destination: Place, facts: LinkFacts) -> None:
        """A measurement, whoever made it."""
        found = Link(source, destination, time.time(), facts.reachable, facts.error, facts.rtt, facts.bandwidth)
        with self._lock:
            self._known[source, destination] = found

    def of(self, place: Place) -> tuple[Link, ...]:
        """Those from and to a node."""
        with self._lock:
            found = [link for link in self._known.values() if place in (link.source, link.destination)]
        return tuple(sorted(found, key=lambda link: (link.source != place, str(link.source), str(link.destination))))

    def measure(self, inventory: Inventory, source: Place) -> None:
        """From one node to others, one after the other: side by side they would share the link. Raises BadInput."""
        others = [place for place in inventory.places() if place != source][:MOST_LINKS]
        ends = {place: inventory.end(place) for place in (source, *others)}
        with Probes(self.learn) as probes:

            def ready(place: Place) -> str:
                return trouble(lambda: probes.warm(ends[place]))

            def there(place: Place) -> str:
                return trouble(lambda: probes.link(ends[source], ends[place]))

            with ThreadPoolExecutor(len(ends)) as pool:
                errors = dict(zip(ends, pool.map(ready, ends), strict=True))
            for place in others:
                error = errors[source] or errors[place] or there(place)
                if error:
                    self.learn(source, place, LinkFacts(False, error))


def trouble(work: Callable[[], object]) -> str:
    """What went wrong, in words; "" when nothing did."""
    try:
        work()
    except UmsuiError as error:
        return error.message
    return ""


class System(Protocol):
    """What the details are read from: the engine."""

    @property
    def inventory(self) -> Inventory:
        """The nodes."""

    @property
    def links(self) -> Links:
        """The ways between them."""


def service_details(api: FastAPI, system: System) -> None:
    """One service in depth."""

    def found(cluster: str, name: str) -> tuple[Service, Watcher | ApiNode]:
        service = find_service(system.inventory.clusters(), f"{cluster}/{name}")
        return service, system.inventory.watcher(Place(service.cluster, service.node))

    @api.get("/v1/services/{cluster}/{name:path}/vitals")
    def observe(cluster: str, name: str, volumes: bool = False) -> Vitals:
        service, watcher = found(cluster, name)
        end = watcher.end()
        if end.through_api:
            what = "what goes on in a pod is not shown: no agent runs on its node"
            raise CommandFailed(what, f"kubectl top pod {service.name}", code="no-agent")
        spec = composition.specification(end, service.name, service.containers) if volumes else None
        paths = [mount.path for mount in spec.mounts if mount.path] if spec is not None else []
        return vitals.observe(end.transport, service.id, paths, watcher.memory.of(service.name))

    @api.get("/v1/services/{cluster}/{name:path}/logs")
    async def logs(cluster: str, name: str, lines: int = 200) -> StreamingResponse:
        service, watcher = await asyncio.to_thread(found, cluster, name)
        end = watcher.end()
        most = min(max(lines, 0), MOST_LINES)
        if end.through_api:
            api = cast(ApiOrchestrator, end.orchestrator)
            stream = await asyncio.to_thread(api.follow_logs, end.transport, service.name, most)
        else:
            command = end.orchestrator.logs_command(first_container(service), most)
            stream = await asyncio.to_thread(vitals.follow, end.transport, command)
        return streamed(Lines(stream).messages())

    @api.get("/v1/services/{cluster}/{name:path}/shell")
    def shell(cluster: str, name: str) -> Shell:
        service, watcher = found(cluster, name)
        return Shell(tuple(watcher.interactive(watcher.end().orchestrator.shell_command(first_container(service)))))


def first_container(service: Service) -> str:
    """The container that stands for the service where only one can."""
    return service.containers[0] if service.containers else service.name


def node_details(api: FastAPI, system: System) -> None:
    """One node in depth."""

    @api.get("/v1/nodes/{cluster}/{name}")
    def node(cluster: str, name: str) -> NodeDetail:
        watcher = system.inventory.watcher(Place(cluster, name))
        load, free = watcher.busy.of("load"), watcher.busy.of("memory_free")
        return NodeDetail(system.inventory.aged(watcher, time.time()), load, free, system.links.of(watcher.place))

    @api.post("/v1/nodes/{cluster}/{name}/links")
    def measure(cluster: str, name: str) -> NodeDetail:
        system.links.measure(system.inventory, system.inventory.watcher(Place(cluster, name)).place)
        return node(cluster, name)


def benchmarks(api: FastAPI) -> None:
    """``umsui bench`` as it runs, and as it ran: it writes a file, a row a line."""

    @api.get("/v1/benchmarks")
    def every() -> list[Benchmark]:
        return known()

    @api.get("/v1/benchmarks/{name}")
    def one(name: str) -> Benchmark:
        path = locations.benchmarks_dir() / f"{name}.jsonl"
        if not path.is_file():
            raise BadInput(f"there is no benchmark {name}", "`umsui bench compare` makes one", code="unknown-benchmark")
        return read(path)
