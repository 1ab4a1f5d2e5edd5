"""The world of the console's tests: three clouds, some services, and the plan of every move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from umsui.benchmarks import Benchmark
from umsui.errors import BadInput
from umsui.model import (
    Approach,
    Authority,
    Cluster,
    ClusterState,
    Estimate,
    Finding,
    MigrationRequest,
    Mount,
    Node,
    Place,
    Plan,
    Port,
    Service,
    ServiceState,
    Specification,
    Strategy,
    Verdict,
)
from umsui.vitals import Link, NodeDetail, Process, Socket, Vitals, Volume

MIB = 2**20
DATA = "/var/lib/containers/storage/volumes/memhog-data/_data"
START = 1_764_000_000.0
"""When the tests' clock stands: 2025-11-24 16:00 UTC."""


def node(cluster: str, name: str, load: float = 0.4, free: float = 0.6, **changes: Any) -> Node:
    made = Node(cluster, name, f"ops@{name}:22", ClusterState.LIVE, cores=4, memory=8192 * MIB,
                memory_free=int(8192 * MIB * free), load=load)  # fmt: skip
    return replace(made, **changes)


def service(cluster: str, where: str, name: str, mib: int, **changes: Any) -> Service:
    made = Service(cluster, where, name, f"{cluster}-{name}", f"localhost/{name}:latest", ServiceState.UP,
                   "Up 3 minutes", mib * MIB, 1, approach=Approach.ORCHESTRATOR)  # fmt: skip
    return replace(made, **changes)


def clusters() -> list[Cluster]:
    """What the lab looks like, with one cluster that is in trouble."""
    azure = Cluster(
        "azure-lab", "azure", "podman", Authority.FULL, state=ClusterState.LIVE, age=0.4,
        nodes=(node("azure-lab", "azure-1", 1.2, 0.39), node("azure-lab", "azure-2", 0.3, 0.7)),
        services=(
            service("azure-lab", "azure-1", "memhog", 64, processes=1, volumes=1, ports=(Port(8000, 8000),),
                    labels={"tier": "demo"}),
            service("azure-lab", "azure-1", "redis", 12, processes=1, volumes=1, ports=(Port(6379, 6379),)),
            service("azure-lab", "azure-2", "camera-hub", 96, processes=8, ports=(Port(554, 554), Port(8080, 80)),
                    obstacle="io_uring in use"),
            service("azure-lab", "azure-2", "game-lobby", 1234, processes=14, approach=Approach.CONTAINER,
                    ports=(Port(7000, 7000), Port(7001, 7001), Port(7002, 7002))),
        ),
    )  # fmt: skip
    gcp = Cluster(
        "gcp-lab", "gcp", "podman", Authority.LIMITED, protected=True, state=ClusterState.LIVE, age=0.2,
        nodes=(node("gcp-lab", "gcp-1", 0.9, 0.62),),
        services=(
            service("gcp-lab", "gcp-1", "nginx", 9, processes=3, ports=(Port(8081, 80),), approach=Approach.SERVICE),
            service("gcp-lab", "gcp-1", "thumbs", 640, processes=4, state=ServiceState.PAUSED),
        ),
    )  # fmt: skip
    onprem = Cluster(
        "onprem-lab", "onprem", "podman", Authority.FULL, state=ClusterState.STALE, age=41.0,
        nodes=(node("onprem-lab", "onprem-1", 0.1, 0.8, state=ClusterState.STALE),),
        services=(
            service("onprem-lab", "onprem-1", "ledger", 148, processes=2, volumes=2, ports=(Port(5432, 5432),)),
            service("onprem-lab", "onprem-1", "mailer", 38, state=ServiceState.STOPPED, approach=None),
        ),
    )  # fmt: skip
    return [azure, gcp, onprem]


FINDINGS = tuple(
    Finding(check, True, False, f"{check} is good")
    for check in ("criu-version", "kernel", "cpu-features", "architecture", "cgroup-version", "image", "volumes",
                  "space", "memory", "port-free", "pids-free", "clock", "route")
)  # fmt: skip
OPEN = Finding(
    "open-connections", False, False, "3 open client connections will be closed",
    "CRIU cannot carry them to another address.", "clients that reconnect will not notice; a frontman can hold them",
    "memhog",
)  # fmt: skip
NO_ROUTE = Finding(
    "route", False, True, "no route from azure-1 to onprem-1:22",
    "The bulk of the data travels from node to node.",
    "open port 22 from 10.77.0.11 to 10.77.0.13, or set transfer = \"relay\"", "onprem-1",
)  # fmt: skip


def plan(request: MigrationRequest) -> Plan:
    """To gcp-lab all is well; to onprem-lab there is no route."""
    cluster = request.service.partition("/")[0]
    known = {c.name: c for c in clusters()}
    if request.to not in known:
        raise BadInput(f"there is no cluster {request.to}", "umsui clusters lists them")
    target = next(n for n in known[request.to].nodes if request.node in (None, n.name))
    source = next(s for s in known[cluster].services if s.key == request.service)
    verdicts = (
        Verdict(Approach.ORCHESTRATOR, Strategy.POST_COPY, True, "shortest downtime",
                downtime=Estimate(0.08, 0.12, 0.21), total=Estimate(2.9, 3.4, 4.4)),
        Verdict(Approach.ORCHESTRATOR, Strategy.PRE_COPY, True, "no window of exposure",
                downtime=Estimate(0.2, 0.31, 0.5), total=Estimate(3.5, 4.9, 6.0)),
        Verdict(Approach.ORCHESTRATOR, Strategy.STOP_COPY, True, "simplest",
                downtime=Estimate(0.7, 0.94, 1.3), total=Estimate(2.6, 3.0, 3.9)),
        Verdict(Approach.SERVICE, Strategy.STOP_COPY, False, "the image has no agent",
                "umsui image build localhost/memhog:latest"),
        Verdict(Approach.CONTAINER, Strategy.STOP_COPY, False, "not offered by this version"),
    )  # fmt: skip
    blocked = request.to == "onprem-lab"
    wanted = (request.approach or Approach.ORCHESTRATOR, request.strategy or Strategy.POST_COPY)
    taken = next(v for v in verdicts if (v.approach, v.strategy) == wanted)
    return Plan(
        request, request.service, Place(cluster, source.node), Place(request.to, target.name), *wanted,
        "full control at both ends; the client waits least, and 64 MiB drain within a second", verdicts,
        (*FINDINGS, OPEN, NO_ROUTE) if blocked else (*FINDINGS, OPEN), taken.downtime, taken.total,
        {"memory": 64 * MIB, "rootfs": 3 * MIB, "volumes": 128 * MIB, "image": 0},
        processes=1, endpoint="10.77.0.12:8000",
    )  # fmt: skip


SPECIFICATION = Specification(
    "memhog", "localhost/memhog:latest", "sha256:8d2f", ("/memhog",), ("--mib", "64"),
    {"MIB": "64", "PORT": "8000", "API_TOKEN": "s3cret"}, {"tier": "demo"}, ports=(Port(8000, 8000),),
    mounts=(Mount("volume", "memhog-data", "/data", path=DATA),), network="bridge", hostname="memhog",
    restart="unless-stopped", memory_limit=256 * MIB,
)  # fmt: skip
LOGS = tuple(f"2025-11-24T15:59:{second:02d}Z memhog: counter {second * 100}, 64 MiB resident" for second in range(40))


def vitals(now: float, volumes: bool) -> Vitals:
    """A server with some workers, one of them busy."""

    def process(number: int, mib: int, cpu: float, command: str, state: str = "S") -> Process:
        return Process(2000 + number, number, 0 if number == 1 else 101, state, mib * MIB, cpu, 1 + number % 3, command)

    processes = (
        process(1, 24, 1.5, "/memhog --mib 64 --port 8000"),
        process(7, 20, (now - START) * 0.7, "/memhog: worker", "R"),
        process(8, 20, 0.2, "/memhog: worker"),
        process(9, 0, 0.0, "[defunct]", "Z"),
    )
    sockets = (
        Socket("tcp", "LISTEN", "0.0.0.0:8000", "", 2001),
        Socket("tcp", "ESTABLISHED", "10.77.0.11:8000", "10.77.0.1:51334", 2007),
        Socket("tcp", "ESTABLISHED", "10.77.0.11:8000", "10.77.0.1:51338", 2008),
        Socket("udp", "", "127.0.0.1:8125", "", 2001),
    )
    held = (Volume(DATA, 128 * MIB),) if volumes else ()
    past = tuple(
        (now - 870 + 10 * index, float((38 + 26 * min(index / 40, 1.0) + index % 3) * MIB)) for index in range(87)
    )
    return Vitals(now, processes, sockets, held, past)


def node_detail(key: str, now: float, measured: bool) -> NodeDetail:
    cluster, _, name = key.partition("/")
    here = Place(cluster, name)
    load = tuple((now - 870 + 10 * index, 0.4 + 1.6 * (index % 30) / 30) for index in range(87))
    free = tuple((now - 870 + 10 * index, (3.2 - index / 80) * 1024 * MIB) for index in range(87))
    links = (
        Link(here, Place("azure-lab", "azure-2"), now - 40, rtt=0.00018, bandwidth=118.2e6),
        Link(here, Place("gcp-lab", "gcp-1"), now - 40, rtt=0.0124, bandwidth=41e6),
        Link(here, Place("onprem-lab", "onprem-1"), now - 700, False, "no answer from 10.77.0.13:22"),
    )
    known = next(n for c in clusters() for n in c.nodes if (c.name, n.name) == (cluster, name))
    return NodeDetail(known, load, free, links if measured else ())


DOCTOR = (
    Finding("criu-version", False, True, "CRIU 3.17 is too old for kernel 6.18", "it cannot dump shadow stacks there",
            "apt-get install criu/bookworm-backports", "azure-lab/azure-1"),
    Finding("tracks-writes", False, False, "the kernel cannot track written pages",
            "CRIU's pre-copy cannot be used with this node as a source", "boot a kernel with CONFIG_MEM_SOFT_DIRTY"),
    Finding("root", True, True, "the login is root"),
    Finding("podman", True, True, "podman 5.4.2 with crun 1.21"),
    Finding("rsync", True, True, "rsync is there"),
    Finding("userfaultfd", True, True, "the kernel can fetch pages on demand (post-copy)"),
)  # fmt: skip


def benchmarks() -> list[Benchmark]:
    """One that runs, one that is over."""

    def row(tool: str, strategy: str, mib: int, run: int, down: float) -> dict[str, object]:
        return {"figure": "compare", "tool": tool, "approach": "orchestrator", "strategy": strategy,
                "source": "podman", "destination": "podman", "mib": mib,
                "processes": 1, "run": run, "outcome": "committed", "downtime": down, "total": down * 2 + 1.3,
                "intact": not (tool == "podman" and run == 3)}  # fmt: skip

    rows = tuple(
        row(tool, strategy, mib, run, base + mib / 900 + run / 50)
        for run in (1, 2, 3) for mib in (64, 256)
        for tool, strategy, base in (("umsui", "stop-copy", 0.3), ("umsui", "post-copy", 0.15), ("podman", "copy", 1.1))
    )  # fmt: skip
    machine = {"cores": 2, "cpu": "EPYC"}
    return [
        Benchmark("20251124-155800-compare", "compare", "1gbit", START - 120, 9, 7, 1, None, True, machine, rows[:7]),
        Benchmark(
            "20251123-101500-compare", "compare", "none", START - 99_000, 9, 18, 1, START - 98_700, False, machine, rows
        ),
    ]
