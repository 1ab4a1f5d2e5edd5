"""``umsui bench`` while it runs, row by row, and the results of earlier runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical

from umsui.benchmarks import Benchmark
from umsui.console import keymap, words
from umsui.console.messages import Answered
from umsui.console.screens.page import Page, panel
from umsui.console.text import Line, column, crop
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.table import Table
from umsui.console.world import World

PACE = 1.5
"""Seconds between two looks while one runs, and ten times as many while none does."""

Row = Mapping[str, Any]
Way = tuple[str, str, str]
"""What was moved, by which tool, how."""


class BenchmarkTable(Table[Benchmark]):
    """One run of ``umsui bench`` a line."""

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__(
            "No benchmark yet: `umsui bench compare --sizes 64 --runs 3` makes one (root, Linux).", id="runs"
        )
        self._wall = wall

    def key(self, item: Benchmark) -> str:
        """Its id."""
        return item.id

    def heading(self, width: int) -> Line:  # noqa: ARG002
        """What, where, how far."""
        return [
            column("started", 18, "dim"),
            column("figure", 14, "dim"),
            column("links", 10, "dim"),
            column("rows", 6, "dim", right=True),
            ("   state", "dim"),
        ]

    def row(self, item: Benchmark, width: int) -> Line:
        """Running ones say so."""
        when = time.strftime("%d %b %H:%M:%S", time.localtime(item.started))
        if item.running:
            state = ("◐ running", "accent")
        elif item.finished is None:
            state = ("✕ broken off", "bad")
        else:
            state = (f"✓ took {words.duration(item.finished - item.started)}", "ok")
        cores = item.machine.get("cores")
        host = f"   {words.plural(int(cores), 'core')}, {item.machine.get('cpu', '')}" if cores else ""
        return crop(
            [
                column(when, 18, "dim"),
                column(item.figure, 14, "name"),
                column(item.rate, 10, "text"),
                column(str(item.count), 6, "text", right=True),
                ("   ", ""),
                state,
                (host, "dim"),
            ],
            width,
        )


class Medians(Canvas):
    """What was measured: medians by size and tool, bars on one scale; below them the rows as they came."""

    def __init__(self) -> None:
        super().__init__(classes="medians")
        self.benchmark: Benchmark | None = None
        self.back = 0

    def paint(self, width: int, height: int) -> list[Line]:
        """Medians first."""
        if self.benchmark is None:
            return []
        if not self.benchmark.rows:
            return [
                [(" its lab is being made; the first row comes soon" if self.benchmark.running else " no rows", "dim")]
            ]
        groups = grouped(self.benchmark.rows)
        wide = max(16, *(len(moved) + 1 for moved, *_ in groups))
        worst = max((value for rows in groups.values() for value in _known(rows, "downtime")), default=0.0)
        lines: list[Line] = [_heading(width, wide)]
        for way, rows in groups.items():
            lines.append(crop(_median(way, rows, worst, width, wide), width))
        lines += [[], [(" rows, newest first", "dim")]]
        room = max(height - len(lines), 0)
        rows = list(reversed(self.benchmark.rows))
        self.back = min(self.back, max(len(rows) - room, 0))
        return [*lines, *(crop(_single(row, wide), width) for row in rows[self.back : self.back + room])]


def grouped(rows: Iterable[Row]) -> dict[Way, list[Row]]:
    """By what was moved and how."""
    out: dict[Way, list[Row]] = {}
    for row in sorted(rows, key=_order):
        out.setdefault((_moved(row), row["tool"], _how(row)), []).append(row)
    return out


def _order(row: Row) -> tuple[Any, ...]:
    size = (row["mib"], row["processes"], row["source"], row["destination"])
    return (*size, row["tool"] != "umsui", row["tool"], row["approach"], row["strategy"])


def _moved(row: Row) -> str:
    """Its size; between which orchestrators where that is the question."""
    if row["figure"] == "heterogeneous":
        return f"{row['source']} → {row['destination']}"
    return f"{row['mib']} MiB" + (f", {row['processes']} proc" if row["processes"] > 1 else "")


def _how(row: Row) -> str:
    return f"{row['approach']} {row['strategy']}" if row["tool"] == "umsui" else str(row["strategy"])


def _known(rows: Sequence[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name) is not None]


def _middle(rows: Sequence[Row], name: str) -> str:
    known = _known(rows, name)
    return words.duration(median(known)) if known else words.NOTHING


def _heading(width: int, wide: int) -> Line:
    return crop(
        [
            (" ", ""),
            column("moved", wide, "dim"),
            column("by", 9, "dim"),
            column("how", 24, "dim"),
            column("runs", 6, "dim", right=True),
            column("intact", 8, "dim", right=True),
            column("down", 10, "dim", right=True),
            column("total", 10, "dim", right=True),
            ("   median downtime", "dim"),
        ],
        width,
    )


def _median(way: Way, rows: Sequence[Row], worst: float, width: int, wide: int) -> Line:
    moved, tool, how = way
    intact = sum(1 for row in rows if row["intact"])
    if why := next((row["reason"] for row in rows if row.get("reason") and not intact), ""):
        return [(" ", ""), column(moved, wide, "name"), column(tool, 9, "text"), column(how, 24, "dim"), (why, "dim")]
    down = _known(rows, "downtime")
    room = max(min(width - 74 - wide, 40), 0)
    cells = round(median(down) / worst * room) if down and worst else 0
    return [
        (" ", ""),
        column(moved, wide, "name"),
        column(tool, 9, "accent" if tool == "umsui" else "text"),
        column(how, 24, "dim"),
        column(str(len(rows)), 6, "text", right=True),
        column(f"{intact}/{len(rows)}", 8, "ok" if intact == len(rows) else "bad", right=True),
        column(_middle(rows, "downtime"), 10, "name", right=True),
        column(_middle(rows, "total"), 10, "text", right=True),
        ("   ", ""),
        ("━" * cells, "outage"),
    ]


def _single(row: Row, wide: int) -> Line:
    whole = ("✓ intact", "ok") if row["intact"] else ("✕ not intact", "bad")
    return [
        (" ", ""),
        column(_moved(row), wide, "text"),
        column(row["tool"], 9, "text"),
        column(_how(row), 24, "dim"),
        column(f"#{row['run']}", 6, "dim", right=True),
        ("  ", ""),
        column(row["outcome"], 12, "text"),
        column(words.duration(row.get("downtime")), 10, "text", right=True),
        column(words.duration(row.get("total")), 10, "text", right=True),
        ("   ", ""),
        whole,
    ]


class BenchmarksScreen(Page[None]):
    """Runs above, the one under the cursor below."""

    SCOPE = "benchmarks"
    CSS_PATH = "benchmarks.tcss"
    BINDINGS = keymap.bindings("benchmarks")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._quiet = 0

    def content(self) -> ComposeResult:
        """The runs, and one of them."""
        yield panel("benchmarks", BenchmarkTable(self.console.clock.wall), id="list")
        yield panel("result", Medians(), id="result")

    def on_mount(self) -> None:
        """Look, and go on looking."""
        self.ask("list", self._list, every=PACE)

    async def _list(self) -> Sequence[Benchmark] | None:
        """Seldom while none runs."""
        self._quiet = max(self._quiet - 1, 0)
        return None if self._quiet else await self.console.feed.benchmarks()

    def heard_list(self, message: Answered) -> None:
        """The runs; what is shown of the current one grows."""
        table = self.query_one(BenchmarkTable)
        if message.error:
            table.trouble(message.error)
        if message.value is None:
            return
        table.show(message.value)
        current, shown = table.current, self.query_one(Medians).benchmark
        if not any(each.running for each in message.value):
            self._quiet = 10
        if current is not None and (
            shown is None or (shown.id, shown.count) != (current.id, current.count) or current.running
        ):
            self._fetch(current.id)

    def _fetch(self, name: str) -> None:
        self.ask("one", lambda: self.console.feed.benchmark(name))

    def heard_one(self, message: Answered) -> None:
        """Its rows."""
        if isinstance(message.value, Benchmark):
            found, medians = message.value, self.query_one(Medians)
            medians.benchmark = found
            state = "running" if found.running else "over" if found.finished else "broken off"
            title = f"{found.figure}, links {found.rate}: {words.plural(found.count, 'row')}, {state}"
            title += f", {found.planned} of each planned" if found.running else ""
            self.query_one("#result", Vertical).border_title = title
            medians.repaint()

    def on_moved(self) -> None:
        """Another run."""
        current = self.query_one(BenchmarkTable).current
        if current is not None:
            self.query_one(Medians).back = 0
            self._fetch(current.id)

    def action_cursor(self, lines: int) -> None:
        """Up and down."""
        self.query_one(BenchmarkTable).step(lines)

    def action_page(self, way: int) -> None:
        """The rows."""
        medians = self.query_one(Medians)
        medians.back = max(medians.back + way * 10, 0)
        medians.repaint()

    def action_refresh_now(self) -> None:
        """Look now."""
        self._quiet = 0
        self.ask("list", self._list, every=PACE)
