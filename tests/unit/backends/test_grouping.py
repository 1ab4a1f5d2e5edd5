"""Which containers are one service."""

from __future__ import annotations

from typing import Any

from backends.orchestrators.grouping import LABEL, together
from umsui.model import Port, Service, ServiceState

COMPOSE = "com.docker.compose.project"


def container(name: str, **more: Any) -> Service:
    values = {"state": ServiceState.UP, "memory": 10, "processes": 1, **more}
    return Service("c", "n", name, f"{name}-id", f"image-{name}", **values)


def test_alone() -> None:
    one = container("web", labels={"a": "b"})
    assert together([one]) == (one,)


def test_a_label_makes_one_of_many() -> None:
    labels = {LABEL: "shop", "tier": "all"}
    members = [
        container("web", labels={**labels, "own": "1"}, ports=(Port(80, 8080),), volumes=1, started=5.0),
        container("db", labels=labels, volumes=2, started=3.0),
        container("other"),
    ]
    other, shop = together(members)
    assert other.name == "other"
    assert (shop.name, shop.key, shop.containers) == ("shop", "c/shop", ("db", "web"))
    assert (shop.memory, shop.processes, shop.volumes, shop.started) == (20, 2, 3, 3.0)
    assert shop.ports == (Port(80, 8080),)
    assert shop.labels == labels
    assert shop.status == "2 of 2 containers up"
    assert shop.image == "image-db, image-web"


def test_one_with_the_label_has_its_name() -> None:
    (only,) = together([container("web-1", labels={LABEL: "web"})])
    assert (only.name, only.containers) == ("web", ("web-1",))


def test_a_compose_project() -> None:
    project = {COMPOSE: "blog"}
    (blog,) = together([container("blog-web-1", labels=project), container("blog-db-1", labels=project)])
    assert (blog.name, len(blog.containers)) == ("blog", 2)
    (single,) = together([container("blog-web-1", labels=project)])
    assert (single.name, single.containers) == ("blog-web-1", ())


def test_the_worst_state_is_the_services() -> None:
    labels = {LABEL: "shop"}
    down = container("db", labels=labels, state=ServiceState.PAUSED, obstacle="paused: resume it first")
    (shop,) = together([container("web", labels=labels), down])
    assert shop.state is ServiceState.PAUSED
    assert shop.obstacle == "db: paused: resume it first"
    assert shop.status == "1 of 2 containers up"
