"""A small world for the decision tests: three clusters, and facts that nothing is wrong with."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from umsui.decision import planned
from umsui.decision.situation import Situation
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.model import (
    Approach,
    Cluster,
    ClusterState,
    Estimate,
    Migration,
    MigrationRequest,
    Node,
    Outcome,
    Overhead,
    Place,
    Plan,
    Port,
    Service,
    ServiceState,
    Specification,
    StartFirst,
    Strategy,
)

MIB = 1 << 20
GIB = 1 << 30

NODE = NodeFacts(
    hostname="n1",
    kernel="6.18.5",
    arch="x86_64",
    cpu_flags=frozenset({"sse2", "avx2", "md_clear"}),
    cpu_model="Intel(R) Xeon(R) Platinum",
    criu=(4, 2, 1),
    criu_needs=(4, 2),
    runtimes={"crun": "1.21"},
    orchestrator_version="5.4.2",
    root=True,
    memory_free=8 * GIB,
    run_free=4 * GIB,
    disk_free=40 * GIB,
    cgroup="v2",
    tools={"ssh": True, "rsync": True, "python3": True, "tar": True, "nft": True},
    listening_ports=frozenset({("tcp", 22)}),
    userfaultfd=True,
    images=frozenset({"abc"}),
    boot_time=1000.0,
    clock=2000.0,
)
FACTS = ServiceFacts(processes=1, memory=64 * MIB, runtime="crun", log_format="k8s-file")
LINK = LinkFacts(reachable=True, rtt=0.0002, bandwidth=117e6)
SPEC = Specification(name="memhog", image="memhog:latest", image_id="abc", ports=(Port(8000, 8000),))
REGISTRY: dict[Any, Any] = {(Approach.ORCHESTRATOR, Strategy.STOP_COPY, "podman", "podman"): object}


def service(cluster: str = "azure-lab", node: str = "n1", name: str = "memhog", **more: Any) -> Service:
    return Service(cluster, node, name, f"{name}-id", "image", more.pop("state", ServiceState.UP), **more)


def board() -> list[Cluster]:
    live = ClusterState.LIVE
    return [
        Cluster(
            "azure-lab",
            "azure",
            "podman",
            state=live,
            nodes=(
                Node("azure-lab", "n1", "root@a", live, memory_free=GIB),
                Node("azure-lab", "n2", "root@b", live, memory_free=GIB),
            ),
            services=(service(), service(name="redis"), service(node="n2", name="nginx")),
        ),
        Cluster(
            "gcp-lab",
            "gcp",
            "podman",
            state=live,
            nodes=(
                Node("gcp-lab", "g1", "root@c", live, memory_free=GIB),
                Node("gcp-lab", "g2", "root@d", live, memory_free=2 * GIB),
            ),
            services=(service("gcp-lab", "g1", "nginx"),),
        ),
        Cluster(
            "onprem-lab",
            "onprem",
            "docker",
            state=ClusterState.UNREACHABLE,
            error="no route to host",
            nodes=(Node("onprem-lab", "o1", "root@e", ClusterState.UNREACHABLE, "no route to host"),),
        ),
    ]


def case(**changes: Any) -> Situation:
    base = Situation(service(), SPEC, Place("azure-lab", "n1"), Place("gcp-lab", "g2"), NODE, NODE, FACTS, LINK)
    return replace(base, **changes)


def request(text: str = "azure-lab/memhog", to: str = "gcp-lab", **more: Any) -> MigrationRequest:
    return MigrationRequest(text, to, **more)


def migration(number: int, downtime: float, predicted: float, **more: Any) -> Migration:
    return Migration(
        id=f"m{number:04}",
        service="azure-lab/memhog",
        source=Place("azure-lab", "n1"),
        destination=Place("gcp-lab", "g2"),
        approach=Approach.ORCHESTRATOR,
        strategy=Strategy.STOP_COPY,
        outcome=more.pop("outcome", Outcome.COMMITTED),
        downtime=downtime,
        overhead=Overhead(total=downtime + 1),
        predicted={"downtime": [predicted * 0.7, predicted, predicted * 1.7]},
        started=float(number),
        finished=float(number) + 2,
        **more,
    )


class World:
    """A resolver and probes in one, counting what it is asked."""

    def __init__(self, clusters: list[Cluster] | None = None, **facts: Any) -> None:
        self.board = clusters if clusters is not None else board()
        self.facts = facts
        self.asked: list[str] = []

    def clusters(self) -> list[Cluster]:
        return self.board

    def end(self, place: Place) -> Any:
        self.asked.append(f"{place.cluster}/{place.node}")
        orchestrator = SimpleNamespace(
            specification=lambda _t, name: replace(self.facts.get("spec", SPEC), name=name),
            raw=lambda _t, _n: {},
            unsupported=lambda _raw: self.facts.get("unsupported", ()),
        )
        return SimpleNamespace(place=place, transport=SimpleNamespace(address="10.77.0.12"), orchestrator=orchestrator)

    def start_first(self, place: Place, source: Node | None) -> StartFirst:
        assert source is not None
        return StartFirst(place, Estimate(8, 25, 90), 0.44)

    def warm(self, *ends: Any) -> None:
        self.asked.append(f"warm {len(ends)}")

    def node(self, end: Any, *, taken: bool = False) -> NodeFacts:
        found: NodeFacts = self.facts.get(end.place.cluster, NODE)
        return found

    def service(self, end: Any, name: str) -> ServiceFacts:
        assert name in ("memhog", "other")
        found: ServiceFacts = self.facts.get("service", FACTS)
        return found

    def cpu(self, source: Any, destination: Any) -> str:
        return str(self.facts.get("cpu", ""))

    def paths(self, end: Any, paths: Any) -> dict[str, str]:
        found: dict[str, str] = self.facts.get("paths", {}).get(end.place.cluster, {})
        return found

    def link(self, source: Any, destination: Any) -> LinkFacts:
        found: LinkFacts = self.facts.get("link", LINK)
        return found


def plan(asked: MigrationRequest, world: World, registry: Any) -> Plan:
    """What would be done in this world."""
    return planned(asked, world, world, registry=registry)[0]
