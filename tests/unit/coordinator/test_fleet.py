"""Clouds in the inventory: scripted providers, the real coordinator's parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.waiting import waiting_for
from umsui.adapters import Listing
from umsui.config import ClusterConfig, Config, CoordinatorConfig
from umsui.coordinator import operations as operations_module
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.operations import Operations
from umsui.coordinator.picture import MANY, slim
from umsui.coordinator.quiet import Quiet
from umsui.errors import BadInput, Forbidden, NotLoggedIn, Throttled, UmsuiError, Unreachable
from umsui.model import ClusterState, Machine, ManagedCluster, Node, Place, Power, Service, ServiceState

from .world import migration


def machine(name: str, power: Power = Power.RUNNING, ssh: str = "10.0.0.1") -> Node:
    return Node("prod", name, ssh, ClusterState.LISTED, memory=8 << 30, machine=Machine(f"/{name}", power=power))


class Cloud:
    """A provider, an orchestrator and a transport that do what the test says."""

    name = "podman"

    def __init__(self) -> None:
        self.nodes: dict[str, list[Node]] = {}
        self.trouble: dict[str, Exception] = {}
        self.hang: dict[str, threading.Event] = {}
        self.managed_clusters: list[ManagedCluster] = []
        self.lists: list[str] = []
        self.switched: list[str] = []
        self.progress: list[tuple[bool, str, float | None] | Exception] = []
        self.services: dict[str, tuple[Service, ...]] = {}
        self.surveyed: list[str] = []

    def load(self, group: str, name: str) -> Any:
        if group == "providers":
            return lambda config: Provider(self, config.name)
        if name == "kubernetes":
            raise KeyError(name)
        return (lambda ssh, **_: self) if group == "transports" else lambda: self

    def survey(self, transport: Any, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        self.surveyed.append(node.name)
        return replace(node, cores=2, memory=4 << 30, memory_free=1 << 30), self.services.get(node.name, ())

    def close(self) -> None: ...


class Provider:
    def __init__(self, cloud: Cloud, cluster: str) -> None:
        self.cloud, self.cluster = cloud, cluster

    def listings(self) -> Iterator[Listing]:
        self.cloud.lists.append(self.cluster)
        nodes = tuple(replace(node, cluster=self.cluster) for node in self.cloud.nodes.get(self.cluster, []))
        if len(nodes) > 1:
            yield Listing(nodes[:1], complete=False)
        if self.cluster in self.cloud.hang:
            self.cloud.hang[self.cluster].wait(10)
        if self.cluster in self.cloud.trouble:
            raise self.cloud.trouble[self.cluster]
        yield Listing(nodes, complete=True)

    def managed(self) -> list[ManagedCluster]:
        return self.cloud.managed_clusters

    def start(self, node: Node) -> Provider:
        self.cloud.switched.append(f"start {node.name}")
        return self

    def stop(self, node: Node) -> Provider:
        self.cloud.switched.append(f"stop {node.name}")
        return self

    def poll(self) -> tuple[bool, str, float | None]:
        step = self.cloud.progress.pop(0) if self.cloud.progress else (True, "DONE", 1.0)
        if isinstance(step, Exception):
            raise step
        return step


Start = Callable[..., Inventory]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    found = Cloud()
    monkeypatch.setattr("umsui.adapters.load", found.load)
    monkeypatch.setattr(operations_module, "POLL", 0.01)
    return found


@pytest.fixture
def start(cloud: Cloud) -> Iterator[Start]:
    made: list[Inventory] = []

    def begin(*names: str, orchestrator: str = "podman", **more: Any) -> Inventory:
        configs = tuple(
            ClusterConfig(name=name, provider="gcp", project="p", orchestrator=orchestrator, **more)  # type: ignore[arg-type]
            for name in names or ("prod",)
        )
        bus: Any = Listener()
        settings = CoordinatorConfig(poll_watched=0.5, poll_idle=1, poll_cloud=3600)
        inventory = Inventory(Config(clusters=configs, coordinator=settings), bus, lambda: (), Quiet())
        inventory.told = bus.told  # type: ignore[attr-defined]
        made.append(inventory)
        inventory.start()
        return inventory

    yield begin
    for inventory in made:
        inventory.stop()


class Listener:
    watched = True

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def publish(self, name: str, data: Any) -> None:
        self.told.append(data)


def state(inventory: Inventory, name: str = "prod") -> ClusterState:
    return next(cluster.state for cluster in inventory.clusters() if cluster.name == name)


def settled(inventory: Inventory, wanted: ClusterState, name: str = "prod") -> None:
    waiting_for(lambda: state(inventory, name) is wanted)


def test_machines_that_run_are_asked_themselves(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("on"), machine("off", Power.DEALLOCATED), machine("nowhere", ssh="")]
    cloud.services["on"] = (Service("prod", "on", "web", "id", "image", ServiceState.UP),)
    inventory = start()
    settled(inventory, ClusterState.LIVE)
    waiting_for(lambda: cloud.surveyed)
    (cluster,) = inventory.clusters()
    nodes = {node.name: node for node in cluster.nodes}
    assert {name: node.state.value for name, node in nodes.items()} == {
        "on": "live",
        "off": "stopped",
        "nowhere": "listed",
    }
    assert nodes["on"].machine == Machine("/on", power=Power.RUNNING)
    assert (nodes["on"].memory, nodes["off"].memory) == (4 << 30, 8 << 30)  # as seen there; as its size has it
    assert [service.name for service in cluster.services] == ["web"]
    assert set(cloud.surveyed) == {"on"}
    with pytest.raises(Unreachable, match="switched off") as raised:
        inventory.end(Place("prod", "off"))
    assert raised.value.fix == "umsui nodes start prod/off"
    with pytest.raises(Unreachable, match="no address"):
        inventory.end(Place("prod", "nowhere"))
    with pytest.raises(BadInput, match="there is no node"):
        inventory.end(Place("prod", "none"))


def test_a_machine_that_goes_is_left_and_one_that_comes_is_found(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("a"), machine("b")]
    inventory = start()
    waiting_for(lambda: {"a", "b"} <= set(cloud.surveyed))
    cloud.nodes["prod"] = [machine("a", Power.STOPPING), machine("c"), machine("b", ssh="10.0.0.9")]
    inventory.refresh()
    waiting_for(lambda: "c" in cloud.surveyed)
    (cluster,) = inventory.clusters()
    assert [(node.name, node.ssh) for node in cluster.nodes] == [
        ("a", "10.0.0.1"),
        ("b", "10.0.0.9"),
        ("c", "10.0.0.1"),
    ]
    assert cluster.nodes[0].state is ClusterState.STOPPED
    assert {place.node for place in inventory.places()} == {"b", "c"}


def test_no_more_machines_are_watched_than_the_config_says(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine(f"n{number}") for number in range(9)]
    inventory = start(watch=3)
    waiting_for(lambda: len(inventory.places()) == 3)
    assert len(inventory.clusters()[0].nodes) == 9
    with pytest.raises(Unreachable, match="not watched"):
        inventory.end(Place("prod", "n8"))


@pytest.mark.parametrize(
    ("trouble", "wanted"),
    [
        (NotLoggedIn("who are you", "az login"), ClusterState.EXPIRED),
        (Forbidden("the permission x is missing"), ClusterState.FORBIDDEN),
        (Throttled("too often", until=time.time() + 86_400), ClusterState.THROTTLED),
        (Unreachable("no route"), ClusterState.UNREACHABLE),
        (ZeroDivisionError("oops"), ClusterState.UNREACHABLE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.value,
)
def test_trouble_of_one_cloud_is_its_state_and_no_other_s(
    cloud: Cloud, start: Start, trouble: Exception, wanted: ClusterState
) -> None:
    cloud.nodes = {"good": [machine("a")], "bad": [machine("b"), machine("c")]}
    cloud.trouble["bad"] = trouble
    inventory = start("bad", "good")
    settled(inventory, ClusterState.LIVE, "good")
    settled(inventory, wanted, "bad")
    bad = inventory.clusters()[0]
    assert str(trouble.args[0]) in bad.error
    assert [node.name for node in bad.nodes] == ["b"]  # the first page was there
    if isinstance(trouble, Throttled):
        assert bad.until == trouble.until
        lists = len(cloud.lists)
        inventory.refresh()  # whoever asks: the cloud is left alone
        assert cloud.lists.count("bad") == 1
        assert len(cloud.lists) > lists


def test_what_was_known_stays_and_grows_stale(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("off", Power.DEALLOCATED)]
    inventory = start()
    settled(inventory, ClusterState.STOPPED)
    cloud.trouble["prod"] = Unreachable("no route")
    inventory.refresh()
    settled(inventory, ClusterState.STALE)
    (cluster,) = inventory.clusters()
    assert [node.name for node in cluster.nodes] == ["off"]
    assert cluster.age > 0
    del cloud.trouble["prod"]
    inventory.refresh()
    settled(inventory, ClusterState.STOPPED)


def test_a_cloud_that_hangs_delays_no_other(cloud: Cloud, start: Start) -> None:
    cloud.nodes = {"good": [machine("a")], "slow": [machine("b"), machine("c")]}
    cloud.hang["slow"] = threading.Event()
    inventory = start("slow", "good")
    settled(inventory, ClusterState.LIVE, "good")
    slow = inventory.clusters()[0]
    assert (slow.state, [node.name for node in slow.nodes]) == (ClusterState.CONNECTING, ["b"])
    cloud.hang["slow"].set()
    settled(inventory, ClusterState.LIVE, "slow")
    assert len(inventory.clusters()[0].nodes) == 2


def test_a_list_without_news_is_not_published(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine(f"n{number}", Power.DEALLOCATED) for number in range(5)]
    inventory = start()
    settled(inventory, ClusterState.STOPPED)
    told: list[Any] = inventory.told  # type: ignore[attr-defined]
    waiting_for(lambda: told and len(told[-1]["nodes"]) == 5)
    before, fleet = len(told), inventory.fleet("prod")
    nodes = fleet.nodes
    assert fleet.wait(fleet.look(), 5)
    time.sleep(1.3)  # longer than a look of the publisher's
    assert fleet.nodes is nodes
    assert len(told) == before


def test_while_a_migration_runs_no_cloud_is_asked_unless_somebody_wants_to_know(
    cloud: Cloud, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umsui.coordinator.fleet.Fleet.pause", lambda self: 0.0)
    monkeypatch.setattr("umsui.coordinator.fleet.LOOK", 0.02)
    inventory = start()
    busy = [migration()]
    inventory._running = lambda: busy
    waiting_for(lambda: cloud.lists)
    time.sleep(0.2)  # one that was under way ends
    lists = len(cloud.lists)
    time.sleep(0.2)
    assert len(cloud.lists) == lists
    inventory.fleet("prod").look()
    waiting_for(lambda: len(cloud.lists) == lists + 1)
    busy.clear()
    waiting_for(lambda: len(cloud.lists) > lists + 1)


def test_an_empty_cloud(cloud: Cloud, start: Start) -> None:
    inventory = start(labels={"umsui": "yes"})
    settled(inventory, ClusterState.EMPTY)
    assert inventory.clusters()[0].error == "no machine in p has umsui=yes"


def test_managed_clusters_stand_for_their_entry(cloud: Cloud, start: Start) -> None:
    cloud.managed_clusters = [ManagedCluster("/c", "blue", "europe", "1.33", 3, "running")]
    inventory = start(orchestrator="kubernetes")
    settled(inventory, ClusterState.LISTED, "prod-blue")
    (cluster,) = inventory.clusters()
    assert (cluster.orchestrator, cluster.nodes) == ("kubernetes", ())
    assert inventory.managed("prod-blue")[1].id == "/c"
    cloud.managed_clusters = []
    inventory.refresh()
    settled(inventory, ClusterState.EMPTY, "prod-blue")
    assert inventory.clusters()[0].error == "deleted"
    with pytest.raises(BadInput, match="manages a cluster"):
        inventory.managed("prod-red")


def test_a_stream_leaves_out_what_nobody_asks() -> None:
    from umsui.model import Cluster

    live = replace(machine("live"), state=ClusterState.LIVE)
    nodes = (live, *(machine(f"n{number}") for number in range(MANY)))
    large = Cluster("prod", "gcp", "podman", nodes=nodes)
    assert slim(replace(large, nodes=nodes[:MANY])).more == 0
    assert (slim(large).nodes, slim(large).more) == ((live,), MANY)


# -- operations -------------------------------------------------------------------------------------------------------


def ended(operations: Operations, number: str) -> Any:
    waiting_for(lambda: operations.get(number).state != "running")
    return operations.get(number)


def test_a_machine_is_started(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("off", Power.DEALLOCATED)]
    cloud.progress = [(False, "PENDING", 0.0), (False, "RUNNING", 0.5), (True, "DONE", 1.0)]
    inventory = start()
    settled(inventory, ClusterState.STOPPED)
    operations, lists = Operations(inventory), len(cloud.lists)
    begun = operations.begin(Place("prod", "off"), "start")
    assert (begun.state, begun.expected is not None) == ("running", True)
    with pytest.raises(BadInput, match="already"):
        operations.begin(Place("prod", "off"), "start")
    done = ended(operations, begun.id)
    assert (done.state, done.note, done.progress) == ("done", "DONE", 1.0)
    assert cloud.switched == ["start off"]
    waiting_for(lambda: len(cloud.lists) > lists)  # the cloud is asked what has become of it
    assert operations.expected("gcp", "start").mid == pytest.approx(done.finished - done.started)


def test_calling_off_switches_back(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("off", Power.DEALLOCATED)]
    cloud.progress = [(False, "RUNNING", None)] * 200
    inventory = start()
    settled(inventory, ClusterState.STOPPED)
    operations = Operations(inventory)
    begun = operations.begin(Place("prod", "off"), "start")
    waiting_for(lambda: operations.get(begun.id).note == "RUNNING")
    operations.cancel(begun.id)
    waiting_for(lambda: "stop off" in cloud.switched)
    cloud.progress = []
    assert ended(operations, begun.id).state == "cancelled"
    with pytest.raises(UmsuiError, match="has ended") as raised:
        operations.cancel(begun.id)
    assert raised.value.code == "too-late"


def test_what_fails_says_why(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("off", Power.DEALLOCATED)]
    cloud.progress = [Unreachable("no room in the zone", "try another")]
    inventory = start()
    settled(inventory, ClusterState.STOPPED)
    operations = Operations(inventory)
    failed = ended(operations, operations.begin(Place("prod", "off"), "start").id)
    assert (failed.state, failed.error.message, failed.error.fix) == ("failed", "no room in the zone", "try another")


def test_a_machine_in_use_is_not_stopped(cloud: Cloud, start: Start) -> None:
    cloud.nodes["prod"] = [machine("on")]
    cloud.services["on"] = (Service("prod", "on", "web", "id", "image", ServiceState.UP),)
    inventory = start(protected=True)
    settled(inventory, ClusterState.LIVE)
    waiting_for(lambda: inventory.clusters()[0].services)
    operations, place = Operations(inventory), Place("prod", "on")
    with pytest.raises(BadInput, match="web would stop"):
        operations.begin(place, "stop")
    with pytest.raises(BadInput, match="is running"):
        operations.begin(place, "start")
    with pytest.raises(BadInput, match="has no machine"):
        operations.begin(Place("prod", "none"), "stop")
    assert ended(operations, operations.begin(place, "stop", force=True).id).state == "done"
    assert cloud.switched == ["stop on"]


def test_what_starting_first_costs(cloud: Cloud, start: Start) -> None:
    small, large = machine("small", Power.DEALLOCATED), machine("large")
    small = replace(small, machine=replace(small.machine, size="e2"))  # type: ignore[type-var]
    large = replace(large, machine=replace(large.machine, size="n2"))  # type: ignore[type-var]
    cloud.nodes["prod"] = [small, large]
    inventory = start(prices={"e2": 0.05, "n2": 0.2})
    settled(inventory, ClusterState.LIVE)
    operations = Operations(inventory)
    first = operations.start_first(Place("prod", "small"), large)
    assert first.hourly == pytest.approx(0.25)
    assert first.time.low < first.time.mid < first.time.high
    unknown = replace(large, machine=replace(large.machine, size="c3"))  # type: ignore[type-var]
    assert operations.start_first(Place("prod", "small"), unknown).hourly is None
