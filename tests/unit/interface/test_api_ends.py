"""A host's end of a move to a cluster: which process its words go to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from umsui.agent.host import Trouble
from umsui.errors import BadInput
from umsui.interface.api_ends import HostEnd
from umsui.interface.protocol import End


class Engine:
    """Orchestrator and transport of a host: one container, or none; notes what programs are started there."""

    name = "podman"

    def __init__(self) -> None:
        self.pid: int | None = 41
        self.looks = 0
        self.began: list[list[str]] = []

    def raw(self, transport: object, service: str) -> dict[str, Any]:
        self.looks += 1
        if self.pid is None:
            raise BadInput(f"there is no {service}", "")
        state = {"Pid": self.pid, "Status": "running"}
        return {"Id": "abc", "Created": "2026-11-29T10:00:00.123456789Z", "State": state}

    def program(self, words: list[str]) -> list[str]:
        self.began.append(words)
        return ["true"]


def made(engine: Engine) -> HostEnd:
    return HostEnd(cast(End, SimpleNamespace(orchestrator=engine, transport=engine, user="root")), "web")


def spoken_to(end: HostEnd, engine: Engine) -> list[str]:
    """Process, socket and container that the next words go to."""
    end.inside.open("talk").close()
    return engine.began[-1][-3:]


def test_it_is_looked_at_once_and_again_when_it_was_started_anew() -> None:
    engine = Engine()
    end = made(engine)
    assert [spoken_to(end, engine) for _ in range(3)] == [["41", "talk", "abc"]] * 3
    assert engine.looks == 1
    engine.pid = 42
    end.identity()  # what whoever got no answer asks for
    assert spoken_to(end, engine) == ["42", "talk", "abc"]
    assert engine.looks == 2


def test_one_that_is_gone_is_what_no_answer_is() -> None:
    engine = Engine()
    engine.pid = None
    with pytest.raises(Trouble, match="there is no web"):
        made(engine).inside.ask("status")
