"""Benchmarks as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umsui.cli import output

if TYPE_CHECKING:
    from umsui.bench import Document, Summary
    from umsui.bench.summary import Spread

SIZES = (
    "MiB",
    "PROC",
    "TOOL",
    "HOW",
    "DOWN s",
    "p95",
    "/PODMAN",
    "/CRIU",
    "TOTAL s",
    "p95",
    "WIRE",
    "INTACT",
    "AS SAID",
    "PAPER s",
)
PAIRS = ("FROM", "TO", "HOW", "MiB", "DOWN s", "p95", "TOTAL s", "p95", "INTACT", "WHY NOT")


def describe(document: Document) -> str:
    """Medians, 95th percentiles, and what they are compared with."""
    from umsui.bench import paper, summaries  # noqa: PLC0415

    found = summaries(document.rows)
    if document.figure == "heterogeneous":
        text = output.table(PAIRS, [_pair(each) for each in found], right=range(3, 9))
        notes = ["median and 95th percentile (nearest rank)"]
    else:
        text = _sizes(found)
        notes = [
            "median and 95th percentile (nearest rank) · /PODMAN, /CRIU: downtime over theirs in this run",
            f"AS SAID: downtimes inside their predicted intervals · PAPER: its total; {paper.HARDWARE}",
        ]
    machine, cost = document.machine, document.coordinator
    used = cost.get("rss_bytes") or [0]
    notes += [f"lab: {machine['kubernetes']}"] if machine.get("kubernetes") else []
    notes += [
        f"here: {machine.get('cores')} cores, {machine.get('cpu')}, links {document.rate}, {machine.get('date')}",
        f"coordinator: up in {cost.get('start_seconds', 0.0):.2f} s, "
        f"{output.size(used[-1])} after {len(used)} migrations",
    ]
    return "\n".join([text, "", *notes])


def _pair(each: Summary) -> tuple[str, ...]:
    times = (*_spread(each.downtime), *_spread(each.total))
    how = f"{each.approach} {each.strategy}"
    return (each.source, each.destination, how, str(each.mib), *times, f"{each.intact}/{each.runs}", each.refused)


def _sizes(found: list[Summary]) -> str:
    from umsui.bench import paper, ratios  # noqa: PLC0415

    to_podman, to_criu = ratios(found), ratios(found, "criu")
    rows = [
        (
            str(each.mib),
            str(each.processes),
            each.tool,
            f"{each.approach} {each.strategy}",
            *_spread(each.downtime),
            f"{to_podman[each]:.2f}" if each in to_podman else "",
            f"{to_criu[each]:.2f}" if each in to_criu else "",
            *_spread(each.total),
            output.size(each.wire.median) if each.wire else "-",
            f"{each.intact}/{each.runs}",
            "{}/{}".format(*each.foreseen) if each.foreseen[1] else "",
            _known(paper.total(each.approach, mib=each.mib, processes=each.processes)) if each.tool == "umsui" else "",
        )
        for each in found
    ]
    return output.table(SIZES, rows, right=(0, 1, *range(4, 14)))


def _spread(value: Spread | None) -> tuple[str, str]:
    return ("-", "-") if value is None else (f"{value.median:.3f}", f"{value.p95:.3f}")


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
