"""A provider's clusters side by side under its title, and what is said where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from umsui.console import words
from umsui.console.text import Line
from umsui.console.widgets.canvas import Canvas
from umsui.console.widgets.column import ClusterColumn
from umsui.console.world import LinkState, World

NARROWEST = 30


class ProviderTitle(Canvas):
    """``AZURE`` on a rule."""

    def __init__(self, provider: str) -> None:
        super().__init__(classes="provider-title")
        self.provider = provider

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line."""
        return [[("  ", ""), (words.provider(self.provider), "title"), (" ", "")]]


class ProviderGroup(Vertical):
    """The clusters of one provider."""

    def __init__(self, provider: str, columns: Sequence[ClusterColumn]) -> None:
        super().__init__()
        self.provider = provider
        self._row = Horizontal(*columns, classes="row")

    def compose(self) -> ComposeResult:
        """Title above columns."""
        yield ProviderTitle(self.provider)
        yield self._row

    def add(self, columns: Sequence[ClusterColumn]) -> None:
        """Clusters that came later, in their place by name."""
        self._row.mount(*columns)
        self._row.sort_children(key=_name)

    def sized(self, clusters: int) -> None:
        """As wide as its clusters ask for."""
        if self.styles.width is None or self.styles.width.value != clusters:
            self.styles.width = f"{clusters}fr"
            self.styles.min_width = NARROWEST * clusters


def _name(widget: Widget) -> str:
    return widget.cluster.name if isinstance(widget, ClusterColumn) else ""


class Nothing(Canvas):
    """The board's skeleton before the first answer, and what to do when there are no clusters."""

    def __init__(self, world: World) -> None:
        super().__init__(id="nothing")
        self.world = world

    def paint(self, width: int, height: int) -> list[Line]:
        """Some lines in the middle."""
        link = self.world.link
        if link.state is LinkState.CONNECTING:
            said = [("asking the coordinator …", "dim")]
        elif link.state is LinkState.LOST:
            said = [("The coordinator does not answer.", "bad"), (link.reason, "dim"), ("", ""),
                    ("umsui coordinator status   tells more; it is asked again all the time", "text")]  # fmt: skip
        else:
            said = [("No clusters yet.", "name"), ("", ""),
                    ("umsui lab up     three clusters of real hosts on this machine, to try things on", "text"),
                    ("umsui init       finds hosts, contexts and cloud logins, and writes the config", "text"),
                    ("umsui info       tells where the config is, to write it by hand", "text")]  # fmt: skip
        block = max(len(text) for text, _ in said)
        indent = max((width - block) // 2, 0)
        return [[]] * max((height - len(said)) // 2, 0) + [[(" " * indent, ""), (text, ink)] for text, ink in said]
