"""A pod of another namespace has a name with a stroke in it: what is typed still names one service."""

from __future__ import annotations

import pytest

from umsui.decision import find_service
from umsui.errors import BadInput
from umsui.model import Cluster, ClusterState, Service, ServiceState


def cluster(name: str, *services: str) -> Cluster:
    found = tuple(Service(name, "n1", each, each, "image", ServiceState.UP) for each in services)
    return Cluster(name, "onprem", "kubernetes", state=ClusterState.LIVE, services=found)


BOARD = [cluster("a", "web", "shop/web"), cluster("b", "other")]


@pytest.mark.parametrize(
    ("typed", "name"),
    [("a/web", "web"), ("a/shop/web", "shop/web"), ("shop/web", "shop/web"), ("web", "web"), ("other", "other")],
)
def test_finds(typed: str, name: str) -> None:
    assert find_service(BOARD, typed).name == name


@pytest.mark.parametrize("typed", ["c/web", "a/", "a/shop/none", "none"])
def test_says_what_is_not_there(typed: str) -> None:
    with pytest.raises(BadInput):
        find_service(BOARD, typed)
