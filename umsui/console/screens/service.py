"""One service: what it is made of, what it does at this moment, how it could move, and its log as it grows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import deque

from textual.app import ComposeResult, SuspendNotSupported
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input

from umsui.console import keymap, words
from umsui.console.ears import FIRST_RETRY, LONGEST_RETRY, TROUBLE
from umsui.console.feed import ServiceDetail
from umsui.console.messages import Answered, Logged, Told
from umsui.console.screens.page import Page, panel
from umsui.console.widgets.facts import ServiceSheet
from umsui.console.widgets.logview import LogView
from umsui.console.widgets.plansheet import WaysSheet
from umsui.console.widgets.series import Series
from umsui.console.widgets.table import Table
from umsui.console.widgets.tables import ProcessTable, SocketTable
from umsui.console.widgets.tabline import TabLine
from umsui.console.world import World
from umsui.model import MigrationRequest
from umsui.vitals import Points, Vitals

PACE = 2.0
"""Seconds between two looks at the processes."""
SOON = 3.0
"""Seconds within which a shell that fails has not been used: what it said stays to be read."""
TABS = ("log", "processes", "sockets", "ways")


class ServiceScreen(Page[bool]):
    """Dismisses with True when the service is to be picked up."""

    SCOPE = "service"
    CSS_PATH = "service.tcss"
    BINDINGS = keymap.bindings("service")

    def __init__(self, world: World, key: str) -> None:
        super().__init__(world)
        self.key = key
        self._past: Points = ()
        self._seen: deque[tuple[float, float]] = deque(maxlen=600)
        self._counts: dict[str, str] = {}
        self._planned = False

    def content(self) -> ComposeResult:
        """Facts to the left; memory, tabs and the log to the right."""
        with Horizontal(id="body"):
            facts = VerticalScroll(ServiceSheet(), id="facts", classes="panel", can_focus=False)
            facts.border_title = self.key
            yield facts
            with Vertical(id="right"):
                yield panel("memory", Series(self._memory, words.size, self.console.clock.wall), id="memory")
                yield TabLine(self._labels, "log")
                with Vertical(id="detail", classes="panel"):
                    yield ProcessTable()
                    yield SocketTable()
                    yield VerticalScroll(WaysSheet(), id="ways", can_focus=False)
                yield panel("log", LogView(), id="log")

    def on_mount(self) -> None:
        """What the board knows at once, the rest when it comes."""
        self.query_one(ServiceSheet).service = self.world.service(self.key)
        self.choose("processes" if self.size.height >= 30 else "log")
        self.action_refresh_now()
        self.run_worker(self._follow(), group="log", exclusive=True)
        self.query_one(".filter", Input).placeholder = "search the log; n older, N newer"

    def action_refresh_now(self) -> None:
        """Ask again."""
        feed = self.console.feed
        self.ask("detail", lambda: feed.service(self.key))
        self.ask("volumes", lambda: feed.vitals(self.key, volumes=True))
        self.ask("vitals", lambda: feed.vitals(self.key), every=PACE)
        if self._planned:
            self._plan()

    # What is heard.

    def heard_detail(self, message: Answered) -> None:
        """Service and specification."""
        sheet, detail = self.query_one(ServiceSheet), message.value
        if isinstance(detail, ServiceDetail):
            sheet.service, sheet.specification = detail.service, detail.specification
        else:
            sheet.error = message.error
        sheet.repaint()

    def heard_volumes(self, message: Answered) -> None:
        """How much they hold."""
        if isinstance(message.value, Vitals):
            sheet = self.query_one(ServiceSheet)
            sheet.volumes = {volume.path: volume for volume in message.value.volumes}
            sheet.repaint()

    def heard_vitals(self, message: Answered) -> None:
        """Processes and sockets."""
        processes, sockets = self.query_one(ProcessTable), self.query_one(SocketTable)
        found = message.value
        if not isinstance(found, Vitals):
            processes.trouble(message.error)
            sockets.trouble(message.error)
            return
        self._past = found.memory
        processes.take(found)
        sockets.inner = {process.pid: process.inner for process in found.processes}
        sockets.show(found.sockets)
        self._counts |= {"processes": str(len(found.processes)), "sockets": str(len(found.sockets))}
        self.query_one(TabLine).repaint()
        self._note_memory()

    def _note_memory(self) -> None:
        service = self.query_one(ServiceSheet).service
        now = self.console.clock.wall()
        if service is not None and (not self._seen or now - self._seen[-1][0] >= 1.0):
            self._seen.append((now, float(service.memory)))
        self.query_one(Series).repaint()

    def _memory(self) -> Points:
        """The coordinator's past, then what was seen since this screen is open."""
        first = self._seen[0][0] if self._seen else float("inf")
        return (*(point for point in self._past if point[0] < first), *self._seen)

    def world_changed(self) -> None:
        """Its state may have changed."""
        sheet = self.query_one(ServiceSheet)
        sheet.service = self.world.service(self.key) or sheet.service
        sheet.repaint()
        self._note_memory()
        self.tick()

    # The log.

    async def _follow(self) -> None:
        """The last lines, then each new one; again when the way is lost."""
        wait = FIRST_RETRY
        while True:
            said = "it has ended: the service does not run"
            restart = "reading …"
            try:
                async for some in self.console.feed.logs(self.key):
                    self.post_message(Logged(some.lines, some.dropped, restart))
                    restart, wait = "", FIRST_RETRY
            except TROUBLE as error:
                said = str(error)
            if restart:
                self.post_message(Logged((), 0, said))
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_RETRY)

    def on_logged(self, message: Logged) -> None:
        """Onto the screen with it."""
        log = self.query_one(LogView)
        if message.restart:
            log.clear(message.restart)
        if message.lines:
            log.add(message.lines, message.dropped)
        self._label_log()

    def _label_log(self) -> None:
        log = self.query_one(LogView)
        parts = [words.plural(len(log.lines), "line"), "following" if not log.back else f"{log.back} newer"]
        parts += [f"{log.dropped} dropped"] if log.dropped else []
        parts += [f"{log.matches} match {log.wanted}"] if log.wanted else []
        self.query_one("#log", Vertical).border_title = "log: " + " · ".join(parts)
        self._counts["log"] = str(len(log.lines))
        self.query_one(TabLine).repaint()

    def typed(self, text: str) -> None:
        """Search as one types."""
        self.query_one(LogView).search(text)
        self._label_log()

    def action_find(self, way: int) -> None:
        """The next match."""
        self.query_one(LogView).find(way)
        self._label_log()

    def action_page_log(self, way: int) -> None:
        """A page of the log."""
        log = self.query_one(LogView)
        log.scroll_lines(way * max(log.size.height - 1, 1))
        self._label_log()

    def action_follow(self) -> None:
        """The newest line, as they come."""
        self.query_one(LogView).follow()
        self._label_log()

    # Tabs.

    def _labels(self) -> list[tuple[str, str]]:
        return [(name, f"{name} {self._counts[name]}" if name in self._counts else name) for name in TABS]

    def choose(self, name: str) -> None:
        """A tab in front."""
        tabs = self.query_one(TabLine)
        tabs.active = name
        for each in TABS:
            self.set_class(each == name, f"-{each}")
        tabs.repaint()
        if name == "ways" and not self._planned:
            self._planned = True
            self._plan()

    def on_tab_line_chosen(self, message: TabLine.Chosen) -> None:
        """Clicked."""
        self.choose(message.name)

    def action_tab(self, way: int) -> None:
        """The next one."""
        self.query_one(TabLine).step(way)

    def action_show(self, name: str) -> None:
        """This one."""
        self.choose(name)

    def _plan(self) -> None:
        """How it could move, to each other cluster. Probes both ends, so only when it is looked at."""
        sheet = self.query_one(WaysSheet)
        here = self.key.partition("/")[0]
        sheet.wait([name for name in sorted(self.world.clusters) if name != here])
        self.run_worker(self._plan_each(list(sheet.plans)), group="ways", exclusive=True)

    async def _plan_each(self, targets: list[str]) -> None:
        for target in targets:
            try:
                answer = Answered("way", (target, await self.console.feed.plan(MigrationRequest(self.key, target))))
            except TROUBLE as error:
                answer = Answered("way", (target, None), str(error))
            self.post_message(answer)

    def heard_way(self, message: Answered) -> None:
        """The plan for one cluster."""
        target, plan = message.value
        self.query_one(WaysSheet).take(target, plan, message.error)

    # Actions.

    def action_scroll(self, lines: int) -> None:
        """What is in front, a line at a time."""
        active = self.query_one(TabLine).active
        if active == "log":
            self.query_one(LogView).scroll_lines(lines)
            self._label_log()
        elif active == "ways":
            self.query_one("#ways", VerticalScroll).scroll_relative(y=lines, animate=False)
        else:
            self.query_one(f"#{active}", Table).step(lines)

    def action_shell(self) -> None:
        """A shell in the service, on this terminal."""
        self.ask("shell", lambda: self.console.feed.shell(self.key))

    def heard_shell(self, message: Answered) -> None:
        """Step aside for it."""
        if message.value is None:
            self.app.post_message(Told(message.error, "No shell", "error"))
            return
        try:
            with self.app.suspend():
                _interact(message.value.argv, self.key)
        except SuspendNotSupported:
            self.app.post_message(Told("This terminal cannot be lent out.", "No shell", "warning"))

    def action_move(self) -> None:
        """Pick it up on the board."""
        self.dismiss(True)

    def action_copy(self) -> None:
        """Its name, as commands take it."""
        self.app.copy_to_clipboard(self.key)
        self.app.post_message(Told(self.key, "Copied"))

    def leave(self) -> None:
        """Back to the board."""
        self.dismiss(False)


def _interact(argv: tuple[str, ...], key: str) -> None:
    """Run it on the terminal; what went wrong stays to be read."""
    print(f"umsui: a shell in {key}; exit returns to the console", flush=True)
    begun = time.monotonic()
    status = subprocess.call(argv)  # the words come from the coordinator, and no shell of ours sees them
    # Later it is the status of the last command that was typed, and no news.
    if status and time.monotonic() - begun < SOON:
        print(f"umsui: it ended at once, with {status}. Enter returns to the console", flush=True)
        sys.stdin.readline()
