from __future__ import annotations

import threading

import pytest

from umsui.errors import Cancelled
from umsui.interface import beside


def nothing() -> None:
    return


def test_what_is_waited_for_has_ended_or_come_far_enough() -> None:
    go = threading.Event()
    begun = beside.begin(go.wait, "test")
    beside.wait_for(begun, nothing, lambda: True)
    assert not begun.done()
    go.set()
    beside.wait_for(begun, nothing)
    assert begun.done()


def test_what_ended_it_is_raised_and_so_is_a_cancellation_meanwhile() -> None:
    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        beside.wait_for(beside.begin(fails, "test"), nothing)

    def cancelled() -> None:
        raise Cancelled("by the operator")

    go = threading.Event()
    begun = beside.begin(go.wait, "test")
    with pytest.raises(Cancelled):
        beside.wait_for(begun, cancelled)
    go.set()
    begun.result(5)


def test_who_watches_is_told_that_it_is_over_whatever_happened() -> None:
    ended = threading.Event()

    def watch(over: threading.Event) -> None:
        over.wait()
        ended.set()

    with pytest.raises(ValueError, match="broken"), beside.watching(watch):
        raise ValueError("broken")
    assert ended.wait(5)
