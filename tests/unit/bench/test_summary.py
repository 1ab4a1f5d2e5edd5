"""Statistics of rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from umsui.bench import paper
from umsui.bench.rows import COLUMNS, Document, Row
from umsui.bench.summary import percentile, ratios, spread, summaries

ROW = Row(
    "compare", "umsui", "orchestrator", "stop-copy", "podman", "podman", 64, 1, 0, 1, "committed", 0.2, 2.0, intact=True
)


def rows(tool: str, *downtimes: float | None, mib: int = 64) -> list[Row]:
    return [replace(ROW, tool=tool, mib=mib, run=n, downtime=each) for n, each in enumerate(downtimes, 1)]


def test_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert percentile([7.0], 0.0) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_spread_leaves_out_what_is_not_known() -> None:
    found = spread([0.3, None, 0.1])
    assert found is not None
    assert (found.median, found.p95, found.count) == (pytest.approx(0.2), 0.3, 2)
    assert spread([None]) is None


def test_ratio_is_to_podman_at_the_same_size() -> None:
    found = summaries([*rows("umsui", 0.2, 0.4), *rows("podman", 0.9, 0.3), *rows("umsui", 9.0, mib=256)])
    assert [(each.tool, each.mib) for each in found] == [("umsui", 64), ("podman", 64), ("umsui", 256)]
    assert [round(ratio, 3) for ratio in ratios(found).values()] == [0.5]


def test_ratio_to_criu_is_of_ours_only() -> None:
    found = summaries([*rows("umsui", 0.2), *rows("podman", 0.9), *rows("criu", 0.1)])
    assert [(each.tool, round(ratio, 3)) for each, ratio in ratios(found, "criu").items()] == [("umsui", 2.0)]


def test_pairs_of_orchestrators_are_kept_apart() -> None:
    refused = replace(ROW, destination="docker", outcome="refused", downtime=None, intact=False, reason="no CRIU")
    assert [(each.destination, each.refused) for each in summaries([ROW, refused])] == [
        ("podman", ""),
        ("docker", "no CRIU"),
    ]


def test_how_often_the_prediction_held() -> None:
    (found,) = summaries([replace(ROW, foreseen=True), replace(ROW, foreseen=False), ROW])
    assert found.foreseen == (1, 2)


def test_runs_that_failed_count_but_do_not_measure() -> None:
    failed = replace(ROW, outcome="rolled-back", downtime=None, total=9.0, intact=False)
    (found,) = summaries([ROW, failed])
    assert (found.runs, found.committed, found.intact, found.sound) == (2, 1, 1, False)
    assert found.total is not None
    assert found.total.p95 == 2.0


def test_arrived_but_not_whole_is_not_sound() -> None:
    (found,) = summaries([ROW, replace(ROW, intact=False)])
    assert found.committed == 2
    assert not found.sound


def test_row_has_the_contracts_names() -> None:
    assert (
        *("figure", "tool", "approach", "strategy", "source", "destination", "mib", "processes", "dirty_mib_s", "run"),
        *("outcome", "downtime", "total", "last_page", "creation", "checkpoint", "transfer", "restoration"),
        *("wire_bytes", "grow_mib_s", "intact", "reason", "foreseen"),
    ) == COLUMNS
    document = Document("compare", {"cores": 2}, "1gbit", [replace(ROW, downtime=1 / 3)]).plain()
    assert document["rate"] == "1gbit"
    assert tuple(document["rows"][0]) == COLUMNS
    assert document["rows"][0]["downtime"] == 0.333333
    assert document["rows"][0]["wire_bytes"] is None


def test_paper_has_values_only_where_it_measured() -> None:
    assert paper.total("container", mib=1024, processes=1) == 76.9
    assert paper.total("service", mib=0, processes=8) == 289.0
    assert paper.total("orchestrator", mib=3, processes=1) is None
    assert paper.total("orchestrator", mib=64, processes=2) is None
    assert paper.total("orchestrator", mib=0, processes=32) is None
