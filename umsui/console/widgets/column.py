"""A cluster's column: its header, and the cards of its services, painted only as far as they are in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Offset

from umsui.console import words
from umsui.console.text import Line, fit, inked, pad, spread
from umsui.console.widgets import card as cards
from umsui.console.widgets.canvas import Canvas
from umsui.model import Cluster, ClusterState, Service

PITCH = cards.HEIGHT + 1
LEVELS = "▁▂▃▄▅▆▇█"


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
        if cluster.state in (ClusterState.STALE, ClusterState.UNREACHABLE):
            word += f" {words.age(self.age)}"
        right: Line = [("◆ protected  ", "warn")] if cluster.protected else []
        right.append((f"{glyph} {word} ", ink))
        return spread([(" ", ""), (cluster.name, "title accent" if self.current else "title")], right, width)

    def _kind(self, width: int) -> Line:
        cluster = self.cluster
        if cluster.error:
            return [(" ", ""), (fit(cluster.error, width - 2), "bad")]
        parts = [cluster.orchestrator, words.plural(len(cluster.nodes), "node"), words.AUTHORITY[cluster.authority]]
        if cluster.simulated:
            parts.append("simulated")
        return [(" ", ""), (fit(" · ".join(parts), width - 2), "dim")]

    def _load(self, width: int) -> Line:
        cluster = self.cluster
        if cluster.fix:
            return [(" ", ""), (fit(f"→ {cluster.fix}", width - 2), "text")]
        seen = [node for node in cluster.nodes if node.memory]
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


class CardList(Canvas):
    """The cards of one cluster. Cards are no widgets: ten thousand cost no more than those in view."""

    def __init__(self, cluster: str, motion: Callable[[Service], cards.Motion | None]) -> None:
        super().__init__(classes="cards")
        self.cluster = cluster
        self.services: Sequence[Service] = ()
        self.hidden = 0  # by the filter
        self.empty = ""  # said when there is no card at all
        self.cursor: str | None = None
        self.lifted: str | None = None
        self.top = 0
        self._motion = motion

    def show(self, services: Sequence[Service], hidden: int = 0) -> None:
        """Other services, or the same ones changed."""
        self.services, self.hidden = services, hidden
        self.top = min(self.top, self._last_top())
        self.repaint()

    def point(self, key: str | None) -> None:
        """Put the cursor on a card and bring it in view."""
        self.cursor = key
        index = self.index(key)
        if index is not None and self.size.height:
            fits = max(self.size.height // PITCH, 1)
            self.top = min(max(self.top, index - fits + 1), index)
        self.repaint()

    def index(self, key: str | None) -> int | None:
        """Where a service is in the list."""
        return next((i for i, service in enumerate(self.services) if service.key == key), None)

    def offset_of(self, key: str) -> Offset | None:
        """Where a card's name is, relative to this widget; None when it is out of view."""
        index = self.index(key)
        if index is None or not 0 <= (index - self.top) * PITCH < self.size.height:
            return None
        return Offset(3, (index - self.top) * PITCH)

    def at(self, y: int) -> Service | None:
        """The card at a row."""
        index, row = divmod(y, PITCH)
        index += self.top
        return self.services[index] if row < cards.HEIGHT and 0 <= index < len(self.services) else None

    def paint(self, width: int, height: int) -> list[Line]:
        """The cards in view, and how many are not."""
        if not self.services:
            said = f"{words.plural(self.hidden, 'service')} hidden by the filter" if self.hidden else self.empty
            return [[(f" {said}", "faint")]]
        lines: list[Line] = []
        for service in self.services[self.top : self.top + height // PITCH + 1]:
            lines += [*self._card(service, width), [("", "")]]
        below = len(self.services) - self.top - (height + 1) // PITCH
        if below > 0 and height > PITCH:
            lines = [*lines[: height - 1], [(f" ▾ {below} more", "dim")]]
        if self.top > 0 and lines:
            lines[0] = spread(lines[0][:-1], [(f"▴{self.top} ", "dim")], width)
        return lines

    def _card(self, service: Service, width: int) -> list[Line]:
        lines = cards.card(service, width, self._motion(service))
        if service.key == self.lifted:
            return [[("┄", "faint"), *_dimmed(line[1:])] for line in lines]
        if service.key == self.cursor:
            return [inked(pad([("▌", "accent"), *line[1:]], width), "selected") for line in lines]
        return lines

    def _last_top(self) -> int:
        return max(len(self.services) - max((self.size.height + 1) // PITCH, 1), 0)

    def on_mouse_scroll_down(self) -> None:
        """One card on."""
        self._scroll_by(1)

    def on_mouse_scroll_up(self) -> None:
        """One card back."""
        self._scroll_by(-1)

    def _scroll_by(self, cards_: int) -> None:
        top = min(max(self.top + cards_, 0), self._last_top())
        if top != self.top:
            self.top = top
            self.repaint()


def _dimmed(line: Line) -> Line:
    return [(text, "faint") for text, _ in line]


class ClusterColumn(Vertical):
    """Header and cards of one cluster."""

    def __init__(self, cluster: Cluster, motion: Callable[[Service], cards.Motion | None]) -> None:
        super().__init__(classes="cluster panel")
        self.cluster = cluster
        self.header = ClusterHeader(cluster)
        self.cards = CardList(cluster.name, motion)
        self._rank: dict[str, int] = {}

    def compose(self) -> ComposeResult:
        """Header above cards."""
        yield self.header
        yield self.cards

    def show(self, cluster: Cluster, services: Sequence[Service], age: float) -> None:
        """The cluster as it is now, and the services that pass the filter."""
        self.cluster = cluster
        self.header.cluster, self.header.age = cluster, age
        # A card keeps its place: one that arrives comes last, whatever its name.
        for service in services:
            self._rank.setdefault(service.key, len(self._rank))
        services = sorted(services, key=lambda service: self._rank[service.key])
        self.cards.empty = _emptiness(cluster)
        self.header.repaint()
        self.cards.show(services, len(cluster.services) - len(services))

    def forget_order(self) -> None:
        """By name again, next time."""
        self._rank.clear()


def _emptiness(cluster: Cluster) -> str:
    if cluster.state is ClusterState.CONNECTING:
        return "asking its nodes …"
    if cluster.state in (ClusterState.UNREACHABLE, ClusterState.FORBIDDEN):
        return "its services are not known"
    return "no services; drop one here"
