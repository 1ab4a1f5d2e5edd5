"""The decision maker: what would be done, why, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from umsui.decision.combined import combined
from umsui.decision.cost import Load
from umsui.decision.preflight import budget, preflight
from umsui.decision.resolve import Resolution, resolve
from umsui.decision.selection import Choice, Question, Registry, select
from umsui.decision.situation import Situation, blocking
from umsui.interface import composition
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.interface.protocol import End
from umsui.model import Cluster, Finding, Migration, MigrationRequest, Node, Place, Plan, Specification, StartFirst


class Resolver(Protocol):
    """What the coordinator knows: the board, and how to reach a node."""

    def clusters(self) -> Sequence[Cluster]:
        """The board as it is known now."""

    def end(self, place: Place) -> End:
        """A connection to that node. Raises Unreachable."""

    def start_first(self, place: Place, source: Node | None) -> StartFirst:
        """What it takes to start a node's machine. Raises BadInput where no provider can."""


class Probes(Protocol):
    """How facts are found out: ``umsui.interface.probe.Probes``. Thread-safe; raises Unreachable, CommandFailed."""

    def warm(self, *ends: End) -> None:
        """Connect to these ends, at once."""

    def node(self, end: End, *, taken: bool = False) -> NodeFacts:
        """What the node has and lacks; ``taken``: also which names and ports are, and its images."""

    def service(self, end: End, name: str) -> ServiceFacts:
        """What the service is made of at this moment."""

    def paths(self, end: End, paths: Sequence[str]) -> Mapping[str, str]:
        """What each of these paths is there (``umsui.agent.traits.kinds``)."""

    def cpu(self, source: End, destination: End) -> str:
        """What CRIU says against the destination's CPU; "" when nothing."""

    def link(self, source: End, destination: End) -> LinkFacts:
        """The way from one node to the other."""


@dataclass(frozen=True, slots=True)
class ProbedContainer:
    """What the probes found of one container."""

    specification: Specification
    facts: ServiceFacts
    unsupported: tuple[str, ...] = ()
    paths_here: Mapping[str, str] = field(default_factory=dict)
    paths_there: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes found."""

    specification: Specification  # of the whole service
    containers: tuple[ProbedContainer, ...]
    source: NodeFacts
    destination: NodeFacts
    link: LinkFacts
    cpu: str = ""


def planned(
    request: MigrationRequest,
    resolver: Resolver,
    probes: Probes,
    history: Sequence[Migration] = (),
    registry: Registry | None = None,
) -> tuple[Plan, Specification | None]:
    """Resolve, probe both ends at once, judge, choose and predict. Nothing is changed anywhere.

    The plan, and the service that it is for (None when its destination has to be started first). Raises BadInput,
    Unreachable, or what the probes raise. An infeasible plan is an answer, not an error. ``registry`` is
    ``umsui.interface.APPROACHES`` unless given.
    """
    if registry is None:
        from umsui.interface import APPROACHES  # noqa: PLC0415  (the approaches are heavy, and tests need none)

        registry = APPROACHES
    resolution = resolve(resolver.clusters(), request)
    if resolution.stopped:
        return start_first(request, resolution, resolver), None
    source, destination = resolver.end(resolution.source), resolver.end(resolution.destination)
    probed = probe(resolution, source, destination, probes)
    found, spec = decide(request, resolution, probed, history, registry), probed.specification
    published = [port.host for port in spec.ports if port.protocol == "tcp"]
    endpoint = f"{destination.transport.address}:{published[0]}" if published else ""
    return replace(found, endpoint=endpoint), spec


def start_first(request: MigrationRequest, resolution: Resolution, resolver: Resolver) -> Plan:
    """The destination's machine is off, so that it cannot be probed: what starting it takes and costs."""
    place, nodes = resolution.destination, resolution.source_cluster.nodes
    first = resolver.start_first(place, next((node for node in nodes if node.name == resolution.source.node), None))
    where = f"{place.cluster}/{place.node}"
    seconds, cost = first.time, f"; both machines cost {first.hourly:.3f} an hour while both are up"
    why = f"it is up about {seconds.mid:.0f} s ({seconds.low:.0f} to {seconds.high:.0f}) after it was told to start"
    fix = f"umsui nodes start {where}; or `umsui migrate --start`, which waits for it"
    what = f"{where} is switched off: start it first"
    return Plan(
        request=request,
        service=resolution.service.key,
        source=resolution.source,
        destination=place,
        approach=None,
        strategy=None,
        reason=what,
        verdicts=(),
        findings=(blocking("node-stopped", what, why + (cost if first.hourly is not None else ""), fix, where),),
        downtime=None,
        total=None,
        bytes={"memory": resolution.service.memory},
        processes=resolution.service.processes or 1,
        start_first=first,
    )


def probe(resolution: Resolution, source: End, destination: End, probes: Probes) -> Probed:
    """All facts, asked for at the same time: a plan is as fast as its slowest probe."""
    probes.warm(source, destination)
    service = resolution.service
    names = service.containers or (service.name,)
    with ThreadPoolExecutor(max_workers=4 + len(names), thread_name_prefix="probe") as pool:
        containers = [pool.submit(probe_container, name, source, destination, probes) for name in names]
        here = pool.submit(probes.node, source)
        there = pool.submit(probes.node, destination, taken=True)
        link = pool.submit(probes.link, source, destination)
        cpu = pool.submit(probes.cpu, source, destination)
        found = tuple(each.result() for each in containers)
        parts = [each.specification for each in found]
        return Probed(
            specification=composition.assembled(service.name, parts) if service.containers else parts[0],
            containers=found,
            source=here.result(),
            destination=there.result(),
            link=link.result(),
            cpu=cpu.result(),
        )


def probe_container(name: str, source: End, destination: End, probes: Probes) -> ProbedContainer:
    """All facts of one container."""
    orchestrator = source.orchestrator
    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="container") as pool:
        specified = pool.submit(orchestrator.specification, source.transport, name)
        lacking = pool.submit(lambda: tuple(orchestrator.unsupported(orchestrator.raw(source.transport, name))))
        facts = pool.submit(probes.service, source, name)
        spec = specified.result()
        bound = [mount.source for mount in spec.mounts if mount.kind == "bind"]
        here, there = (probes.paths(end, bound) if bound else {} for end in (source, destination))
        return ProbedContainer(spec, facts.result(), lacking.result(), here, there)


def decide(
    request: MigrationRequest,
    resolution: Resolution,
    probed: Probed,
    history: Sequence[Migration],
    registry: Registry,
) -> Plan:
    """The plan that follows from the facts: the same facts, the same plan."""
    case = situation(resolution, probed)
    question = Question(
        request=request,
        specification=probed.specification,
        source=resolution.source_cluster,
        destination=resolution.destination_cluster,
        source_node=probed.source,
        destination_node=probed.destination,
        load=load(case, request),
        facts=case.facts,
        history=history,
    )
    choice = select(question, registry)
    return _plan(case, request, choice, question.load)


def situation(resolution: Resolution, probed: Probed) -> Situation:
    """All that was found out, as preflight judges it."""
    service = resolution.service
    several = bool(service.containers)
    parts = [
        Situation(
            service=replace(service, name=f"{service.name}/{each.specification.name}") if several else service,
            specification=each.specification,
            source=resolution.source,
            destination=resolution.destination,
            source_node=probed.source,
            destination_node=probed.destination,
            facts=each.facts,
            link=probed.link,
            cpu=probed.cpu,
            unsupported=each.unsupported,
            paths_here=each.paths_here,
            paths_there=each.paths_there,
        )
        for each in probed.containers
    ]
    return combined(service, probed.specification, parts) if several else parts[0]


def load(case: Situation, request: MigrationRequest) -> Load:
    """What has to travel, and how fast it may."""
    rates = [rate for rate in (case.link.bandwidth, request.bandwidth) if rate]
    return Load(
        memory=case.checkpoint_bytes,
        processes=case.facts.processes,
        rootfs=case.facts.rootfs_bytes,
        volumes=sum(case.facts.volume_bytes.values()),
        image=case.image_bytes(),
        bandwidth=min(rates) if rates else None,
        rtt=case.link.rtt,
        dirty=case.facts.dirty_rate,
    )


def _plan(case: Situation, request: MigrationRequest, choice: Choice, cargo: Load) -> Plan:
    verdict, where = choice.verdict, case.service.key
    findings: tuple[Finding, ...] = preflight(case, verdict.approach if verdict else None)
    if verdict is None:
        others = list(dict.fromkeys(each.approach.value for each in choice.verdicts if each.feasible))
        why, fix = "nothing else was found that could move it", "mend what the verdicts say of an approach"
        if others:
            why, fix = "it was asked for this way", f"leave that to umsui: it can be moved {' or '.join(others)}-level"
        findings = (*findings, blocking("approach", choice.reason, why, fix, where))
    elif verdict.downtime and verdict.total:
        findings = (*findings, *budget(request, verdict.downtime, verdict.total, where))
    return Plan(
        request=request,
        service=case.service.key,
        source=case.source,
        destination=case.destination,
        approach=verdict.approach if verdict else None,
        strategy=verdict.strategy if verdict else None,
        reason=choice.reason,
        verdicts=choice.verdicts,
        findings=findings,
        downtime=verdict.downtime if verdict else None,
        total=verdict.total if verdict else None,
        bytes={"memory": cargo.memory, "rootfs": cargo.rootfs, "volumes": cargo.volumes, "image": cargo.image},
        processes=case.facts.processes,
        threads=case.facts.threads,
        containers=case.service.containers,
    )
