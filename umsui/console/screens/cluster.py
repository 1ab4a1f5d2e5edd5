"""A cluster and its nodes: how they are, how busy, what they lack with the fixes, and the ways between them."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from umsui.console import keymap, words
from umsui.console.messages import Answered, Told
from umsui.console.screens.page import Page, panel
from umsui.console.text import Line, wrap
from umsui.console.widgets.canvas import Sheet
from umsui.console.widgets.facts import NodeSheet
from umsui.console.widgets.plansheet import finding
from umsui.console.widgets.series import Series
from umsui.console.widgets.table import Opened
from umsui.console.widgets.tables import LinkTable, NodeTable
from umsui.console.widgets.tabline import TabLine
from umsui.console.world import World
from umsui.model import Finding, Node, Place
from umsui.vitals import NodeDetail, Points

PACE = 5.0
"""Seconds between two looks at a node's past load."""
TABS = ("doctor", "links", "facts")


class DoctorSheet(Sheet):
    """What a node lacks first, what it has below."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: tuple[Finding, ...] | None = None
        self.error = ""

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Findings with their fixes."""
        if self.error:
            return [[(" ✕ ", "bad"), (piece, "bad")] for piece in wrap(self.error, width - 4)]
        if self.findings is None:
            return [[(" examining the node …", "dim")]]
        wrong = sorted((f for f in self.findings if not f.ok), key=lambda f: not f.blocking)
        fine = [f for f in self.findings if f.ok]
        lines: list[Line] = []
        for each in wrong:
            lines += [[(" ", ""), *line] for line in finding(each, width - 2, named=False)]
        lines += [[]] if wrong else [[(" ✓ it lacks nothing", "ok")], []]
        for each in fine:
            for index, piece in enumerate(wrap(each.what, width - 4)):
                lines.append([(" ✓ " if index == 0 else "   ", "ok"), (piece, "dim")])
        return lines


class ClusterScreen(Page[None]):
    """Nodes to the left; to the right what is known of the one under the cursor."""

    SCOPE = "cluster"
    CSS_PATH = "cluster.tcss"
    BINDINGS = keymap.bindings("cluster")

    def __init__(self, world: World, cluster: str) -> None:
        super().__init__(world)
        self.name_of_cluster = cluster
        self._details: dict[str, NodeDetail] = {}
        self._measuring = False

    def content(self) -> ComposeResult:
        """Table and load to the left, tabs to the right."""
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield panel(self.name_of_cluster, NodeTable(), id="list")
                yield panel("load", Series(self._load, lambda v: f"{v:.1f}", self.console.clock.wall), id="load")
                yield panel("memory free", Series(self._free, words.size, self.console.clock.wall), id="free")
            with Vertical(id="right"):
                yield TabLine(self._labels, "doctor")
                with Vertical(id="detail", classes="panel"):
                    yield VerticalScroll(DoctorSheet(), id="doctor", can_focus=False)
                    yield LinkTable()
                    yield VerticalScroll(NodeSheet(), id="facts", can_focus=False)

    def on_mount(self) -> None:
        """The nodes at once; the first of them is looked at."""
        self.choose("doctor")
        self.world_changed()
        self.on_moved()

    @property
    def node(self) -> Node | None:
        """The one under the cursor."""
        return self.query_one(NodeTable).current

    def _key(self) -> str:
        node = self.node
        return f"{self.name_of_cluster}/{node.name}" if node is not None else ""

    def world_changed(self) -> None:
        """A node may have changed."""
        cluster = self.world.clusters.get(self.name_of_cluster)
        table, sheet = self.query_one(NodeTable), self.query_one(NodeSheet)
        table.cluster = sheet.cluster = cluster
        table.show(cluster.nodes if cluster is not None else ())
        sheet.node = self.node
        sheet.repaint()
        self.tick()

    def on_moved(self) -> None:
        """Another node: ask for it."""
        key, feed = self._key(), self.console.feed
        self.query_one(NodeSheet).node = self.node
        self._show_node()
        if key:
            self.ask("node", lambda: feed.node(key), every=PACE)
            self._examine(key)

    def _examine(self, key: str) -> None:
        sheet = self.query_one(DoctorSheet)
        sheet.findings, sheet.error = None, ""
        sheet.repaint()
        self.ask("doctor", lambda: self.console.feed.doctor(key))

    def heard_doctor(self, message: Answered) -> None:
        """Findings, or why there are none."""
        sheet = self.query_one(DoctorSheet)
        sheet.findings = tuple(message.value) if message.value is not None else None
        sheet.error = message.error
        sheet.repaint()
        self.query_one(TabLine).repaint()

    def heard_node(self, message: Answered) -> None:
        """Its past load and the links."""
        if isinstance(message.value, NodeDetail):
            node = message.value.node
            self._details[f"{node.cluster}/{node.name}"] = message.value
        self._show_node()

    def heard_links(self, message: Answered) -> None:
        """Measured."""
        self._measuring = False
        if message.value is None:
            self.app.post_message(Told(message.error, "Not measured", "error"))
        self.heard_node(message)

    def _detail(self) -> NodeDetail | None:
        return self._details.get(self._key())

    def _show_node(self) -> None:
        detail, links = self._detail(), self.query_one(LinkTable)
        node = self.node
        links.now, links.here = self.console.clock.wall(), Place(node.cluster, node.name) if node is not None else None
        links.show(detail.links if detail is not None else ())
        if self._measuring:
            links.trouble("measuring the ways to the other nodes …")
        self.query_one("#detail", Vertical).border_title = self._key()
        for series in self.query(Series):
            series.repaint()
        self.query_one(NodeSheet).repaint()
        self.query_one(TabLine).repaint()

    def _load(self) -> Points:
        detail = self._detail()
        return detail.load if detail is not None else ()

    def _free(self) -> Points:
        detail = self._detail()
        return detail.memory_free if detail is not None else ()

    # Tabs.

    def _labels(self) -> list[tuple[str, str]]:
        findings, detail = self.query_one(DoctorSheet).findings, self._detail()
        wrong = sum(1 for each in findings or () if not each.ok)
        said = "" if findings is None else f" ⚠ {wrong}" if wrong else " ✓"
        return [
            ("doctor", f"doctor{said}"),
            ("links", f"links {len(detail.links)}" if detail else "links"),
            ("facts", "facts"),
        ]

    def choose(self, name: str) -> None:
        """A tab in front."""
        tabs = self.query_one(TabLine)
        tabs.active = name
        for each in TABS:
            self.set_class(each == name, f"-{each}")
        tabs.repaint()

    def on_tab_line_chosen(self, message: TabLine.Chosen) -> None:
        """Clicked."""
        self.choose(message.name)

    def on_opened(self, message: Opened) -> None:
        """A node was clicked again: there is nothing deeper."""
        message.stop()

    # Actions.

    def action_tab(self, way: int) -> None:
        """The next one."""
        self.query_one(TabLine).step(way)

    def action_cursor(self, lines: int) -> None:
        """Another node."""
        self.query_one(NodeTable).step(lines)

    def action_page(self, way: int) -> None:
        """A page of findings or facts."""
        name = self.query_one(TabLine).active
        if name == "links":
            self.query_one(LinkTable).step(way * 10)
        else:
            middle = self.query_one(f"#{name}", VerticalScroll)
            middle.scroll_relative(y=way * max(middle.size.height - 1, 1), animate=False)

    def action_links(self) -> None:
        """Measure the ways from this node to the others."""
        key = self._key()
        self.choose("links")
        if key and not self._measuring:
            self._measuring = True
            self._show_node()
            self.ask("links", lambda: self.console.feed.measure_links(key))

    def action_refresh_now(self) -> None:
        """Examine it again."""
        self.on_moved()

    def action_copy(self) -> None:
        """The commands that mend it."""
        findings = self.query_one(DoctorSheet).findings or ()
        fixes = "\n".join(each.fix for each in findings if not each.ok and each.fix)
        if not fixes:
            self.notify("There is nothing to mend.")
            return
        self.app.copy_to_clipboard(fixes)
        self.app.post_message(Told(fixes, "Copied"))
