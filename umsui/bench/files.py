"""A benchmark on disk: JSON for programs, CSV for spreadsheets, SVG for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

from umsui.bench import paper
from umsui.bench.plot import Panel, Series, svg
from umsui.bench.rows import COLUMNS, Document, Row
from umsui.bench.summary import Spread, Summary, summaries
from umsui.errors import BadInput

TITLES = {
    "compare": "umsui against podman container checkpoint + copy + restore",
    "overhead": "Migration overhead by memory size (the paper's Figure 4)",
    "dynamic": "Migration overhead of memory that grows meanwhile (the paper's Figure 5)",
    "processes": "Migration overhead by number of processes (the paper's Figure 6)",
}


def write(document: Document, folder: Path) -> list[Path]:
    """Write ``bench-FIGURE[-RATE].{json,csv,svg}`` and return their paths. Raises BadInput when that cannot be.

    What has no sizes to plot over has a table in Markdown in place of the picture.
    """
    name = f"bench-{document.figure}" + ("" if document.rate == "none" else f"-{document.rate}")
    texts = {
        "json": json.dumps(document.plain(), indent=1, ensure_ascii=False) + "\n",
        "csv": table(document.rows),
    }
    if document.figure == "heterogeneous":
        texts["md"] = pairs(document)
    else:
        texts["svg"] = picture(document)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.{ending}" for ending in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}", "choose another folder with --out") from error
    return paths


def table(rows: Iterable[Row]) -> str:
    """The rows as CSV, with the contract's names at the top."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([round(value, 6) if isinstance(value, float) else value for value in astuple(row)])
    return out.getvalue()


def pairs(document: Document) -> str:
    """From which orchestrator to which, by which approach: medians in seconds, or the reason why not."""
    found = summaries(document.rows)
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for each in found:
        text = each.refused or f"{each.intact} of {each.runs} intact"
        if each.downtime and each.total and each.sound:
            text = f"{each.downtime.median:.2f} s down, {each.total.median:.1f} s in all ({each.strategy})"
        cells.setdefault((each.source, each.destination), {})[each.approach] = text
    approaches = list(dict.fromkeys(each.approach for each in found))
    lines = [f"| from | to | {' | '.join(approaches)} |", "|---" * (2 + len(approaches)) + "|"]
    for ends, texts in cells.items():
        lines.append(f"| {' | '.join([*ends, *(texts.get(each, '') for each in approaches)])} |")
    return "\n".join(lines) + "\n"


def picture(document: Document) -> str:
    """The medians, with whiskers up to the 95th percentile; the paper's values beside ours."""
    found, machine = summaries(document.rows), document.machine
    x = "processes" if document.figure == "processes" else "MiB of memory"
    ours = _by_tool(found)
    bars = document.figure == "compare"
    down = Panel("Downtime, seen by a client asking each 5 ms", x, "seconds", _series(ours, "downtime", x), bars)
    whole = [*_series(ours, "total", x), *_papers(ours, x)]
    total = Panel("The whole migration", x, "seconds", whole, bars)
    note = f"{machine.get('date', '')[:10]} · {machine.get('cores', '?')} cores, {machine.get('cpu', '?')} · "
    note += f"links {document.rate} · median, whisker to p95 · paper: other hardware"
    return svg(TITLES[document.figure], note, [down, total])


def _by_tool(found: Iterable[Summary]) -> dict[str, list[Summary]]:
    groups: dict[str, list[Summary]] = {}
    for each in found:
        name = f"umsui {each.approach}, {each.strategy}" if each.tool == "umsui" else each.tool
        groups.setdefault(name, []).append(each)
    return groups


def _place(each: Summary, x: str) -> int:
    return each.processes if x == "processes" else each.mib


def _series(groups: dict[str, list[Summary]], what: str, x: str) -> list[Series]:
    made = []
    for name, members in groups.items():
        known: list[tuple[int, Spread]] = [
            (_place(each, x), value) for each in members if (value := getattr(each, what)) is not None
        ]
        medians, worst = {place: v.median for place, v in known}, {place: v.p95 for place, v in known}
        made.append(Series(name, medians, worst))
    return made


def _papers(groups: dict[str, list[Summary]], x: str) -> list[Series]:
    """What the paper has at the same places."""
    members: Sequence[Summary] = [each for group in groups.values() for each in group if each.tool == "umsui"]
    made = []
    for approach in dict.fromkeys(each.approach for each in members):
        values = {
            _place(each, x): value
            for each in members
            if (value := paper.total(approach, mib=each.mib, processes=each.processes)) is not None
        }
        if values:
            made.append(Series(f"paper {approach} (other hardware)", values, foreign=True))
    return made
