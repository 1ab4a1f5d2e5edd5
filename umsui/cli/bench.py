"""``umsui bench``: the paper's figures again, and ours beside podman's own way."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umsui import locations
from umsui.benchmarks import Recorder
from umsui.cli import bench_tables, output
from umsui.model import Exit

if TYPE_CHECKING:
    from umsui.bench import Place, Row, Summary, Wanted

    Figure = Callable[[Place, Wanted, Callable[[str], None]], Iterator[Row]]


class Numbers(click.ParamType[list[int]]):
    """Numbers with commas between; ``1-8`` is all from 1 to 8."""

    name = "numbers"

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Each once, in order."""
        if isinstance(value, list):
            return value
        found: set[int] = set()
        try:
            for part in str(value).split(","):
                first, dash, last = part.partition("-")
                low, high = int(first), int(last if dash else first)
                if not self._low <= low <= high <= self._high:
                    self.fail(f"{part}: each must be from {self._low} to {self._high}", param, ctx)
                found.update(range(low, high + 1))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers; write it like 0,64,256 or 1-8,32", param, ctx)
        return sorted(found)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all benchmarks can be told."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON document, a row a run."),
        click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write CSV, JSON and SVG there."),
        click.option("--lab-instance", type=click.IntRange(0, 31), default=None, help="The lab to make for it.  [4]"),
        click.option("--rate", default="1gbit", show_default=True, help="Of the links: 100mbit, 1gbit; or none."),
        click.option("--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Of each size."),
    ):
        command = option(command)
    return command


Command = Callable[..., Any]


def _sizes(default: str) -> Callable[[Command], Command]:
    return click.option("--sizes", type=Numbers(0, 65536), default=default, show_default=True, help="MiB of memory.")


_dirty = click.option(
    "--dirty", type=click.IntRange(0, 10000), default=0, show_default=True, help="MiB/s that the service rewrites."
)


@click.group()
def bench() -> None:
    """Measure: the paper's figures, and umsui beside podman's own checkpoint and restore.

    Makes a lab and a coordinator of its own, beside those that run, and removes them at the end. Needs root on Linux.
    Downtime is what a client saw that asks each 5 ms; every run checks that the service arrived with all its memory.

    \b
    Examples:
      umsui bench compare --sizes 0,64,256 --runs 3 --rate none
      umsui bench overhead --out docs
      umsui bench heterogeneous --runs 1
    """


@bench.command()
@_sizes("64,256,1024")
@_dirty
@click.option("--max-ratio", type=float, help="Fail when a downtime is more than this share of podman's.")
@_common
def compare(sizes: list[int], dirty: int, max_ratio: float | None, **options: Any) -> Exit:
    """Ours, `podman container checkpoint` + copy + `restore`, and CRIU alone, in turn, in one run.

    CRIU alone moves a plain process, stop-and-copy, with nothing around it: the floor of this machine.
    """
    from umsui.bench import compare as figure  # noqa: PLC0415
    from umsui.bench.service import Load  # noqa: PLC0415

    return _run("compare", figure, [Load(size, dirty=dirty) for size in sizes], max_ratio=max_ratio, **options)


@bench.command()
@_sizes("0,4,16,64,128,256,512,1024")
@_dirty
@_common
def overhead(sizes: list[int], dirty: int, **options: Any) -> Exit:
    """What a migration costs by memory size, for each approach (the paper's Figure 4)."""
    from umsui.bench import overhead as figure  # noqa: PLC0415
    from umsui.bench.service import Load  # noqa: PLC0415

    return _run("overhead", figure, [Load(size, dirty=dirty) for size in sizes], **options)


@bench.command()
@_sizes("64,256,1024")
@click.option(
    "--grow", type=click.IntRange(1, 10000), default=20, show_default=True, help="MiB/s that are added up to a size."
)
@_common
def dynamic(sizes: list[int], grow: int, **options: Any) -> Exit:
    """What a migration costs while the service's memory grows (the paper's Figure 5)."""
    from umsui.bench import dynamic as figure  # noqa: PLC0415
    from umsui.bench.service import Load  # noqa: PLC0415

    return _run("dynamic", figure, [Load(size, grow=grow) for size in sizes], **options)


@bench.command()
@click.option(
    "--processes", "counts", type=Numbers(1, 500), default="1-8,32", show_default=True, help="Of the service, in all."
)
@_common
def processes(counts: list[int], **options: Any) -> Exit:
    """What a migration costs by number of processes (the paper's Figure 6)."""
    from umsui.bench import processes as figure  # noqa: PLC0415
    from umsui.bench.service import Load  # noqa: PLC0415

    return _run("processes", figure, [Load(0, processes=count) for count in counts], **options)


@bench.command()
@_sizes("64")
@_common
def heterogeneous(sizes: list[int], **options: Any) -> Exit:
    """Each approach between each two orchestrators: podman, docker, Kubernetes (the paper's Table I).

    What is not feasible has its reason in the table. The lab's Kubernetes is compiled first where it is not in the
    cache, which takes minutes.
    """
    from umsui.bench import heterogeneous as figure  # noqa: PLC0415
    from umsui.bench.service import Load  # noqa: PLC0415

    return _run("heterogeneous", figure, [Load(size) for size in sizes], kind="mixed", **options)


@bench.command()
@click.option("--machines", type=click.IntRange(1, 100_000), default=10_000, show_default=True, help="In each cloud.")
@click.option("--runs", type=click.IntRange(1, 100), default=3, show_default=True, help="Of each tool.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, a row a run.")
def inventory(machines: int, runs: int, as_json: bool) -> Exit:
    """Listing a large fleet in Azure and Google Cloud, beside their bare SDKs, in turn, in one run.

    Against the local clouds of the repository's tests. Fails when it takes more than 1.3 times the SDK's time, more
    than 2 KiB a machine, more than 1 s from the first page to the board, or when a list without news is published.
    """
    from umsui.bench import inventory as figure  # noqa: PLC0415
    from umsui.bench.place import machine  # noqa: PLC0415

    rows = list(figure.inventory(machines, runs, output.say))
    found = figure.verdicts(rows)
    if as_json:
        output.document({"machine": machine(), "rate": "none", "rows": figure.plain(rows)})
    else:
        heads = ("PROVIDER", "MACHINES", "UMSUI s", "SDK s", "RATIO", "FIRST s", "BYTES/MACHINE", "NO-NEWS EVENTS")
        table = [
            (
                each.provider,
                str(machines),
                f"{each.ours:.2f}",
                f"{each.theirs:.2f}",
                f"{each.ratio:.2f}",
                f"{each.first:.2f}",
                f"{each.memory:.0f}",
                str(each.events),
            )
            for each in found
        ]
        click.echo(output.table(heads, table, right=range(1, 8)))
        click.echo("medians · FIRST: from the first page to the board")
    broken = [words for each in found for words in each.broken]
    for words in broken:
        output.say(words)
    return Exit.ROLLED_BACK if broken else Exit.DONE


def _terminated(number: int, frame: Any) -> None:  # noqa: ARG001
    raise KeyboardInterrupt  # so that the lab goes down


def _run(
    name: str,
    figure: Figure,
    loads: list[Any],
    *,
    runs: int,
    rate: str,
    lab_instance: int | None,
    out: Path | None,
    as_json: bool,
    max_ratio: float | None = None,
    kind: str = "podman",
) -> Exit:
    from umsui import bench as bench_  # noqa: PLC0415

    signal.signal(signal.SIGTERM, _terminated)
    instance = bench_.DEFAULT_INSTANCE if lab_instance is None else lab_instance
    folder = locations.ensure(locations.benchmarks_dir())  # before the benchmark's own folders are in force
    with bench_.Place(instance, rate, output.say, kind) as place:
        wanted = bench_.Wanted(loads, runs)
        with Recorder(folder, name, rate, runs * len(loads), place.machine) as recorder:
            rows = []
            for row in figure(place, wanted, output.say):
                rows.append(row)
                recorder.row(asdict(row))
        document = bench_.Document(name, place.machine, rate, rows, place.coordinator())
    written = bench_.write(document, out) if out is not None else []
    for path in written:
        output.say(f"wrote {path}")
    if as_json:
        output.document(document.plain())
    else:
        click.echo(bench_tables.describe(document))
    return _verdict(bench_.summaries(document.rows), max_ratio, refusals=name == "heterogeneous")


def _verdict(found: list[Summary], max_ratio: float | None, *, refusals: bool) -> Exit:
    """Whether all of it held; ``refusals``: a reason why not is a result, too."""
    from umsui.bench import ratios  # noqa: PLC0415

    failed = [each for each in found if not each.sound and not (refusals and each.refused)]
    for each in failed:
        output.say(f"{each.tool} at {each.mib} MiB: {each.runs - each.intact} of {each.runs} runs did not arrive whole")
    # A limit holds only where there is something to compare.
    compared = ratios(found)
    above = [(each, ratio) for each, ratio in compared.items() if max_ratio is not None and ratio > max_ratio]
    for each, ratio in above:
        output.say(f"at {each.mib} MiB the downtime is {ratio:.2f} of podman's, more than {max_ratio:g}")
    missing = max_ratio is not None and not compared
    return Exit.ROLLED_BACK if failed or above or missing else Exit.DONE
