from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from umsui.__main__ import main
from umsui.cli import follow, session

from .fake import Fake


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Umsui = Callable[..., Answer]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    api = Fake()
    monkeypatch.setattr(session, "connect", lambda *, start=True: api)
    monkeypatch.setattr(session, "ensure", lambda: None)
    monkeypatch.setattr(follow, "PAUSE", 0.0)
    return api


@pytest.fixture
def umsui(fake: Fake, capsys: pytest.CaptureFixture[str]) -> Umsui:
    def call(*arguments: str) -> Answer:
        code = main(arguments)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call
