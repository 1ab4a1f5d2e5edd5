"""What the board shows of what there is: filter, order, groups, dense or not. The board adds the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual import on
from textual.screen import Screen
from textual.widgets import Input

from umsui.console.filter import Filter
from umsui.console.view import GROUPS, SORTS, View, after
from umsui.console.widgets.lines import TopLine
from umsui.console.world import World

if TYPE_CHECKING:
    from umsui.console.app import Console

HINT = "name   state:up   approach:o   label:tier=db   node:n1   -not"


class Looks(Screen[None]):
    """A screen over the world with a filter box and a view."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.filter = Filter()
        self.view = View()

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def world_changed(self) -> None:
        """Show what changed."""
        raise NotImplementedError

    def seek(self) -> None:
        """Have the cursor on something that the filter shows."""
        raise NotImplementedError

    def action_sort(self, by: str = "") -> None:
        """By the next property, or the one named."""
        self._look(replace(self.view, sort=by or after(self.view.sort, tuple(SORTS))), by, tuple(SORTS))

    def action_group(self, by: str = "") -> None:
        """Under headings of the next kind, or the one named; any label's key is one."""
        labels = {key for service in self.world.services() for key in service.labels}
        self._look(replace(self.view, group=by or after(self.view.group, GROUPS)), by, (*GROUPS, *sorted(labels)))

    def _look(self, view: View, named: str, choices: Sequence[str]) -> None:
        if named and named not in choices:
            self.notify(f"There is no {named}; there are: {', '.join(choices)}", severity="warning", markup=False)
            return
        self.view = view
        self.world_changed()
        self.notify(f"sorted by {view.sort}, grouped by {view.group}", timeout=2)

    def action_dense(self) -> None:
        """Cards of one line, or of two."""
        self.view = replace(self.view, dense=not self.view.dense)
        self.world_changed()

    def action_filter(self, text: str = "") -> None:
        """Type what to show."""
        box = self.query_one("#filter", Input)
        if text:
            self.filtered(text)
            return
        self.add_class("-filtering")
        box.focus()

    def filtered(self, text: str) -> None:
        """Show what fits a text."""
        self.query_one("#filter", Input).value = text

    def close_filter(self) -> None:
        """Give the keys back."""
        self.remove_class("-filtering")
        self.set_focus(None)

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """With each keystroke."""
        self.filter = Filter(event.value)
        self.query_one(TopLine).filter = event.value
        self.world_changed()
        self.seek()

    @on(Input.Submitted, "#filter")
    def filter_kept(self) -> None:
        """Enter keeps the filter and gives the keys back."""
        self.close_filter()
        if self.filter.complaint:
            self.notify(self.filter.complaint, severity="warning", markup=False)
