"""Which limits of an outer container a move lifts, and puts back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from umsui.adapters import Completed
from umsui.interface import room
from umsui.model import Specification

SPEC = Specification(name="x", image="y")


@pytest.mark.parametrize(
    ("limit", "threads", "lifted"),
    [
        (0, 9, []),  # there is none
        (2048, 10, []),  # wide enough for the service and all that a move starts
        (2048, None, ["2304"]),  # nobody has counted
        (2048, 300, ["2304"]),  # a service that has many could have more
        (40, 1, ["296"]),
    ],
)
def test_a_limit_of_processes_is_lifted_where_it_is_narrow(limit: int, threads: int | None, lifted: list[str]) -> None:
    said: list[list[str]] = []

    def run(argv: list[str], timeout: float) -> Completed:
        said.append(argv)
        return Completed(0, b"", b"")

    end: Any = SimpleNamespace(orchestrator=SimpleNamespace(name="podman"), transport=SimpleNamespace(run=run))
    for more in (True, False):
        room.change(cast(Any, end), replace(SPEC, pids_limit=limit), threads, more=more)
    wanted = [*lifted, *([str(limit)] if lifted else [])]
    assert said == [["podman", "update", "--pids-limit", each, "x"] for each in wanted]
