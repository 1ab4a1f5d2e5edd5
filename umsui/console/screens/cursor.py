"""Where the operator is on the board, and what is selected there: a service that keeps the cursor while the list
changes around it, and marks on others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from umsui.model import Service

if TYPE_CHECKING:
    from umsui.console.screens.board import Board


class Cursor:
    """A cluster, a service in it, and the marked ones."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.cluster = ""
        self.key: str | None = None
        self.marked: set[str] = set()

    def keep(self) -> None:
        """The board has changed: stay where one was, as far as it is still there."""
        board, order = self._board, self._board.order()
        self.mark(key for key in self.marked if board.world.service(key) is not None)
        if not order:
            return
        if self.cluster not in board.columns:
            self.cluster = next((name for name in order if board.columns[name].cards.services), order[0])
        cards = board.columns[self.cluster].cards
        if cards.index(self.key) is None:
            self.key = cards.services[0].key if cards.services else None
        self.point(self.cluster, self.key)

    def seek(self) -> None:
        """Another filter: to the first card that it shows, when it hides all of this cluster."""
        columns = self._board.columns
        if self.cluster in columns and not columns[self.cluster].cards.services:
            shown = next((name for name in self._board.order() if columns[name].cards.services), None)
            if shown is not None:
                self.point(shown, columns[shown].cards.services[0].key)

    def point(self, cluster: str, key: str | None) -> None:
        """Put the cursor there."""
        board = self._board
        moved = cluster != self.cluster or not board.columns[cluster].header.current
        self.cluster, self.key = cluster, key
        for name, column in board.columns.items():
            column.header.current = name == cluster
            wanted = key if name == cluster else None
            if column.cards.cursor != wanted:
                column.cards.point(wanted)
            if moved:
                column.header.repaint()
        if moved:
            board.show_provider(board.world.clusters[cluster].provider)
            board.columns[cluster].scroll_visible(animate=False)

    def walk(self, way: str) -> None:
        """One card, or one cluster, that way; a page, or to an end."""
        board = self._board
        if self.cluster not in board.columns:
            return
        cards = board.columns[self.cluster].cards
        at = cards.index(self.key) or 0
        cluster = self.cluster
        if way in ("left", "right"):
            order = board.order()
            index = order.index(cluster) + (1 if way == "right" else -1)
            if not 0 <= index < len(order):
                return
            row = at - cards.top
            cluster = order[index]
            cards = board.columns[cluster].cards
            at = cards.top + row
        else:
            page = max(cards.size.height // (1 if cards.dense else 3), 1)
            steps = {"up": -1, "down": 1, "pageup": -page, "pagedown": page}
            at = {"home": 0, "end": len(cards.services)}.get(way, at + steps.get(way, 0))
        services = cards.services
        self.point(cluster, services[min(max(at, 0), len(services) - 1)].key if services else None)

    # What is selected.

    def mark(self, keys: Iterable[str]) -> None:
        """Exactly these."""
        wanted = set(keys)
        if wanted == self.marked:
            return
        self.marked = wanted
        for column in self._board.columns.values():
            column.cards.marked = self.marked
            column.cards.repaint()
        self._board.selection_changed()

    def toggle(self, key: str | None) -> None:
        """Select it, or not any more."""
        if key is not None:
            self.mark(self.marked ^ {key})

    def extend(self, way: str) -> None:
        """Walk, and select what is left and what is reached."""
        before = self.key
        self.walk(way)
        self.mark(self.marked | {key for key in (before, self.key) if key})

    def reach(self, service: Service) -> None:
        """Select all from the cursor to a card of the same cluster."""
        cards = self._board.columns[service.cluster].cards
        here, there = cards.index(self.key), cards.index(service.key)
        if service.cluster != self.cluster or here is None or there is None:
            self.toggle(service.key)
            return
        low, high = sorted((here, there))
        self.mark(self.marked | {each.key for each in cards.services[low : high + 1]})

    def mark_shown(self) -> None:
        """All that the filter shows in this cluster; none of them, if all are selected already."""
        if self.cluster not in self._board.columns:
            return
        shown = {service.key for service in self._board.columns[self.cluster].cards.services}
        self.mark(self.marked - shown if shown <= self.marked else self.marked | shown)

    def chosen(self) -> tuple[Service, ...]:
        """What an action is about: the selected ones, else the one under the cursor."""
        world = self._board.world
        keys = sorted(self.marked) if self.marked else [self.key] if self.key else []
        return tuple(service for key in keys if (service := world.service(key)) is not None)
