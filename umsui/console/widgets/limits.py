"""What a move may cost and where it goes: a line of fields below the plan. Leaving one takes what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from umsui import units
from umsui.model import MigrationRequest

FIELDS = (("max-downtime", "down ≤ ", "any"), ("bandwidth", "wire ≤ ", "any"), ("node", "node ", "most room"))


class Limits(Horizontal):
    """Longest downtime, share of the link, node."""

    class Taken(Message):
        """The request with what the fields say now."""

        def __init__(self, request: MigrationRequest) -> None:
            super().__init__()
            self.request = request

    class Refused(Message):
        """A field says what it cannot mean."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    class Restored(Message):
        """They say again what was taken last."""

    class Left(Message):
        """Enter was pressed: the keys are someone else's again."""

    def __init__(self, request: MigrationRequest, nodes: Sequence[str]) -> None:
        super().__init__()
        self.request = request
        self.nodes = nodes
        self._texts = dict.fromkeys((name for name, _, _ in FIELDS), "")

    def compose(self) -> ComposeResult:
        """Each with its name before it."""
        yield Label("limits    ", markup=False)
        for name, label, empty in FIELDS:
            yield Label(label, markup=False)
            yield Input(placeholder=empty, id=name, classes="limit", compact=True)

    @property
    def editing(self) -> bool:
        """Whether one of them has the keys."""
        return isinstance(self.screen.focused, Input) and self.screen.focused in self.query(Input)

    def found(self, node: str) -> None:
        """The node that was chosen where none was named."""
        self.query_one("#node", Input).placeholder = f"{node}, most room"

    def restore(self) -> None:
        """What was taken last."""
        for field in self.query(Input):
            field.value = self._texts[field.id or ""]
        self.post_message(self.Restored())

    def on_key(self, event: events.Key) -> None:
        """Nodes are few: up and down go through them."""
        field = self.query_one("#node", Input)
        if event.key not in ("up", "down") or not field.has_focus:
            return
        event.stop()
        choices = ["", *self.nodes]
        at = choices.index(field.value) if field.value in choices else 0
        field.value = choices[(at + (1 if event.key == "down" else -1)) % len(choices)]
        field.cursor_position = len(field.value)

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Enter takes it, and gives the keys back when it means something."""
        event.stop()
        self.submit()

    def submit(self) -> None:
        """Take what they say."""
        if self._take():
            self.post_message(self.Left())

    @on(Input.Blurred)
    def left(self, event: Input.Blurred) -> None:
        """Left in another way."""
        event.stop()
        if not self._take():
            self.restore()

    def _take(self) -> bool:
        texts = {field.id or "": field.value.strip() for field in self.query(Input)}
        if texts == self._texts:
            return True
        try:
            request = replace(
                self.request,
                max_downtime=units.duration(texts["max-downtime"]) if texts["max-downtime"] else None,
                bandwidth=units.rate(texts["bandwidth"]) if texts["bandwidth"] else None,
                node=self._node(texts["node"]),
            )
        except ValueError as error:
            self.post_message(self.Refused(str(error)))
            return False
        self._texts, self.request = texts, request
        self.post_message(self.Taken(request))
        return True

    def _node(self, name: str) -> str | None:
        if name and name not in self.nodes:
            raise ValueError(f"there is no node {name}; there are: {', '.join(self.nodes)}")
        return name or None
