"""An agent in an outer container that has only just been started."""

from __future__ import annotations

from typing import Any, cast

import pytest

from umsui.errors import Unreachable
from umsui.interface import outer_ends
from umsui.interface.outer_ends import AGAIN, patiently


@pytest.mark.parametrize(
    ("fails", "code", "attempts"),
    [(0, "", 1), (2, "no-agent", 3), (AGAIN + 9, "no-agent", AGAIN + 1), (1, "connection-lost", 1)],
)
def test_it_is_started_again_while_the_container_lays_itself_out(
    monkeypatch: pytest.MonkeyPatch, fails: int, code: str, attempts: int
) -> None:
    monkeypatch.setattr(outer_ends, "PAUSE", 0.0)
    made: list[Any] = []

    def start() -> Any:
        made.append(object())
        if len(made) <= fails:
            raise Unreachable("OCI runtime exec failed", code=code)
        return made[-1]

    if fails < attempts:
        assert cast(Any, patiently(start)) is made[-1]
    else:
        with pytest.raises(Unreachable, match="OCI runtime"):
            patiently(start)
    assert len(made) == attempts
