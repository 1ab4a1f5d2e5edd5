"""What is written to disk."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from umsui.bench import files
from umsui.bench.plot import Panel, Series, svg
from umsui.bench.rows import COLUMNS, Document
from umsui.errors import BadInput

from .test_summary import ROW, rows

SVG = "{http://www.w3.org/2000/svg}"


def document(figure: str = "compare") -> Document:
    found = [*rows("umsui", 0.2, 0.3), *rows("podman", 1.0, 1.1), *rows("umsui", 0.1, mib=0)]
    return Document(figure, {"date": "2026-11-24T10:00:00+00:00", "cpu": "A & B <c>"}, "none", found)


@pytest.mark.parametrize("figure", ["compare", "overhead", "processes"])
def test_picture_is_well_formed_and_names_what_it_shows(figure: str) -> None:
    picture = ET.fromstring(files.picture(document(figure)))
    words = " ".join("".join(each.itertext()) for each in picture.iter(f"{SVG}text"))
    assert picture.find(f"{SVG}title") is not None
    assert "A & B <c>" in words
    assert "other hardware" in words
    assert "seen by a client" in words


def test_pairs_have_a_line_each_and_an_approach_a_column(tmp_path: Path) -> None:
    refused = {"outcome": "refused", "downtime": None, "total": None, "intact": False, "reason": "no way"}
    found = [ROW, replace(ROW, approach="service", **refused), replace(ROW, destination="docker", **refused)]
    table = Document("heterogeneous", {}, "none", found)
    assert files.pairs(table).splitlines() == [
        "| from | to | orchestrator | service |",
        "|---|---|---|---|",
        "| podman | podman | 0.20 s down, 2.0 s in all (stop-copy) | no way |",
        "| podman | docker | no way |  |",
    ]
    assert [path.suffix for path in files.write(table, tmp_path)] == [".json", ".csv", ".md"]


def test_everything_is_inside_the_picture() -> None:
    series = [Series("a", {0: 0.01, 1024: 90.0}, {1024: 99.0}), Series("b", {64: 3.0}, foreign=True)]
    for bars in (True, False):
        picture = ET.fromstring(svg("t", "n", [Panel("p", "x", "y", series, bars)]))
        for each in picture.iter():
            for name in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "width", "height"):
                assert 0 <= float(each.get(name, "0")) <= 760


def test_nothing_measured_still_makes_a_picture() -> None:
    failed = replace(ROW, outcome="rolled-back", downtime=None, total=None, intact=False)
    ET.fromstring(files.picture(Document("compare", {}, "none", [failed])))
    ET.fromstring(files.picture(Document("overhead", {}, "none")))


def test_written_files_agree(tmp_path: Path) -> None:
    made = files.write(replace(document(), rate="1gbit"), tmp_path / "new")
    assert [path.name for path in made] == [f"bench-compare-1gbit.{ending}" for ending in ("json", "csv", "svg")]
    told = json.loads(made[0].read_text())
    with made[1].open(newline="") as file:
        listed = list(csv.reader(file))
    assert tuple(listed[0]) == COLUMNS
    assert len(listed) - 1 == len(told["rows"]) == 5
    assert [row[COLUMNS.index("downtime")] for row in listed[1:]] == [str(row["downtime"]) for row in told["rows"]]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        files.write(document(), tmp_path / "file")
