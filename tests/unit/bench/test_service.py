"""Whether a service has arrived whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from umsui.bench import service
from umsui.lab.topology import Lab

BEFORE = {"nonce": "a1", "count": 100}


@pytest.mark.parametrize(
    ("now", "whole", "word"),
    [
        ({"nonce": "a1", "count": 150}, {"ok": True}, ""),
        ({"nonce": "b2", "count": 150}, {"ok": True}, "afresh"),
        ({"nonce": "a1", "count": 100}, {"ok": True}, "counter"),
        ({"nonce": "a1", "count": 150}, {"ok": False}, "checksum"),
        (None, {"ok": True}, "does not answer"),
        ({"nonce": "a1", "count": 150}, None, "does not answer"),
    ],
)
def test_damage(now: Any, whole: Any, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ask(host: Any, target: str = "/", timeout: float = 0.0) -> Any:
        answer = now if target == "/" else whole
        if answer is None:
            raise ConnectionResetError("reset")
        return answer

    monkeypatch.setattr(service, "ask", ask)
    monkeypatch.setattr(service, "ANSWER", 0.1)
    monkeypatch.setattr(service, "_state", lambda host: "S poll")
    found = service.damage(Lab(4, tmp_path).hosts[0], dict(BEFORE))
    assert word in found
    assert bool(word) == bool(found)
