"""The tables of the service and the cluster screen."""

from __future__ import annotations

from umsui.console import words
from umsui.console.text import Line, column
from umsui.console.widgets.logview import clean
from umsui.console.widgets.table import Table
from umsui.model import Cluster, Node, Place
from umsui.vitals import Link, Process, Socket, Vitals


class ProcessTable(Table[Process]):
    """A service's processes; their share of a core since the look before."""

    def __init__(self) -> None:
        super().__init__("no processes: it does not run", id="processes")
        self._shares: dict[int, float] = {}
        self._before: Vitals | None = None

    def take(self, vitals: Vitals) -> None:
        """As they are now."""
        before = self._before
        if before is not None and vitals.at > before.at:
            then = {process.pid: process.cpu for process in before.processes}
            spent = vitals.at - before.at
            self._shares = {p.pid: max(p.cpu - then[p.pid], 0.0) / spent for p in vitals.processes if p.pid in then}
        self._before = vitals
        self.show(vitals.processes)

    def key(self, item: Process) -> str:
        """Its pid."""
        return str(item.pid)

    def heading(self, width: int) -> Line:  # noqa: ARG002
        """With the units in the cells."""
        return [
            column("pid", 7, "dim", right=True),
            column("user", 7, "dim", right=True),
            ("  ", ""),
            column("s", 2, "dim"),
            column("memory", 9, "dim", right=True),
            column("cpu", 7, "dim", right=True),
            column("thr", 5, "dim", right=True),
            ("  command", "dim"),
        ]

    def row(self, item: Process, width: int) -> Line:
        """The pid is the service's own."""
        share = self._shares.get(item.pid)
        line: Line = [
            column(str(item.inner), 7, "name", right=True),
            column(str(item.user), 7, "dim", right=True),
            ("  ", ""),
        ]
        line.append(column(item.state, 2, "bad" if item.state in "DZ" else "ok" if item.state == "R" else "dim"))
        line.append(column(words.size(item.memory), 9, "text", right=True))
        line.append(column(words.NOTHING if share is None else f"{share * 100:.0f} %", 7, "text", right=True))
        line.append(column(str(item.threads), 5, "dim", right=True))
        return [*line, ("  ", ""), column(clean(item.command), max(width - 41, 8), "text")]


class SocketTable(Table[Socket]):
    """A service's sockets, listening ones first."""

    def __init__(self) -> None:
        super().__init__("no open TCP or UDP sockets", id="sockets")
        self.inner: dict[int, int] = {}  # a process's pid as the service counts, by the node's: as the processes' tab

    def key(self, item: Socket) -> str:
        """All of it."""
        return repr(item)

    def heading(self, width: int) -> Line:
        """Both ends alike."""
        each = max((width - 30) // 2, 15)
        return [
            column("proto", 7, "dim"),
            column("state", 13, "dim"),
            column("local", each, "dim"),
            column("remote", each, "dim"),
            column("pid", 8, "dim", right=True),
        ]

    def row(self, item: Socket, width: int) -> Line:
        """What moving will close stands out."""
        each = max((width - 30) // 2, 15)
        ink = "ok" if item.state == "LISTEN" else "warn" if item.state == "ESTABLISHED" else "dim"
        return [
            column(item.protocol, 7, "text"),
            column(item.state or words.NOTHING, 13, ink),
            column(item.local, each, "name"),
            column(item.remote or words.NOTHING, each, "text"),
            column(str(self.inner.get(item.pid, words.NOTHING)), 8, "dim", right=True),
        ]


class NodeTable(Table[Node]):
    """A cluster's nodes."""

    def __init__(self) -> None:
        super().__init__("no nodes: name them in the config", id="nodes")
        self.cluster: Cluster | None = None

    def key(self, item: Node) -> str:
        """Its name."""
        return item.name

    def heading(self, width: int) -> Line:
        """Busy, full, how many."""
        return [
            column("node", max(width - 38, 8), "dim"),
            column("state", 14, "dim"),
            column("load", 7, "dim", right=True),
            column("memory", 8, "dim", right=True),
            column("services", 9, "dim", right=True),
        ]

    def row(self, item: Node, width: int) -> Line:
        """Load is per core's worth: above 1 there is a queue."""
        glyph, word, ink = words.node_state(item)
        services = sum(1 for s in self.cluster.services if s.node == item.name) if self.cluster else 0
        load = f"{item.load:.2f}" if item.cores else words.NOTHING
        used = f"{100 - item.memory_free * 100 // item.memory} %" if item.memory else words.NOTHING
        return [
            column(item.name, max(width - 38, 8), "name"),
            column(f"{glyph} {word}", 14, ink),
            column(load, 7, "warn" if item.cores and item.load > item.cores else "text", right=True),
            column(used, 8, "text", right=True),
            column(str(services), 9, "text", right=True),
        ]


class LinkTable(Table[Link]):
    """The ways from and to a node."""

    def __init__(self) -> None:
        super().__init__("none measured yet; t does, 0.2 s of traffic to each node; so does a plan", id="links")
        self.here: Place | None = None
        self.now = 0.0

    def key(self, item: Link) -> str:
        """Both ends."""
        return f"{words.place(item.source)} {words.place(item.destination)}"

    def heading(self, width: int) -> Line:
        """Where to or from, how far, how wide."""
        return [
            column("way", max(width - 30, 12), "dim"),
            column("rtt", 9, "dim", right=True),
            column("rate", 12, "dim", right=True),
            column("ago", 9, "dim", right=True),
        ]

    def row(self, item: Link, width: int) -> Line:
        """Or why there is none."""
        out = item.source == self.here
        way = f"→ {words.place(item.destination)}" if out else f"← {words.place(item.source)}"
        if not item.reachable:
            return [column(way, 24, "name"), (f" ✕ {item.error}", "bad")]
        rate = words.rate(item.bandwidth) if item.bandwidth else "ssh only"
        return [
            column(way, max(width - 30, 12), "name"),
            column(words.fine(item.rtt), 9, "text", right=True),
            column(rate, 12, "text", right=True),
            column(words.age(max(self.now - item.at, 0.0)), 9, "dim", right=True),
        ]
