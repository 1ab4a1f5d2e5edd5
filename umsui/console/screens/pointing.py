"""The mouse on the board: what is under it, and what pressing, dragging and letting go do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.geometry import Offset

from umsui.console.drag import Drag
from umsui.console.widgets.column import ClusterColumn
from umsui.console.widgets.lines import ProviderTabs
from umsui.model import Service

if TYPE_CHECKING:
    from umsui.console.screens.board import Board

DOUBLE = 0.5
"""Seconds within which a second click on the same card opens it."""


class Pointing:
    """Turns the mouse into what the board can do. While moving, the button is not asked for: terminals differ there."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._clicked: tuple[str, float] = ("", 0.0)

    def service_at(self, pointer: Offset) -> Service | None:
        """The card under the pointer."""
        for column in self._board.columns.values():
            if column.cards.region.contains_point(pointer) and column.cards.is_on_screen:
                return column.cards.at(pointer.y - column.cards.region.y)
        return None

    def column_at(self, pointer: Offset) -> ClusterColumn | None:
        """The column under the pointer; over a tab, its first one."""
        board = self._board
        tabs = board.query_one(ProviderTabs)
        if tabs.display and tabs.region.contains_point(pointer):
            provider = tabs.at(pointer.x)
            clusters = board.world.by_provider().get(provider, []) if provider else []
            return board.columns[clusters[0].name] if clusters else None
        columns = board.columns.values()
        return next((c for c in columns if c.is_on_screen and c.region.contains_point(pointer)), None)

    def down(self, event: events.MouseDown) -> None:
        """A card is pressed, or a header: selected with Ctrl or Shift, else it may be dragged."""
        board, pointer = self._board, Offset(event.screen_x, event.screen_y)
        if event.button != 1 or board.carry.busy:
            return
        service = self.service_at(pointer)
        if service is None:
            self._press_header(pointer)
        elif event.shift:
            board.cursor.reach(service)
        elif event.ctrl or event.meta:
            board.cursor.toggle(service.key)
        else:
            board.point(service.cluster, service.key)
            marked = board.cursor.marked
            board.carry.press(Drag(board.cursor.chosen() if service.key in marked else (service,), pointer))

    def _press_header(self, pointer: Offset) -> None:
        """The whole cluster is in the hand."""
        board = self._board
        column = self.column_at(pointer)
        if column is None or not column.header.region.contains_point(pointer):
            return
        services = column.cards.services
        board.point(column.cluster.name, services[0].key if services else None)
        board.carry.press(Drag(column.cluster.services, pointer, drains=column.cluster.name))

    def up(self, event: events.MouseUp) -> None:
        """Dropped, or it was a click after all; a second one on a card opens it."""
        board = self._board
        drag = board.carry.release(Offset(event.screen_x, event.screen_y))
        if drag is None or drag.drains:
            return
        if board.cursor.marked:
            board.cursor.mark(())  # a plain click takes the selection back
        now = board.console.clock.steady()
        key, when = self._clicked
        here = drag.services[0].key
        self._clicked = (here, now)
        if key == here and now - when < DOUBLE:
            self._clicked = ("", 0.0)
            board.action_open()
