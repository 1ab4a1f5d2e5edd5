"""The command: what it prints, what it takes, how it ends. No lab here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from umsui import bench
from umsui.__main__ import main
from umsui.bench.rows import COLUMNS, Row
from umsui.bench.service import Load
from umsui.model import Exit

from .test_summary import rows


class Nowhere:
    """A place without a lab."""

    machine: dict[str, Any] = {"cores": 2, "cpu": "test"}  # noqa: RUF012

    def __init__(self, instance: int, rate: str, report: Any, kind: str) -> None:
        self.instance, self.rate, self.kind = instance, rate, kind

    def __enter__(self) -> Nowhere:
        return self

    def __exit__(self, *what: object) -> None:
        pass

    def coordinator(self) -> dict[str, Any]:
        return {"start_seconds": 0.5, "rss_bytes": [1 << 20]}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    found = [*rows("umsui", 0.2), *rows("podman", 1.0)]

    def figure(place: Nowhere, wanted: bench.Wanted, report: Any) -> Iterator[Row]:
        report(f"loads {[load.mib for load in wanted.loads]}, processes {[load.processes for load in wanted.loads]}")
        yield from found

    monkeypatch.setattr(bench, "Place", Nowhere)
    monkeypatch.setattr(bench, "compare", figure)
    monkeypatch.setattr(bench, "processes", figure)
    monkeypatch.setattr(bench, "heterogeneous", figure)
    monkeypatch.setattr("signal.signal", lambda *words: None)
    return found


def test_json_is_the_contracts(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", "--sizes", "0,64", "--runs", "1", "--rate", "none", "--json"]) == Exit.DONE
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert {"machine", "rate", "rows"} <= set(told)
    assert tuple(told["rows"][0]) == COLUMNS
    assert "loads [0, 64]" in err


def test_table_has_medians_ratios_and_the_paper(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare"]) == Exit.DONE
    out, _ = capsys.readouterr()
    ours = next(line for line in out.splitlines() if "umsui" in line).split()
    assert "0.200" in ours
    assert "0.20" in ours
    assert ours[-1] == "6.1"
    assert "other hardware" in out


def test_limit_is_kept(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", "--max-ratio", "0.5"]) == Exit.DONE
    assert main(["bench", "compare", "--max-ratio", "0.1"]) == Exit.ROLLED_BACK
    measured.pop()  # nothing to compare with
    assert main(["bench", "compare", "--max-ratio", "0.5"]) == Exit.ROLLED_BACK


def test_a_run_that_lost_data_fails(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    measured[0] = replace(measured[0], intact=False)
    assert main(["bench", "compare"]) == Exit.ROLLED_BACK
    assert "did not arrive whole" in capsys.readouterr().err


def test_a_reason_why_not_is_a_result_between_orchestrators_only(
    measured: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    why = "no SSH to its node"
    measured[0] = replace(measured[0], destination="kubernetes", outcome="refused", intact=False, reason=why)
    assert main(["bench", "heterogeneous"]) == Exit.DONE
    out, _ = capsys.readouterr()
    line = next(line for line in out.splitlines() if "kubernetes" in line)
    assert line.startswith("podman")
    assert line.rstrip().endswith(why)
    assert main(["bench", "compare"]) == Exit.ROLLED_BACK


def test_ranges_of_processes(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "processes", "--processes", "1-3,32,2"]) == Exit.DONE
    assert "processes [1, 2, 3, 32]" in capsys.readouterr().err
    assert Load(0, processes=32).arguments == ("MIB=0", "CHILDREN=31", "DIRTY=0", "GROW=0")


@pytest.mark.parametrize("sizes", ["", "x", "1-", "-1", "9-1", "99999999", "0,,1"])
def test_nonsense_is_refused(sizes: str, measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", "--sizes", sizes]) == Exit.USAGE
