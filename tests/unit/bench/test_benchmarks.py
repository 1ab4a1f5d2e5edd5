"""A benchmark that others read along."""

from __future__ import annotations

from pathlib import Path

import pytest

from umsui import locations
from umsui.benchmarks import Recorder, known, read


def test_rows_as_they_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UMSUI_DATA_DIR", str(tmp_path))
    folder = locations.ensure(locations.benchmarks_dir())
    with Recorder(folder, "compare", "1gbit", 3, {"cores": 2}) as recorder:
        recorder.row({"tool": "umsui", "downtime": 0.1})
        [running] = known()
        assert (running.running, running.count, running.planned, running.figure) == (True, 1, 3, "compare")
        assert running.rows == ()
        assert read(folder / f"{running.id}.jsonl").rows == ({"tool": "umsui", "downtime": 0.1},)
    [over] = known()
    assert not over.running
    assert over.finished is not None


def test_one_that_was_killed_runs_no_longer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UMSUI_DATA_DIR", str(tmp_path))
    folder = locations.ensure(locations.benchmarks_dir())
    (folder / "x.jsonl").write_text('{"figure":"overhead","pid":999999999}\n{"row":{"mib":64}}\n{"row":{"mi')
    [found] = known()
    assert not found.running
    assert found.finished is None
    assert found.count == 1
