"""Several containers as one migration: what is told, what is called in which order, what is undone."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from umsui.core.agents import Agents
from umsui.core.session import AgentError
from umsui.errors import UmsuiError, Unreachable
from umsui.interface.composition import assembled, shared, users
from umsui.interface.protocol import End, Order
from umsui.interface.together import Chorus, Together
from umsui.model import Mount, Plan, Port, Specification

ONE, TWO = Mount("volume", "one", "/one"), Mount("volume", "two", "/two")
PARTS = (
    Specification("front", "web:1", ports=(Port(80, 80),), labels={"a": "1", "b": "2"}),
    Specification("writer", "db:1", mounts=(ONE, TWO), labels={"a": "1"}),
    Specification("cache", "db:1", mounts=(Mount("volume", "one", "/shared"),), labels={"a": "1", "b": "3"}),
)


def test_a_whole_of_parts() -> None:
    whole = assembled("shop", PARTS)
    assert (whole.name, whole.image, whole.labels) == ("shop", "web:1, db:1", {"a": "1"})
    assert whole.ports == (Port(80, 80),)
    assert len(whole.mounts) == 3


def test_what_they_share_is_carried_once() -> None:
    assert shared(PARTS) == [frozenset(), frozenset(), frozenset({"one"})]
    assert users(PARTS, ONE) == [(1, "/one"), (2, "/shared")]


def test_many_voices_as_one() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    chorus = Chorus(lambda kind, **data: told.append((kind, data)), 2)
    first, second = chorus.voice(0), chorus.voice(1)
    for voice in (first, second):
        voice("step", step="freeze", state="started")
    first("step", step="freeze", state="done", seconds=0.1)
    assert [data["state"] for _, data in told] == ["started"]
    second("step", step="freeze", state="done", seconds=0.3)
    assert told[-1][1] == {"step": "freeze", "state": "done", "seconds": 0.3}
    first("progress", what="memory", done=5, total=10, rate=None)
    second("progress", what="memory", done=1, total=2, rate=7.0)
    assert told[-1][1] == {"what": "memory", "done": 6, "total": 12, "rate": 7.0}
    second("progress", what="memory", done=2, total=None, rate=None)
    assert told[-1][1]["total"] is None
    first("log", level="info", message="hello")
    assert told[-1] == ("log", {"level": "info", "message": "hello"})


class Played(Together):
    """Its parts note what they are asked instead of asking it of agents; ``failing`` maps a part's call to an error."""

    def __init__(self, **failing: UmsuiError) -> None:
        nothing, nowhere = cast(Plan, None), cast(End, None)
        told, shop = (lambda *_, **__: None), assembled("shop", PARTS)
        super().__init__(Order("abc", nothing, shop, nowhere, nowhere, told, lambda: False, Agents()))
        self.asked: list[str] = []
        lock = threading.Lock()

        def ask(name: str, method: str) -> Any:
            def answer(*_: Any, **__: Any) -> dict[str, Any]:
                with lock:
                    self.asked.append(f"{name}.{method}")
                if f"{name}_{method}" in failing:
                    raise failing[f"{name}_{method}"]
                return {}

            return answer

        for part in self._parts:
            for method in ("freeze", "switch", "give_up", "rollback", "finish", "commit"):
                setattr(part, method, ask(part.order.specification.name, method))
        self._all = self._in_turn  # type: ignore[method-assign]

    def _in_turn(self, work: Any) -> list[Any]:
        return [getattr(part, work.__name__)() for part in self._parts]


def test_each_part_is_a_migration_of_its_own() -> None:
    assert [part.order.id for part in Played()._parts] == ["abc-0", "abc-1", "abc-2"]


def test_all_stand_still_before_one_is_dumped() -> None:
    move = Played()
    move.switch()
    assert move.asked[:3] == ["front.freeze", "writer.freeze", "cache.freeze"]
    assert sorted(move.asked[3:]) == ["cache.switch", "front.switch", "writer.switch"]


def test_one_that_fails_ends_the_switch() -> None:
    move = Played(writer_switch=AgentError("not dumped", code="not-dumped"))
    with pytest.raises(AgentError, match="not dumped"):
        move.switch()


def test_undoing_goes_on_past_one_that_cannot() -> None:
    move = Played(cache_rollback=Unreachable("gone"))
    with pytest.raises(Unreachable):
        move.rollback()
    assert move.asked == ["cache.rollback", "writer.rollback", "front.rollback"]


def test_who_owns_what_they_share_goes_last() -> None:
    move = Played()
    move.finish()
    assert move.asked == ["cache.finish", "writer.finish", "front.finish"]
