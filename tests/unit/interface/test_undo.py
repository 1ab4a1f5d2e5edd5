"""Undoing: a destination that does not answer, or cannot tidy up, does not keep the source frozen."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from umsui.core.agents import Agents
from umsui.core.session import AgentError
from umsui.errors import TimedOut, UmsuiError, Unknown, Unreachable
from umsui.interface.orchestrator_level import OrchestratorLevel
from umsui.interface.protocol import Order

UNDONE = ["destination.rollback", "source.thaw", "destination.close", "source.close"]


class Asked(OrchestratorLevel):
    """Notes what is asked of the nodes; the destination's rollback fails with what is in ``failures``, in turn."""

    def __init__(self, *failures: UmsuiError) -> None:
        super().__init__(Order("abc", *cast(Any, (None,) * 4), lambda *_, **__: None, lambda: False, Agents()))
        self.failures = list(failures)
        self.asked: list[str] = []

    def _ask(self, method: str, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        self.asked.append(method)
        if method == "destination.rollback" and self.failures:
            raise self.failures.pop(0)
        return {}


def test_the_destination_goes_first() -> None:
    move = Asked()
    move.rollback()
    assert move.asked == UNDONE


@pytest.mark.parametrize("error", [Unreachable("gone"), TimedOut("silent")], ids=repr)
def test_a_silent_destination_is_asked_again_and_the_source_thawed_once(error: UmsuiError) -> None:
    move = Asked(error)
    with pytest.raises(type(error)):
        move.rollback()
    assert move.asked == ["destination.rollback", "source.thaw"]
    move.rollback()
    assert move.asked == ["destination.rollback", "source.thaw", "destination.rollback", *UNDONE[2:]]


def test_a_destination_that_cannot_tidy_up() -> None:
    move = Asked(AgentError("stuck", code="restore-stuck"))
    with pytest.raises(Unknown, match="could not be undone: stuck"):
        move.rollback()
    assert move.asked == ["destination.rollback", "source.thaw"]


def test_an_open_gate_is_the_one_thing_that_keeps_it_frozen() -> None:
    move = Asked(AgentError("the gate is open", code="committed"))
    with pytest.raises(Unknown):
        move.rollback()
    assert move.asked == ["destination.rollback"]


def test_what_goes_on_beside_has_ended_before_anything_is_undone() -> None:
    move, go_on = Asked(), threading.Event()

    def open_the_wire() -> None:
        go_on.wait(10)
        move._ask("source.connect")

    move._open_wire = open_the_wire  # type: ignore[method-assign]
    move._begin_wire()
    threading.Timer(0.1, go_on.set).start()
    move.rollback()
    assert move.asked == ["source.connect", *UNDONE]


def test_a_wire_that_cannot_be_opened_is_the_connection_s_fault_whenever_that_is_noticed() -> None:
    move = Asked()

    def open_the_wire() -> None:
        raise Unreachable("no route")

    move._open_wire = open_the_wire  # type: ignore[method-assign]
    move._begin_wire()
    with pytest.raises(Unreachable) as noticed:
        move._wired()
    assert noticed.value.failure("reserve").step == "connect"
    move.rollback()
    assert move.asked == UNDONE
