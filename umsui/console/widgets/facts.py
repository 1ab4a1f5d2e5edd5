"""Facts in two columns, what and its value: a service's and a node's."""

from __future__ import annotations

from collections.abc import Sequence

from umsui.console import words
from umsui.console.text import Line, column, wrap
from umsui.console.widgets.canvas import Sheet
from umsui.model import Cluster, Mount, Node, Port, Service, Specification
from umsui.vitals import Volume

LABEL = 13
SECRET = ("password", "secret", "token", "key", "credential")

Row = tuple[str, Sequence[str], str]
"""Label, values, ink."""


def facts(rows: Sequence[Row], width: int) -> list[Line]:
    """A label stands at its first value only; long values wrap."""
    lines: list[Line] = []
    for label, values, ink in rows:
        pieces = [piece for value in values for piece in wrap(value, max(width - LABEL - 2, 10))]
        for index, piece in enumerate(pieces):
            lines.append([(" ", ""), column(label if index == 0 else "", LABEL, "dim"), (piece, ink)])
    return lines


class ServiceSheet(Sheet):
    """What runs, then what it was made from."""

    def __init__(self) -> None:
        super().__init__()
        self.service: Service | None = None
        self.specification: Specification | None = None
        self.volumes: dict[str, Volume] = {}
        self.error = ""

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """State above, specification below."""
        lines: list[Line] = []
        if self.service is not None:
            lines += facts(_state_rows(self.service), width)
        if self.specification is not None:
            lines += [[], *facts(_specification_rows(self.specification, self.volumes), width)]
        elif self.error:
            lines += [[], *[[(" ", ""), (piece, "bad")] for piece in wrap(self.error, width - 2)]]
        else:
            lines += [[], [(" asking the coordinator …", "dim")]]
        return lines


def _state_rows(service: Service) -> list[Row]:
    glyph, word, ink = words.service_state(service)
    status = f" ({service.status})" if service.status else ""
    rows: list[Row] = [
        ("state", [f"{glyph} {word}{status}"], ink),
        ("where", [f"{service.cluster}/{service.node}"], "text"),
        ("memory", [f"{words.size(service.memory)} in {words.processes(service.processes)}"], "text"),
    ]
    if service.obstacle:
        rows.append(("can move", [f"✕ no: {service.obstacle}"], "bad"))
    else:
        way = f"✓ {words.approach(service.approach)}" if service.approach else "? not known"
        rows.append(("can move", [way], "ok"))
    return rows


def _specification_rows(spec: Specification, volumes: dict[str, Volume]) -> list[Row]:
    limits = [f"memory {words.size(spec.memory_limit)}"] if spec.memory_limit else []
    limits += [f"cpu {spec.cpu_limit:g}"] if spec.cpu_limit else []
    limits += [f"pids {spec.pids_limit}"] if spec.pids_limit else []
    optional: tuple[Row, ...] = (
        ("image", [spec.image], "text"),
        ("command", [" ".join((*spec.entrypoint, *spec.command))], "text"),
        ("ports", [_port(port) for port in spec.ports], "text"),
        ("volumes", [_mount(mount, volumes.get(mount.path)) for mount in spec.mounts], "text"),
        ("network", [spec.network], "text"),
        ("hostname", [spec.hostname], "text"),
        ("user", [spec.user], "text"),
        ("workdir", [spec.workdir], "text"),
        ("restart", [spec.restart], "text"),
        ("limits", [" · ".join(limits)], "text"),
        ("privileged", ["⚠ yes"] if spec.privileged else [], "warn"),
        ("environment", [_variable(k, v) for k, v in sorted(spec.environment.items())], "text"),
        ("labels", [f"{k}={v}" for k, v in sorted(spec.labels.items())], "dim"),
    )
    return [(label, [v for v in values if v], ink) for label, values, ink in optional if any(values)]


def _port(port: Port) -> str:
    return f"{port.address or '*'}:{port.host} → {port.container}/{port.protocol}"


def _mount(mount: Mount, volume: Volume | None) -> str:
    held = (
        "" if volume is None else f", {words.size(volume.bytes)}" if volume.bytes is not None else ", too big to count"
    )
    only = ", read-only" if mount.read_only else ""
    return f"{mount.kind} {mount.source} at {mount.destination}{only}{held}"


def _variable(name: str, value: str) -> str:
    """What looks like a secret is not shown: screens are shared."""
    return f"{name}=••••" if any(word in name.lower() for word in SECRET) else f"{name}={value}"


class NodeSheet(Sheet):
    """A node, and the cluster that it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Cluster | None = None
        self.node: Node | None = None

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Node above, cluster below."""
        if self.cluster is None:
            return [[(" the cluster is gone", "dim")]]
        lines = facts(_node_rows(self.node), width) if self.node is not None else []
        return [*lines, *([[]] if lines else []), *facts(_cluster_rows(self.cluster), width)]


def _node_rows(node: Node) -> list[Row]:
    glyph, word, ink = words.node_state(node)
    seen = f", seen {words.age(node.age)} ago" if node.age >= 10 else ""
    used = node.memory - node.memory_free
    optional: tuple[Row, ...] = (
        ("state", [f"{glyph} {word}{seen}"], ink),
        ("", [node.error], "bad"),
        ("address", [node.ssh], "text"),
        ("load", [f"{node.load:.2f} on {words.plural(node.cores, 'core')}"] if node.cores else [], "text"),
        ("memory", [f"{words.part(used, node.memory)} used"] if node.memory else [], "text"),
        ("software", [f"{name} {version}" for name, version in sorted(node.software.items())], "text"),
    )
    return [(label, [v for v in values if v], ink) for label, values, ink in optional if any(values)]


def _cluster_rows(cluster: Cluster) -> list[Row]:
    glyph, word, ink = words.cluster_state(cluster)
    rows: list[Row] = [
        ("cluster", [f"{glyph} {cluster.name}: {word}"], ink),
        ("provider", [words.provider(cluster.provider) + (" (simulated)" if cluster.simulated else "")], "text"),
        ("orchestrator", [cluster.orchestrator], "text"),
        ("authority", [words.AUTHORITY[cluster.authority]], "text"),
    ]
    if cluster.protected:
        rows.append(("protected", ["◆ moves ask for the service's name"], "warn"))
    if cluster.error:
        rows += [("trouble", [cluster.error], "bad"), ("fix", [cluster.fix] if cluster.fix else [], "text")]
    return rows
