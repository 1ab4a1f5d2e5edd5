"""Numbers, units, states and places, as an operator reads them. A state is always a glyph *and* a word."""

from __future__ import annotations

from datetime import UTC, datetime

from umsui.model import (
    Approach,
    Authority,
    Cluster,
    ClusterState,
    Estimate,
    Migration,
    Node,
    Outcome,
    Place,
    Service,
    ServiceState,
    Step,
    Strategy,
)

PROVIDERS = {"azure": "AZURE", "gcp": "GOOGLE CLOUD", "onprem": "ON-PREM"}
"""Providers in the board's order, with their titles."""

BADGE = {Approach.ORCHESTRATOR: "O", Approach.SERVICE: "S", Approach.CONTAINER: "C"}
NOTHING = "—"
DASH = " \N{EN DASH} "
MINUS = "\N{MINUS SIGN}"

_CLUSTER = {
    ClusterState.CONNECTING: ("◌", "connecting", "dim"),
    ClusterState.LIVE: ("●", "live", "ok"),
    ClusterState.STALE: ("◍", "stale", "warn"),
    ClusterState.UNREACHABLE: ("✕", "unreachable", "bad"),
    ClusterState.FORBIDDEN: ("⊘", "forbidden", "bad"),
    ClusterState.EXPIRED: ("⊗", "credentials expired", "bad"),
    ClusterState.THROTTLED: ("◔", "throttled", "warn"),
    ClusterState.EMPTY: ("○", "empty", "dim"),
    ClusterState.LISTED: ("·", "listed", "dim"),
    ClusterState.STOPPED: ("□", "stopped", "dim"),
}
_SERVICE = {
    ServiceState.UP: ("●", "up", "ok"),
    ServiceState.PAUSED: ("‖", "paused", "warn"),
    ServiceState.STOPPED: ("○", "stopped", "dim"),
    ServiceState.MOVING: ("⇄", "moving", "accent"),
    ServiceState.ARRIVING: ("◔", "arriving", "accent"),
}
_OUTCOME = {
    Outcome.COMMITTED: ("✓", "committed", "ok"),
    Outcome.ROLLED_BACK: ("↺", "rolled back", "bad"),
    Outcome.CANCELLED: ("■", "cancelled", "warn"),
    Outcome.REFUSED: ("✕", "refused", "bad"),
    Outcome.UNKNOWN: ("?", "unknown", "bad"),
}
AUTHORITY = {
    Authority.FULL: "full control",
    Authority.LIMITED: "image only",
    Authority.NONE: "no control",
}

State = tuple[str, str, str]
"""Glyph, word, ink."""


def provider(name: str) -> str:
    """The title of a provider."""
    return PROVIDERS.get(name, name.upper())


def cluster_state(cluster: Cluster) -> State:
    """How a cluster is."""
    return _CLUSTER[cluster.state]


def word_of(state: ServiceState) -> str:
    """A state's word alone."""
    return _SERVICE[state][1]


UNASKED = (ClusterState.LISTED, ClusterState.STOPPED)
"""States of nodes that are known from their provider alone."""


def nodes(cluster: Cluster) -> str:
    """``3 nodes``, ``3 nodes, 1 off``."""
    off = sum(node.state is ClusterState.STOPPED for node in cluster.nodes)
    return plural(len(cluster.nodes) + cluster.more, "node") + (f", {off} off" if off else "")


def clock(unix: float) -> str:
    """The time of day, here."""
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%H:%M:%S")


def node_state(node: Node) -> State:
    """How a node is."""
    return _CLUSTER[node.state]


def service_state(service: Service) -> State:
    """How a service is."""
    return _SERVICE[service.state]


def outcome(value: Outcome | None) -> State:
    """How a migration ended, or that it hasn't."""
    return _OUTCOME[value] if value is not None else ("⇄", "running", "accent")


def approach(value: Approach | None) -> str:
    """``orchestrator-level`` and so on."""
    return f"{value.value}-level" if value is not None else NOTHING


def strategy(value: Strategy | None) -> str:
    """``post-copy`` and so on."""
    return value.value if value is not None else NOTHING


def how(migration: Migration) -> str:
    """Its strategy, once one has been chosen: its own plan does that, which comes first."""
    return strategy(migration.strategy) if migration.predicted or migration.reason else NOTHING


def step(value: str) -> str:
    """A step's name with a space in it."""
    return value.replace("-", " ")


def place(value: Place) -> str:
    """``cluster/node``."""
    return f"{value.cluster}/{value.node}" if value.node else value.cluster


def name_of(key: str) -> str:
    """The service's name in ``cluster/name``."""
    return key.partition("/")[2] or key


def duration(seconds: float | None) -> str:
    """``118 ms``, ``2.81 s``, ``3 m 05 s``."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995:
        return "<1 ms" if 0 < seconds < 0.001 else f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def fine(seconds: float) -> str:
    """A short time with a digit more: ``0.31 ms``, ``12.4 ms``."""
    if seconds >= 0.1:
        return duration(seconds)
    return f"{seconds * 1000:.2f} ms" if seconds < 0.00995 else f"{seconds * 1000:.1f} ms"


def coarse(seconds: float) -> str:
    """A guess at what is left: ``1.2 s``, ``41 s``, ``3 m 05 s``."""
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s" if seconds < 60 else duration(seconds)


def age(seconds: float) -> str:
    """A coarse age: ``40 s``, ``3 m``, ``2 h``, ``5 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    # In steps: an age that ticks each second is sent each second.
    whole = int(max(seconds, 0))
    return f"{whole if whole < 10 else whole // 10 * 10} s"


def span(estimate: Estimate | None) -> str:
    """Like ``80-210 ms``: the interval alone."""
    if estimate is None:
        return NOTHING
    low, high = estimate.low, estimate.high
    dash = DASH.strip()
    if high < 1:
        return f"{low * 1000:.0f}{dash}{high * 1000:.0f} ms"
    return f"{low:.1f}{dash}{high:.1f} s"


def size(count: float) -> str:
    """``312 MiB``, ``1.2 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit in "B KiB" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def part(done: float, total: float) -> str:
    """``301 of 318 MiB``; both units where they differ."""
    ours, theirs = size(done), size(total)
    number, _, unit = ours.partition(" ")
    return f"{number if theirs.endswith(f' {unit}') else ours} of {theirs}"


def rate(per_second: float) -> str:
    """``92 MiB/s``."""
    mib = per_second / 2**20
    return f"{mib:.0f} MiB/s" if mib >= 10 else f"{mib:.1f} MiB/s"


def processes(count: int) -> str:
    """``1 process``, ``8 processes``."""
    return f"{count} process" if count == 1 else f"{count} processes"


def plural(count: int, word: str) -> str:
    """``1 node``, ``2 nodes``; the word takes a plain s."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


DOWN_STEPS = (Step.FREEZE, Step.CHECKPOINT, Step.TRANSFER, Step.RESTORE, Step.COMMIT, Step.FIRST_REPLY)
"""The steps during which a client waits."""
