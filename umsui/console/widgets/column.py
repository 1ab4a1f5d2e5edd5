"""A cluster's column: its header, and below it the cards of its services."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from umsui.console import words
from umsui.console.filter import Filter
from umsui.console.text import Line, fit, inked, pad, spread
from umsui.console.view import View
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.card import Motion
from umsui.console.widgets.cardlist import CardList
from umsui.model import Cluster, ClusterState, Service

LEVELS = "▁▂▃▄▅▆▇█"
DATED = (ClusterState.STALE, ClusterState.UNREACHABLE, ClusterState.EXPIRED, ClusterState.THROTTLED)
"""States in which the age of what is shown matters."""


class ClusterHeader(Canvas):
    """Name, state and age; authority, orchestrator and nodes; load and memory. While dragging, what a drop would do."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(classes="cluster-header")
        self.cluster = cluster
        self.age = cluster.age
        self.current = False
        self.hint: tuple[str, str] | None = None  # text and ink, while a card is over this column

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Three lines."""
        lines = [self._title(width), self._kind(width), self._load(width)]
        if self.hint is not None:
            text, ink = self.hint
            lines[1:] = [[(" ", ""), (piece, "text")] for piece in _two(text, width - 2)]
            lines = [inked(pad(line, width), ink) for line in lines]
        return lines

    def _title(self, width: int) -> Line:
        cluster = self.cluster
        glyph, word, ink = words.cluster_state(cluster)
        if cluster.until:
            word += f" until {words.clock(cluster.until)}"
        elif cluster.state in DATED:
            word += f" {words.age(self.age)}"
        mark = "◆ protected  " if len(cluster.name) + len(word) + 18 <= width else "◆ "
        right: Line = [(mark, "warn")] if cluster.protected else []
        right.append((f"{glyph} {word} ", ink))
        return spread([(" ", ""), (cluster.name, "title accent" if self.current else "title")], right, width)

    def _kind(self, width: int) -> Line:
        cluster = self.cluster
        if cluster.error:
            ink = "dim" if cluster.state is ClusterState.LISTED else "bad"
            return [(" ", ""), (fit(cluster.error, width - 2), ink)]
        parts = [cluster.orchestrator, words.nodes(cluster), words.AUTHORITY[cluster.authority]]
        if cluster.simulated:
            parts.append("simulated")
        text = " · ".join(parts)
        if len(text) > width - 2:
            text = text.replace(" control", "")
        return [(" ", ""), (fit(text, width - 2), "dim")]

    def _load(self, width: int) -> Line:
        cluster = self.cluster
        if cluster.fix:
            return [(" ", ""), (fit(f"→ {cluster.fix}", width - 2), "text")]
        # What a machine has is known from its size; what it uses, only where it was asked.
        seen = [node for node in cluster.nodes if node.memory and node.state not in words.UNASKED]
        if not seen:
            return [(" load ·   mem  ·", "faint")]
        cores = sum(node.cores for node in seen) or 1
        cpu = "".join(LEVELS[min(int(node.load / (node.cores or 1) * 7.99), 7)] for node in seen[:6])
        total = sum(node.memory for node in seen)
        used = 1 - sum(node.memory_free for node in seen) / total
        load = sum(node.load for node in seen) / cores * 100
        left: Line = [(" load ", "dim"), (cpu, "bar"), (f" {load:.0f} %", "text"), ("   mem ", "dim")]
        return [*left, (f"{used * 100:.0f} %", "text"), (f" of {words.size(total)}", "dim")]


def _two(text: str, width: int) -> list[str]:
    """A text on two lines."""
    if len(text) <= width:
        return [text, ""]
    cut = max(text.find(",", 0, width) + 1, 0) or text.rfind(" ", 0, width + 1)
    cut = cut if cut > 0 else width
    return [text[:cut], fit(text[cut:].strip(), width)]


class ClusterColumn(Vertical):
    """Header and cards of one cluster, in a frame."""

    def __init__(self, cluster: Cluster, motion: Callable[[Service], Motion | None]) -> None:
        super().__init__(classes="panel cluster")
        self.cluster = cluster
        self.header = ClusterHeader(cluster)
        self.cards = CardList(cluster.name, motion)
        self._rank: dict[str, int] = {}
        self._ordered: list[Service] = []
        self._shown: tuple[Sequence[Service], Filter, View] | None = None

    def compose(self) -> ComposeResult:
        """One above the other."""
        yield self.header
        yield self.cards

    def show(self, cluster: Cluster, wanted: Filter, view: View, age: float) -> None:
        """Newer knowledge of the same cluster. A card keeps its place while services come and go; new ones go below."""
        self.cluster = self.header.cluster = cluster
        self.header.age = age
        self.header.repaint()
        shown = self._shown
        if shown is None or shown[0] is not cluster.services or shown[1:] != (wanted, view):
            if shown is None or shown[2] != view:
                self._rank.clear()
            if shown is None or shown[0] is not cluster.services or shown[2] != view:
                self._ordered = self._in_order(cluster.services, view)
            passing = wanted.apply(self._ordered)
            self.cards.show(view.rows(passing), len(self._ordered) - len(passing), dense=view.dense)
            self._shown = (cluster.services, wanted, view)
        self.cards.empty = emptiness(cluster)
        self.cards.lost = frozenset(node.name for node in cluster.nodes if node.state in DATED)
        self.cards.repaint()

    def _in_order(self, services: Sequence[Service], view: View) -> list[Service]:
        rank = self._rank
        keyed = [(service.key, service) for service in services]
        for service in sorted((service for key, service in keyed if key not in rank), key=view.order):
            rank.setdefault(service.key, len(rank))
        keyed.sort(key=lambda pair: rank[pair[0]])
        return [service for _, service in keyed]

    def forget_order(self) -> None:
        """Sorted again, next time."""
        self._rank.clear()
        self._shown = None


EMPTINESS = {
    ClusterState.CONNECTING: "asking its nodes …",
    ClusterState.EXPIRED: "log in again, then r",
    ClusterState.FORBIDDEN: "not allowed in: see above, then r",
    ClusterState.UNREACHABLE: "not known; umsui doctor tells why",
    ClusterState.THROTTLED: "asked again by itself, later",
    ClusterState.STOPPED: "its machines are off: umsui nodes start",
    ClusterState.LISTED: "umsui does not look into it",
}


def emptiness(cluster: Cluster) -> str:
    """What is said where there is no card, and what to do about it."""
    nothing = "no services; drop one here" if cluster.nodes else "no nodes: add some to the config"
    return EMPTINESS.get(cluster.state, nothing)
