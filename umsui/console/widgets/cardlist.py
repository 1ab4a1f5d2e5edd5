"""The cards of one cluster, under headings where they are grouped. Cards are no widgets and only those in view are
painted: ten thousand cost no more than ten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

from textual.geometry import Offset

from umsui.console import words
from umsui.console.text import Line, inked, pad, spread
from umsui.console.view import Heading, Row
from umsui.console.widgets import card as cards
from umsui.console.widgets.canvas import Canvas
from umsui.model import Service


class CardList(Canvas):
    """Scrolls by cards. ``services`` are those shown, in their order."""

    def __init__(self, cluster: str, motion: Callable[[Service], cards.Motion | None]) -> None:
        super().__init__(classes="cards")
        self.cluster = cluster
        self.rows: list[Row] = []
        self.services: list[Service] = []
        self.hidden = 0  # by the filter
        self.empty = ""  # said when there is no card at all
        self.lost: Set[str] = frozenset()  # nodes that do not answer
        self.cursor: str | None = None
        self.marked: Set[str] = frozenset()
        self.lifted: Set[str] = frozenset()
        self.dense = False
        self.top = 0  # index of a row
        self._where: dict[str, tuple[int, int]] | None = None  # key -> index among services and rows; made when asked
        self._motion = motion

    def show(self, rows: list[Row], hidden: int = 0, *, dense: bool = False) -> None:
        """Other services, or the same ones changed; to be painted by the caller."""
        self.rows, self.hidden, self.dense = rows, hidden, dense
        self.services = [row for row in rows if isinstance(row, Service)]
        self._where = None
        self.top = min(self.top, self._last_top())

    def point(self, key: str | None) -> None:
        """Put the cursor on a card and bring it in view."""
        self.cursor = key
        place = self._find(key)
        if place is not None and self.size.height:
            at = place[1]
            headed = at > 0 and isinstance(self.rows[at - 1], Heading)  # its heading with it
            self.top = min(max(self.top, self._top_for(at)), at - headed)
        self.repaint()

    def index(self, key: str | None) -> int | None:
        """Where a service is among those shown."""
        place = self._find(key)
        return place[0] if place else None

    def _find(self, key: str | None) -> tuple[int, int] | None:
        if self._where is None:
            rows = [index for index, row in enumerate(self.rows) if isinstance(row, Service)]
            self._where = {s.key: (i, row) for i, (s, row) in enumerate(zip(self.services, rows, strict=True))}
        return self._where.get(key or "")

    def offset_of(self, key: str) -> Offset | None:
        """Where a card's name is, relative to this widget; None when it is out of view."""
        return next((Offset(3, y) for y, row in self._in_view() if isinstance(row, Service) and row.key == key), None)

    def at(self, y: int) -> Service | None:
        """The card at a line."""
        for top, row in self._in_view():
            if isinstance(row, Service) and top <= y < top + self._height(row, gap=0):
                return row
        return None

    def paint(self, width: int, height: int) -> list[Line]:
        """The cards in view, and how many are not."""
        if not self.services:
            said = f"{words.plural(self.hidden, 'service')} hidden by the filter" if self.hidden else self.empty
            return [[(f" {said}", "dim")]]
        lines: list[Line] = []
        starts, ends = [], []  # of the cards
        for y, row in self._in_view():
            lines += self._drawn(row, width)
            if isinstance(row, Service):
                starts.append(y)
                ends.append(y + self._height(row, gap=0))
        above = sum(isinstance(row, Service) for row in self.rows[: self.top])
        rest = len(self.services) - above
        if sum(end <= height for end in ends) < rest and height > cards.HEIGHT + 1:
            cut = rest - sum(start < height - 1 for start in starts)  # of one its name is seen
            lines = [*lines[: height - 1], [(f" ▾ {cut} more", "dim")]]
        if above and lines:
            lines[0] = spread(lines[0][:-1], [(f"▴{above} ", "dim")], width)
        return lines

    def _in_view(self) -> Iterator[tuple[int, Row]]:
        """Rows with their first line."""
        y = 0
        for row in self.rows[self.top : self.top + self.size.height + 1]:
            if y >= self.size.height:
                return
            yield y, row
            y += self._height(row)

    def _height(self, row: Row, gap: int = 1) -> int:
        if isinstance(row, Heading) or self.dense:
            return 1
        return cards.HEIGHT + gap

    def _drawn(self, row: Row, width: int) -> list[Line]:
        if isinstance(row, Heading):
            return [[("  ", ""), (row.title, "dim bold"), (f"  {row.count}", "faint")]]
        lines = cards.card(row, width, self._motion(row), seen=row.node not in self.lost)
        lines = lines[: 1 if self.dense else None]
        marked, current = row.key in self.marked, row.key == self.cursor
        if row.key in self.lifted:
            lines = [[("┄", "faint"), *((text, "faint") for text, _ in line[1:])] for line in lines]
        elif marked or current:
            sign = "█" if marked and current else "■" if marked else "▌"
            ink = "selected" if current else "marked"
            lines = [inked(pad([(sign, "accent"), *line[1:]], width), ink) for line in lines]
        return lines if self.dense else [*lines, [("", "")]]

    def _top_for(self, at: int) -> int:
        """The first top from which a row is whole in view."""
        room = self.size.height - self._height(self.rows[at], gap=0)
        while at > 0 and room >= self._height(self.rows[at - 1]):
            room -= self._height(self.rows[at - 1])
            at -= 1
        return at

    def _last_top(self) -> int:
        return self._top_for(len(self.rows) - 1) if self.rows and self.size.height else 0

    def on_mouse_scroll_down(self) -> None:
        """One card on."""
        self._scroll_by(1)

    def on_mouse_scroll_up(self) -> None:
        """One card back."""
        self._scroll_by(-1)

    def _scroll_by(self, rows: int) -> None:
        top = min(max(self.top + rows, 0), self._last_top())
        if top != self.top:
            self.top = top
            self.repaint()
