from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.waiting import waiting_for
from umsui.config import ClusterConfig, Config, CoordinatorConfig, NodeConfig
from umsui.coordinator import inventory as inventory_module
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.quiet import Quiet
from umsui.errors import BadInput, HostKeyChanged, TimedOut, Unreachable
from umsui.model import ClusterState, Migration, Node, Place, Service, ServiceState, Step

from .world import HERE, THERE, migration

Survey = Callable[[Node], tuple[Node, tuple[Service, ...]]]


def fine(node: Node) -> tuple[Node, tuple[Service, ...]]:
    services = (Service(node.cluster, node.name, "memhog", "id", "image", ServiceState.UP),)
    return replace(node, cores=4), services if node.cluster == "azure-lab" else ()


def failing(error: Exception) -> Survey:
    def fail(node: Node) -> tuple[Node, tuple[Service, ...]]:
        raise error

    return fail


class World:
    """The outside: what each cluster's node answers when it is surveyed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.surveys: dict[str, Survey] = {}
        self.running: list[Migration] = []
        self.told: list[Any] = []
        self.asked: list[str] = []
        self.watched = True
        self.made: list[Inventory] = []
        self.patch = patch
        patch.setattr(inventory_module.adapters, "load", self.load)

    def load(self, group: str, name: str) -> Any:
        if name == "kubernetes":
            raise KeyError(name)
        return (lambda ssh, **_: self) if group == "transports" else lambda: self

    name = "podman"

    def survey(self, transport: Any, cluster: str, node: Node) -> tuple[Node, tuple[Service, ...]]:
        self.asked.append(cluster)
        return self.surveys.get(cluster, fine)(node)

    def close(self) -> None: ...

    def publish(self, name: str, data: Any) -> None:
        self.told.append(data)

    def inventory(self, *clusters: ClusterConfig, **settings: float) -> Inventory:
        node = (NodeConfig(name="n1", ssh="ops@h"),)
        usual = [
            ClusterConfig(name=name, provider="azure", orchestrator="podman", nodes=node)
            for name in ("azure-lab", "gcp-lab")
        ]
        coordinator = CoordinatorConfig.model_construct(
            **{"poll_watched": 0.02, "poll_idle": 0.02, "timeout": 0.3, "probe_interval": 0.005, **settings}
        )
        config = Config.model_construct(clusters=clusters or tuple(usual), coordinator=coordinator, path=None)
        made = Inventory(config, self, lambda: self.running, Quiet())  # type: ignore[arg-type]
        self.made.append(made)
        return made


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    for each in made.made:
        each.stop()


def states(inventory: Inventory) -> list[ClusterState]:
    return [cluster.state for cluster in inventory.clusters()]


def test_before_anyone_has_answered(world: World) -> None:
    inventory = world.inventory()
    assert states(inventory) == [ClusterState.CONNECTING] * 2
    assert inventory.clusters()[0].services == ()


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unreachable("away", "look"), ClusterState.UNREACHABLE),
        (TimedOut("slow", "look"), ClusterState.UNREACHABLE),
        (HostKeyChanged("who?", "look"), ClusterState.FORBIDDEN),
        (Unreachable("no key", "look", code="auth"), ClusterState.FORBIDDEN),
        (ValueError("odd words"), ClusterState.UNREACHABLE),
    ],
    ids=repr,
)
def test_one_that_fails_says_why_and_is_asked_again(world: World, error: Exception, state: ClusterState) -> None:
    world.surveys["gcp-lab"] = failing(error)
    inventory = world.inventory()
    inventory.start()
    assert [cluster.state for cluster in inventory.refresh()] == [ClusterState.LIVE, state]
    bad = inventory.clusters()[1]
    assert str(error) in bad.error
    assert bad.fix
    assert bad.nodes[0].error == bad.error
    world.surveys["gcp-lab"] = fine
    inventory.look(THERE)
    waiting_for(lambda: states(inventory) == [ClusterState.LIVE] * 2)
    assert inventory.clusters()[1].error == ""


def test_one_that_hangs_delays_nobody(world: World) -> None:
    held = threading.Event()

    def hang(node: Node) -> tuple[Node, tuple[Service, ...]]:
        held.wait(10)
        raise TimedOut("at last")

    world.surveys["gcp-lab"] = hang
    inventory = world.inventory(timeout=0.2)
    inventory.start()
    began = time.monotonic()
    found = inventory.refresh()
    assert 0.1 < time.monotonic() - began < 1.0
    assert [cluster.state for cluster in found] == [ClusterState.LIVE, ClusterState.CONNECTING]
    count = world.asked.count("azure-lab")
    waiting_for(lambda: world.asked.count("azure-lab") > count + 2)
    assert world.asked.count("gcp-lab") == 1
    held.set()


def test_what_was_seen_grows_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = world.inventory(poll_idle=5.0, poll_watched=5.0)
    inventory.start()
    assert inventory.refresh()[0].state is ClusterState.LIVE
    now = time.time()
    monkeypatch.setattr(inventory_module.time, "time", lambda: now + 60)
    found = inventory.clusters()[0]
    assert found.state is ClusterState.STALE
    assert found.age == pytest.approx(60, abs=5)
    assert [service.name for service in found.services] == ["memhog"]


def test_only_changes_are_told(world: World) -> None:
    inventory = world.inventory()
    inventory.start()
    inventory.refresh()
    waiting_for(lambda: len(world.asked) > 12)
    assert len(world.told) == 2  # once for each
    world.surveys["azure-lab"] = lambda node: (node, ())
    waiting_for(lambda: len(world.told) == 3)
    assert world.told[-1]["services"] == []
    inventory.tell("nobody")
    assert len(world.told) == 3


def test_who_moves_is_marked_at_both_ends(world: World) -> None:
    world.surveys["gcp-lab"] = lambda node: (
        node,
        (
            Service("gcp-lab", "n1", "memhog", "x", "image", ServiceState.STOPPED, obstacle="it is stopped"),
            Service("gcp-lab", "n1", "other", "y", "image", ServiceState.UP),
        ),
    )
    inventory = world.inventory()
    inventory.start()
    inventory.refresh()
    world.running = [migration("m1")]

    def seen(**more: str) -> list[tuple[str, ServiceState, str, str]]:
        services = [service for cluster in inventory.clusters(**more) for service in cluster.services]
        return [(service.name, service.state, service.migration, service.obstacle) for service in services]

    assert seen() == [
        ("memhog", ServiceState.MOVING, "m1", ""),
        ("memhog", ServiceState.ARRIVING, "m1", ""),
        ("other", ServiceState.UP, "", ""),
    ]
    assert seen(without="m1")[0] == ("memhog", ServiceState.UP, "", "")


def test_clusters_without_nodes_or_adapter_say_so(world: World) -> None:
    node = (NodeConfig(name="n1", ssh="h"),)
    inventory = world.inventory(
        ClusterConfig(name="a", provider="gcp", orchestrator="podman"),
        ClusterConfig(name="b", provider="gcp", orchestrator="kubernetes", nodes=node),
    )
    inventory.start()
    assert states(inventory) == [ClusterState.EMPTY, ClusterState.UNREACHABLE]
    assert "no adapter for kubernetes" in inventory.clusters()[1].error
    assert inventory.refresh()


def test_the_ends_of_a_migration(world: World) -> None:
    inventory = world.inventory()
    assert [end.place for end in inventory.ends()] == [HERE, THERE]
    assert inventory.end(HERE).user == "ops"
    for place in (Place("azure-lab", "n9"), Place("nobody", "n1")):
        with pytest.raises(BadInput) as caught:
            inventory.end(place)
        assert caught.value.code == "unknown-node"


def test_one_that_fails_is_asked_less_and_less_often(world: World) -> None:
    world.surveys["azure-lab"] = failing(Unreachable("away"))
    inventory = world.inventory()
    inventory.start()
    time.sleep(0.4)
    inventory.stop()
    assert world.asked.count("azure-lab") <= 5
    assert world.asked.count("gcp-lab") > 5


def test_an_address_that_is_none_stops_only_its_node(world: World) -> None:
    """It is refused when the connection is made, not when the coordinator starts."""
    load = world.load

    def picky(ssh: str, **_: Any) -> Any:
        if ssh == "@:":
            raise BadInput("“@:” is no SSH target", "write user@host:port")
        return world

    world.patch.setattr(
        inventory_module.adapters, "load", lambda group, name: picky if group == "transports" else load(group, name)
    )
    nodes = (NodeConfig(name="bad", ssh="@:"), NodeConfig(name="good", ssh="ops@h"))
    inventory = world.inventory(ClusterConfig(name="azure-lab", provider="azure", orchestrator="podman", nodes=nodes))
    inventory.start()
    (found,) = inventory.refresh()
    assert [node.state for node in found.nodes] == [ClusterState.UNREACHABLE, ClusterState.LIVE]
    assert (found.state, found.error, found.fix) == (ClusterState.LIVE, "“@:” is no SSH target", "write user@host:port")


def test_the_lab_is_no_cloud(world: World) -> None:
    lab, real = (ClusterConfig(name=n, provider="gcp", orchestrator="podman", lab=n == "lab") for n in ("lab", "real"))
    assert [cluster.simulated for cluster in world.inventory(lab, real).clusters()] == [True, False]


def test_a_refresh_waits_for_a_look_that_began_after_it(world: World) -> None:
    entered, held = threading.Event(), threading.Event()

    def slow(node: Node) -> tuple[Node, tuple[Service, ...]]:
        seen = fine(node)  # what it sees is what was there when it began
        entered.set()
        held.wait(5)
        return seen

    world.surveys["azure-lab"] = slow
    inventory = world.inventory(timeout=5.0, poll_watched=30.0, poll_idle=30.0)
    inventory.start()
    assert entered.wait(5)
    world.surveys["azure-lab"] = lambda node: (node, ())
    threading.Timer(0.05, held.set).start()
    assert inventory.refresh()[0].services == ()


def test_the_reserved_container_is_known_by_its_label(world: World) -> None:
    labels = {"umsui.io/migration": "m1"}
    world.surveys["gcp-lab"] = lambda node: (
        node, (Service("gcp-lab", "n1", "a-name-for-now", "x", "image", ServiceState.STOPPED, labels=labels),)
    )  # fmt: skip
    inventory = world.inventory()
    inventory.start()
    inventory.refresh()
    world.running = [migration("m1")]
    assert inventory.clusters()[1].services[0].state is ServiceState.ARRIVING
    world.running = [migration("m1", cancellable=False, step=Step.FIRST_REPLY)]  # decided: it is the service now
    assert inventory.clusters()[1].services[0].state is ServiceState.STOPPED


def test_who_begins_to_watch_need_not_wait_for_the_next_look(world: World) -> None:
    world.watched = False
    inventory = world.inventory(poll_idle=30.0, poll_watched=0.1)
    inventory.start()
    inventory.refresh()
    time.sleep(0.3)
    count = len(world.asked)
    world.watched = True
    waiting_for(lambda: len(world.asked) >= count + 2, 3)


def test_thousands_of_nodes_are_told_in_portions(world: World) -> None:
    """Every node changes with every look; what is told must not be nodes times nodes."""
    nodes = tuple(NodeConfig(name=f"n{number}", ssh="ops@h") for number in range(400))
    load = iter(range(1_000_000))
    world.surveys["big"] = lambda node: (replace(node, load=float(next(load))), ())
    inventory = world.inventory(
        ClusterConfig(name="big", provider="gcp", orchestrator="podman", nodes=nodes), poll_watched=0.3, poll_idle=0.3,
        timeout=10.0,
    )  # fmt: skip
    inventory.start()
    inventory.refresh()
    began, told, asked = time.monotonic(), len(world.told), len(world.asked)
    waiting_for(lambda: len(world.asked) > asked + 800, 20)
    assert len(world.told) - told <= (time.monotonic() - began) / inventory_module.GAP + 1
