"""What all layers speak in: frozen dataclasses, no behaviour beyond what follows from their fields.

Times are seconds (floats; instants are Unix time), sizes are bytes, rates bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any


class Authority(StrEnum):
    """What the operator may change at a cluster."""

    FULL = "full"  # the platform itself
    LIMITED = "limited"  # the service's image
    NONE = "none"


class Approach(StrEnum):
    """How a migration is done (the paper's three)."""

    ORCHESTRATOR = "orchestrator"
    SERVICE = "service"
    CONTAINER = "container"


class Strategy(StrEnum):
    """How memory travels."""

    STOP_COPY = "stop-copy"
    PRE_COPY = "pre-copy"
    POST_COPY = "post-copy"
    HYBRID = "hybrid"


class Outcome(StrEnum):
    """How a migration ended."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class ClusterState(StrEnum):
    """What is known of a cluster, or of a node."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    EXPIRED = "expired"  # its credentials are missing, or no longer good: a new login is needed
    THROTTLED = "throttled"  # it answers "too many requests": asked again at ``Cluster.until``
    EMPTY = "empty"
    LISTED = "listed"  # known from its provider alone, not asked itself
    STOPPED = "stopped"  # the machine is off; of a cluster: all its machines are


class Power(StrEnum):
    """What a machine is doing, as its provider says."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"  # off, but its place is kept and paid for (Azure only)
    DEALLOCATED = "deallocated"  # off, and only its disks are paid for


class ServiceState(StrEnum):
    """What a service is doing."""

    UP = "up"
    PAUSED = "paused"
    STOPPED = "stopped"
    MOVING = "moving"  # the source of a running migration
    ARRIVING = "arriving"  # its reserved destination


class Phase(StrEnum):
    """The paper's three phases (Figure 2)."""

    PRE = "pre-migration"
    MIGRATION = "migration"
    POST = "post-migration"


class Step(StrEnum):
    """The steps of a migration, in the order in which they happen."""

    VERIFY = "verify"
    CONNECT = "connect"
    RESERVE = "reserve"
    COPY_AHEAD = "copy-ahead"
    ARM = "arm"
    FREEZE = "freeze"
    CHECKPOINT = "checkpoint"
    TRANSFER = "transfer"
    RESTORE = "restore"
    COMMIT = "commit"
    FIRST_REPLY = "first-reply"
    DRAIN = "drain"
    REMOVE_SOURCE = "remove-source"
    CLEAN_UP = "clean-up"


PHASE_OF: Mapping[Step, Phase] = {
    Step.VERIFY: Phase.PRE,
    Step.CONNECT: Phase.PRE,
    Step.RESERVE: Phase.PRE,
    Step.COPY_AHEAD: Phase.PRE,
    Step.ARM: Phase.PRE,
    Step.FREEZE: Phase.MIGRATION,
    Step.CHECKPOINT: Phase.MIGRATION,
    Step.TRANSFER: Phase.MIGRATION,
    Step.RESTORE: Phase.MIGRATION,
    Step.COMMIT: Phase.MIGRATION,
    Step.FIRST_REPLY: Phase.POST,
    Step.DRAIN: Phase.POST,
    Step.REMOVE_SOURCE: Phase.POST,
    Step.CLEAN_UP: Phase.POST,
}


SHARE_OF: Mapping[Step, str] = {
    Step.CONNECT: "creation",
    Step.RESERVE: "creation",
    Step.COPY_AHEAD: "transfer",
    Step.FREEZE: "checkpoint",
    Step.CHECKPOINT: "checkpoint",
    Step.TRANSFER: "transfer",
    Step.RESTORE: "restoration",
    Step.COMMIT: "restoration",
}
"""Which field of ``Overhead``, the paper's breakdown, a step's seconds belong to; transfer overlaps the checkpoint."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a service publishes on its node."""

    host: int
    container: int
    protocol: str = "tcp"
    address: str = ""  # the host address it is bound to; "" means all


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume or a bind mount of a service."""

    kind: str  # "volume" | "bind" | "tmpfs"
    source: str  # the volume's name, or the path on the host
    destination: str
    read_only: bool = False
    options: tuple[str, ...] = ()
    path: str = ""  # where its data is on this node ("" for tmpfs)


@dataclass(frozen=True, slots=True)
class Specification:
    """All that another orchestrator needs to create the same service: neutral, no orchestrator's own words."""

    name: str
    image: str
    image_id: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: str = ""  # "host", "bridge", "none" or a network's name
    cgroupns: str = ""  # "private", "host"; "" leaves it to the orchestrator
    hostname: str = ""
    user: str = ""
    workdir: str = ""
    restart: str = "no"  # podman/docker words: no, always, on-failure[:N], unless-stopped
    stop_signal: str = ""
    stop_timeout: int = 10
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_options: tuple[str, ...] = ()
    privileged: bool = False
    read_only: bool = False
    init: bool = False
    tty: bool = False
    memory_limit: int = 0
    cpu_limit: float = 0.0  # cores; 0 is none
    pids_limit: int = 0
    shm_size: int = 0
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    health: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Specification, ...] = ()  # of a service of several containers: each one's own

    @property
    def volumes(self) -> tuple[Mount, ...]:
        """Its mounts that are named volumes."""
        return tuple(mount for mount in self.mounts if mount.kind == "volume")


@dataclass(frozen=True, slots=True)
class Service:
    """One containerized service as the board shows it."""

    cluster: str
    node: str
    name: str
    id: str
    image: str
    state: ServiceState
    status: str = ""  # the orchestrator's own words ("Up 3 minutes")
    memory: int = 0
    processes: int = 0
    ports: tuple[Port, ...] = ()
    volumes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    approach: Approach | None = None  # the one that would be taken
    obstacle: str = ""  # why it cannot move, in words; "" if it can
    migration: str = ""  # the id of the migration it takes part in
    started: float = 0.0
    containers: tuple[str, ...] = ()  # the names of those it is made of; (): one, with the service's own name
    owner: str = ""  # what would make another one in its place: "StatefulSet/web"

    @property
    def key(self) -> str:
        """``cluster/name``: what users type."""
        return f"{self.cluster}/{self.name}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a provider knows of a node."""

    id: str  # the provider's own
    region: str = ""
    zone: str = ""
    size: str = ""  # the provider's name for it: "Standard_D4s_v5", "e2-standard-4"
    power: Power = Power.UNKNOWN
    price: str = "regular"  # or "spot": may be taken away at any time
    addresses: tuple[str, ...] = ()  # public ones first


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster."""

    cluster: str
    name: str
    ssh: str  # user@host:port
    state: ClusterState = ClusterState.CONNECTING
    error: str = ""
    age: float = 0.0  # seconds since it was last seen
    cores: int = 0
    memory: int = 0
    memory_free: int = 0
    load: float = 0.0
    software: Mapping[str, str] = field(default_factory=dict)  # {"podman": "5.4.2", "criu": "4.2.1", "kernel": …}
    machine: Machine | None = None  # None where no provider was asked


@dataclass(frozen=True, slots=True)
class Cluster:
    """One computing system with one orchestrator and one authority."""

    name: str
    provider: str  # azure | gcp | onprem
    orchestrator: str  # podman | docker | kubernetes
    authority: Authority = Authority.FULL
    protected: bool = False
    state: ClusterState = ClusterState.CONNECTING
    error: str = ""
    fix: str = ""
    age: float = 0.0
    simulated: bool = False
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    until: float = 0.0  # when a provider that throttles us will answer again
    more: int = 0  # nodes that ``nodes`` leaves out: a stream tells of a large fleet only those that are asked


@dataclass(frozen=True, slots=True)
class ManagedCluster:
    """A Kubernetes cluster that a provider runs."""

    id: str  # the provider's own
    name: str
    region: str
    version: str
    nodes: int
    state: str  # the provider's own word


@dataclass(frozen=True, slots=True)
class Operation:
    """A machine being started or stopped. ``state``: running, done, failed or cancelled."""

    id: str
    place: Place
    action: str  # "start" | "stop"
    state: str = "running"
    note: str = ""  # what goes on, in the provider's own words
    progress: float | None = None  # 0 to 1, where the provider tells
    expected: Estimate | None = None  # seconds in all
    started: float = 0.0
    finished: float | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class StartFirst:
    """The destination's machine is off: how long it takes until it can be moved to, and what it costs meanwhile."""

    place: Place
    time: Estimate
    hourly: float | None = None  # of both ends together, while both are up; None: the config has no prices for them


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of preflight or doctor: what, why it matters, how to mend it."""

    check: str  # "criu-version", "port-free", …
    ok: bool
    blocking: bool
    what: str
    why: str = ""
    fix: str = ""
    where: str = ""  # the node or service that it is about


@dataclass(frozen=True, slots=True)
class Estimate:
    """A prediction with its interval, in seconds."""

    low: float
    mid: float
    high: float

    def as_list(self) -> list[float]:
        """``[low, mid, high]``, as the contract's documents have it."""
        return [self.low, self.mid, self.high]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the decision maker says of one approach with one strategy."""

    approach: Approach
    strategy: Strategy
    feasible: bool
    reason: str
    fix: str = ""
    downtime: Estimate | None = None
    total: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is, or will be."""

    cluster: str
    node: str


@dataclass(frozen=True, slots=True)
class MigrationRequest:
    """What an operator asks for. ``service`` is ``cluster/name`` or a unique name."""

    service: str
    to: str
    node: str | None = None
    approach: Approach | None = None
    strategy: Strategy | None = None
    max_downtime: float | None = None
    bandwidth: float | None = None  # bytes per second
    deadline: float | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Deployment:
    """A service that is to be started so that it can be migrated later with ``approach``."""

    specification: Specification
    cluster: str
    node: str | None = None
    approach: Approach = Approach.ORCHESTRATOR
    archive: str = ""  # the file of the outer image, for nodes that have none yet


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision: what would be done, why, what it will cost. ``approach`` is None when nothing is feasible."""

    request: MigrationRequest
    service: str  # cluster/name
    source: Place
    destination: Place
    approach: Approach | None
    strategy: Strategy | None
    reason: str
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    downtime: Estimate | None
    total: Estimate | None
    bytes: Mapping[str, int]  # memory, rootfs, volumes, image
    processes: int = 1
    threads: int = 1  # of all its processes
    containers: tuple[str, ...] = ()  # as ``Service.containers``
    endpoint: str = ""
    start_first: StartFirst | None = None

    @property
    def feasible(self) -> bool:
        """Whether it may be started."""
        return self.approach is not None and not any(f.blocking and not f.ok for f in self.findings)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a migration did not commit (the contract's ``error``)."""

    step: str
    code: str
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Overhead:
    """What the whole move cost, in seconds (the paper's breakdown)."""

    creation: float = 0.0
    checkpoint: float = 0.0
    transfer: float = 0.0
    restoration: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes moved, by kind, and what went over the wire in all."""

    memory: int = 0
    rootfs: int = 0
    volumes: int = 0
    image: int = 0
    wire: int = 0


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration, running or past: the contract's result document plus its state.

    ``outcome`` is None while it runs. ``downtime_source`` is "client" or "freeze" (guarantee 12).
    """

    id: str
    service: str
    source: Place
    destination: Place
    approach: Approach
    strategy: Strategy
    reason: str = ""
    outcome: Outcome | None = None
    downtime: float | None = None
    downtime_source: str = "client"
    overhead: Overhead = field(default_factory=Overhead)
    predicted: Mapping[str, list[float]] = field(default_factory=dict)
    budget: float | None = None  # the downtime that was allowed
    bytes: Traffic = field(default_factory=Traffic)
    processes: int = 1
    endpoint: str = ""
    error: Failure | None = None
    started: float = 0.0
    finished: float | None = None
    phase: Phase = Phase.PRE
    step: Step = Step.VERIFY
    cancellable: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a migration; the recording is a list of these.

    ``data`` by kind: phase {phase} · step {step, state: started|done|failed|skipped, seconds?, note?} ·
    progress {what: memory|rootfs|volumes|image, done, total|null, rate} ·
    probe {samples: [[t, seconds|null], …], down: seconds so far|null, downtime: seconds|null} ·
    log {level: info|warning|error, message} · outcome {result: the migration document}.
    """

    t: float
    migration: str
    kind: str
    data: Mapping[str, Any]

    def flat(self) -> dict[str, Any]:
        """The contract's one flat object."""
        return {"t": self.t, "migration": self.migration, "kind": self.kind, **self.data}


class Exit(int, Enum):
    """The CLI's exit codes (contract)."""

    DONE = 0
    ROLLED_BACK = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    UNKNOWN = 5
    CANCELLED = 130
