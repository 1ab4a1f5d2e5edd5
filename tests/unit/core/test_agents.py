"""One agent a node, whoever needs it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from tests.unit.core.test_session import HELLO, Wire
from tests.waiting import waiting_for
from umsui.adapters import Transport
from umsui.core.agents import Agents
from umsui.errors import Unreachable
from umsui.model import Place

HERE, THERE = Place("azure-lab", "a1"), Place("gcp-lab", "g1")


class Node:
    """A transport that counts the agents that were started over it."""

    def __init__(self, greeting: bool = True) -> None:
        self.wires: list[Wire] = []
        self._greeting = greeting

    def open(self, argv: Sequence[str]) -> Wire:
        self.wires.append(Wire())
        if self._greeting:
            self.wires[-1].say(HELLO)
        else:
            self.wires[-1].hang_up()
        return self.wires[-1].open(argv)


def transport(node: Node) -> Transport:
    return cast(Transport, node)


def test_one_for_each_node_however_many_ask_at_once() -> None:
    agents, here, there = Agents(), Node(), Node()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: agents.at(HERE, transport(here), "root"), range(8)))
    assert len(set(map(id, found))) == 1
    assert agents.at(THERE, transport(there), "root") is not found[0]
    assert (len(here.wires), len(there.wires)) == (1, 1)
    agents.close()
    assert here.wires[0].closed == there.wires[0].closed == 1


def test_a_lost_one_is_started_anew() -> None:
    agents, node = Agents(), Node()
    first = agents.at(HERE, transport(node), "root")
    node.wires[0].hang_up()
    waiting_for(lambda: not first.alive)
    assert agents.at(HERE, transport(node), "root") is not first
    assert len(node.wires) == 2
    agents.close()


def test_one_that_does_not_start_is_tried_again_by_the_next() -> None:
    agents, node = Agents(), Node(greeting=False)
    for _ in range(2):
        with pytest.raises(Unreachable, match="the agent does not start on azure-lab/a1"):
            agents.at(HERE, transport(node), "root")
    assert len(node.wires) == 2


def test_what_it_tells_goes_to_whom_it_is_about() -> None:
    agents, node = Agents(), Node()
    told: list[tuple[str, str, Any]] = []
    for migration in ("m-0", "m-1"):
        agents.listen(migration, lambda kind, of=migration, **data: told.append((of, kind, data)))
    agents.at(HERE, transport(node), "root")
    for migration in ("m-1", "other", "m-0"):
        node.wires[0].say({"event": "step", "migration": migration, "data": {"step": "freeze"}})
    waiting_for(lambda: len(told) == 2)
    assert told == [("m-1", "step", {"step": "freeze"}), ("m-0", "step", {"step": "freeze"})]
    agents.close()
