"""The decision maker: what would be done, why, and what it will cost."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from umsui.decision.cost import Load
from umsui.decision.preflight import budget, preflight
from umsui.decision.resolve import Resolution, resolve
from umsui.decision.selection import Choice, Question, Registry, select
from umsui.decision.situation import Situation, blocking
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.interface.protocol import End
from umsui.model import Cluster, Finding, Migration, MigrationRequest, Place, Plan, Specification


class Resolver(Protocol):
    """What the coordinator knows: the board, and how to reach a node."""

    def clusters(self) -> Sequence[Cluster]:
        """The board as it is known now."""

    def end(self, place: Place) -> End:
        """A connection to that node. Raises Unreachable."""


class Probes(Protocol):
    """How facts are found out: ``umsui.interface.probe.Probes``. Thread-safe; raises Unreachable, CommandFailed."""

    def warm(self, *ends: End) -> None:
        """Connect to these ends, at once."""

    def node(self, end: End) -> NodeFacts:
        """What the node has and lacks."""

    def service(self, end: End, name: str) -> ServiceFacts:
        """What the service is made of at this moment."""

    def link(self, source: End, destination: End) -> LinkFacts:
        """The way from one node to the other."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes found."""

    specification: Specification
    source: NodeFacts
    destination: NodeFacts
    service: ServiceFacts
    link: LinkFacts


def plan(
    request: MigrationRequest,
    resolver: Resolver,
    probes: Probes,
    history: Sequence[Migration] = (),
    registry: Registry | None = None,
) -> Plan:
    """Resolve, probe both ends at once, judge, choose and predict. Nothing is changed anywhere.

    Raises BadInput, Unreachable, or what the probes raise. An infeasible plan is an answer, not an error.
    ``registry`` is ``umsui.interface.APPROACHES`` unless given.
    """
    if registry is None:
        from umsui.interface import APPROACHES  # noqa: PLC0415  (the approaches are heavy, and tests need none)

        registry = APPROACHES
    resolution = resolve(resolver.clusters(), request)
    source, destination = resolver.end(resolution.source), resolver.end(resolution.destination)
    probed = probe(resolution, source, destination, probes)
    plan = decide(request, resolution, probed, history, registry)
    published = [port.host for port in probed.specification.ports if port.protocol == "tcp"]
    return replace(plan, endpoint=f"{destination.transport.address}:{published[0]}") if published else plan


def probe(resolution: Resolution, source: End, destination: End, probes: Probes) -> Probed:
    """All facts, asked for at the same time: a plan is as fast as its slowest probe."""
    probes.warm(source, destination)
    with ThreadPoolExecutor(max_workers=5, thread_name_prefix="probe") as pool:
        spec = pool.submit(source.orchestrator.specification, source.transport, resolution.service.name)
        here = pool.submit(probes.node, source)
        there = pool.submit(probes.node, destination)
        service = pool.submit(probes.service, source, resolution.service.name)
        link = pool.submit(probes.link, source, destination)
        return Probed(spec.result(), here.result(), there.result(), service.result(), link.result())


def decide(
    request: MigrationRequest,
    resolution: Resolution,
    probed: Probed,
    history: Sequence[Migration],
    registry: Registry,
) -> Plan:
    """The plan that follows from the facts: the same facts, the same plan."""
    case = Situation(
        service=resolution.service,
        specification=probed.specification,
        source=resolution.source,
        destination=resolution.destination,
        source_node=probed.source,
        destination_node=probed.destination,
        facts=probed.service,
        link=probed.link,
    )
    question = Question(
        request=request,
        specification=probed.specification,
        source=resolution.source_cluster,
        destination=resolution.destination_cluster,
        source_node=probed.source,
        destination_node=probed.destination,
        load=load(case, request),
        history=history,
    )
    choice = select(question, registry)
    return _plan(case, request, choice, question.load)


def load(case: Situation, request: MigrationRequest) -> Load:
    """What has to travel, and how fast it may."""
    rates = [rate for rate in (case.link.bandwidth, request.bandwidth) if rate]
    return Load(
        memory=case.facts.memory,
        processes=case.facts.processes,
        rootfs=case.facts.rootfs_bytes,
        volumes=sum(case.facts.volume_bytes.values()),
        image=case.image_bytes(),
        bandwidth=min(rates) if rates else None,
        rtt=case.link.rtt,
    )


def _plan(case: Situation, request: MigrationRequest, choice: Choice, cargo: Load) -> Plan:
    verdict, where = choice.verdict, case.service.key
    findings: tuple[Finding, ...] = preflight(case)
    if verdict is None:
        why, fix = "nothing else was found that could move it", "see the verdicts of `umsui plan`"
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
    )
