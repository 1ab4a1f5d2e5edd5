from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.providers.naming import clean, distinct, ssh_target, wanted
from umsui.config import ClusterConfig
from umsui.model import Machine, Node


def node(name: str, group: str, number: int = 0) -> Node:
    return Node("prod", clean(name), "", machine=Machine(f"/{group}/{name}/{number}"))


def scope(each: Node) -> str:
    assert each.machine is not None
    return each.machine.id.split("/")[1]


names = st.sampled_from(["web", "web.a", "web.b", "web.a-2", "db"])
fleets = st.lists(st.builds(node, names, st.sampled_from("ab")), max_size=12).map(
    lambda found: [
        replace(each, machine=replace(each.machine, id=f"{each.machine.id}{n}"))  # type: ignore[type-var]
        for n, each in enumerate(found)
    ]
)


@given(fleets, st.randoms())
def test_law_names_are_distinct_in_whatever_order_they_come(fleet: list[Node], chance: object) -> None:
    named = distinct(fleet, scope)
    assert len({each.name for each in named}) == len(fleet)
    assert [each.machine for each in named] == [each.machine for each in fleet]
    shuffled = list(fleet)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    by_id = {each.machine.id: each.name for each in named if each.machine}
    assert by_id == {each.machine.id: each.name for each in distinct(shuffled, scope) if each.machine}


@given(fleets)
def test_law_a_name_that_occurs_once_stays(fleet: list[Node]) -> None:
    before = [each.name for each in fleet]
    for old, new in zip(fleet, distinct(fleet, scope), strict=True):
        if before.count(old.name) == 1:
            assert new is old


@given(st.text(max_size=40))
def test_law_a_clean_name_can_be_typed(name: str) -> None:
    found = clean(name)
    assert found
    assert found.isprintable()
    assert not set(found) & set("/ \t\n@:")
    assert clean(found) == found


def test_same_names_get_their_resource_group() -> None:
    found = distinct([node("web", "east"), node("web", "west"), node("db", "east")], scope)
    assert [each.name for each in found] == ["web.east", "web.west", "db"]


@pytest.mark.parametrize(
    ("settings", "public", "private", "target"),
    [
        ({}, ["198.18.0.1"], ["10.0.0.1"], "198.18.0.1"),
        ({}, [], ["10.0.0.1"], "10.0.0.1"),
        ({"address": "private"}, ["198.18.0.1"], ["10.0.0.1"], "10.0.0.1"),
        ({"address": "public"}, [], ["10.0.0.1"], ""),
        ({"ssh_user": "ops", "ssh_port": 2222}, [], ["10.0.0.1"], "ops@10.0.0.1:2222"),
        ({"ssh_port": 2222}, [], ["fd00::1"], "[fd00::1]:2222"),
    ],
)
def test_ssh_targets(settings: dict[str, object], public: list[str], private: list[str], target: str) -> None:
    config = ClusterConfig(name="a", provider="azure", orchestrator="podman", **settings)  # type: ignore[arg-type]
    assert ssh_target(config, public, private) == target


def test_tags() -> None:
    assert wanted({"Team": "a", "umsui": "x"}, {"team": "a"})
    assert wanted({"umsui": "x"}, {"umsui": "*"})
    assert not wanted({"umsui": "x"}, {"umsui": "X"})
    assert not wanted(None, {"umsui": "*"})
    assert wanted(None, {})
