"""The benchmarks themselves: which service is moved by which tool, how often; each yields a row a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from umsui.bench import service
from umsui.bench.movers import Measured, Mover, Ours, PodmansOwn
from umsui.bench.place import Place
from umsui.bench.raw_criu import RawCriu
from umsui.bench.rows import Row
from umsui.bench.service import Load
from umsui.errors import UmsuiError
from umsui.interface import APPROACHES
from umsui.lab.topology import Host
from umsui.model import Approach, Outcome, Strategy

ORCHESTRATOR = "podman"  # of the lab's hosts, but for the heterogeneous one
SOURCE, DESTINATION = "azure-1", "gcp-1"
PAIRS = (  # hosts of the mixed lab: from podman, docker and Kubernetes, to each of them
    *(("azure-1", "azure-2"), ("azure-1", "gcp-1"), ("azure-1", "gke-1")),
    *(("gcp-1", "azure-1"), ("gcp-1", "onprem-1"), ("gcp-1", "aks-1")),
    *(("aks-1", "onprem-1"), ("aks-1", "azure-1"), ("aks-1", "gke-1")),
)
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured: each load, ``runs`` times."""

    loads: Sequence[Load]
    runs: int


def compare(place: Place, wanted: Wanted, report: Report) -> Iterator[Row]:
    """Ours, podman's own checkpoint + copy + restore, and CRIU alone: in turn, now from one end, now from the other."""
    ends = place.host(SOURCE), place.host(DESTINATION)
    movers: list[Mover] = [*_ours(place, Approach.ORCHESTRATOR), PodmansOwn(*ends), RawCriu(*ends)]
    return _measure("compare", place, wanted, movers, report)


def overhead(place: Place, wanted: Wanted, report: Report) -> Iterator[Row]:
    """Figure 4: size against approach, for every approach that is built, and CRIU alone."""
    movers: list[Mover] = [*_ours(place), RawCriu(place.host(SOURCE), place.host(DESTINATION))]
    return _measure("overhead", place, wanted, movers, report)


def dynamic(place: Place, wanted: Wanted, report: Report) -> Iterator[Row]:
    """Figure 5: memory that grows while it moves."""
    return _measure("dynamic", place, wanted, _ours(place), report)


def processes(place: Place, wanted: Wanted, report: Report) -> Iterator[Row]:
    """Figure 6: number of processes against approach."""
    return _measure("processes", place, wanted, _ours(place), report)


def heterogeneous(place: Place, wanted: Wanted, report: Report) -> Iterator[Row]:
    """Table I: each approach between each two orchestrators; where one is not feasible, the reason."""
    for host in {place.host(name) for pair in PAIRS for name in pair}:
        service.prepare(host)
    movers: list[Mover] = [
        Ours(place.client, source, destination, approach, _strategy(approach, source, destination))
        for source, destination in (map(place.host, pair) for pair in PAIRS)
        for approach in Approach
    ]
    return _measure("heterogeneous", place, wanted, movers, report)


def _strategy(approach: Approach, source: Host, destination: Host) -> Strategy:
    """The better of the two that lose nothing when the source dies."""
    ahead = (approach, Strategy.PRE_COPY, source.orchestrator, destination.orchestrator)
    return Strategy.PRE_COPY if ahead in APPROACHES else Strategy.STOP_COPY


def _ours(place: Place, only: Approach | None = None) -> list[Mover]:
    """Every way of ours between two hosts of the lab."""
    source, destination = place.host(SOURCE), place.host(DESTINATION)
    found: list[tuple[Approach, Strategy]] = [
        (approach, strategy)
        for approach, strategy, *ends in APPROACHES
        if ends == [ORCHESTRATOR, ORCHESTRATOR] and only in (None, approach)
    ]
    return [Ours(place.client, source, destination, *each) for each in found]


def _measure(figure: str, place: Place, wanted: Wanted, movers: Sequence[Mover], report: Report) -> Iterator[Row]:
    _bring_images(place, movers, report)
    count, done = wanted.runs * len(wanted.loads) * len(movers), 0
    for run in range(1, wanted.runs + 1):
        for load in wanted.loads:
            for mover in movers if run % 2 else reversed(movers):
                done += 1
                row, note = _once(figure, place, load, mover, run)
                report(f"[{done}/{count}] {_words(row)}{f' ({note})' if note else ''}")
                yield row


def _bring_images(place: Place, movers: Sequence[Mover], report: Report) -> None:
    """One move by each approach that needs images of its own, not counted: at the next their images are there."""
    own = [mover for mover in movers if mover.approach != Approach.ORCHESTRATOR]
    for mover in {(mover.approach, mover.ends): mover for mover in reversed(own)}.values():
        row, note = _once("", place, Load(0), mover, 0)
        report(f"[images] {mover.approach}: {row.outcome} ({note})")


def _once(figure: str, place: Place, load: Load, mover: Mover, run: int) -> tuple[Row, str]:
    """One service started, moved, checked and removed."""
    source, destination = mover.ends
    harm = "it did not move"
    try:
        before = mover.start(load)
        measured = mover.move()
        if measured.outcome == Outcome.COMMITTED:
            harm = service.damage(destination, before)
    except UmsuiError as error:
        measured = Measured(Outcome.REFUSED.value, note=error.message)
    finally:
        service.remove(source, destination)
    if mover.tool == Ours.tool:
        place.note_memory()
    values = asdict(measured)
    said = values.pop("note")
    note = "; ".join(part for part in (harm, said) if part)
    row = Row(
        figure,
        mover.tool,
        mover.approach,
        mover.strategy,
        source.orchestrator,
        destination.orchestrator,
        load.mib,
        load.processes,
        load.dirty,
        run,
        **values,
        grow_mib_s=load.grow,
        intact=not harm,
        reason="" if measured.outcome == Outcome.COMMITTED else said.partition(" was asked for, but: ")[2] or said,
    )
    return row, note


def _words(row: Row) -> str:
    size = f"{row.mib} MiB" + (f", {row.processes} processes" if row.processes > 1 else "")
    down = "-" if row.downtime is None else f"{row.downtime:.3f} s"
    state = "intact" if row.intact else "NOT INTACT"
    ends = "" if row.source == row.destination == ORCHESTRATOR else f"{row.source} to {row.destination}, "
    return f"{row.tool} {row.approach} {row.strategy}, {ends}{size}: {row.outcome}, down {down}, {state}"
