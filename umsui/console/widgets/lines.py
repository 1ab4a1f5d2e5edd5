"""One-line widgets: the top line with its counts, tabs of providers, the running migration, and the keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from textual import events
from textual.message import Message

from umsui.console import words
from umsui.console.batch import Batch
from umsui.console.keymap import Action
from umsui.console.text import Line, bar, column, crop, length, spread
from umsui.console.widgets.canvas import Canvas
from umsui.console.world import LinkState, World
from umsui.model import Migration, Service

if TYPE_CHECKING:
    from umsui.console.app import Console


class TopLine(Canvas):
    """What there is in all, what moves, what is wrong, and whether the coordinator answers."""

    def __init__(self, world: World, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        super().__init__(classes="topline")
        self.world, self.wall, self.steady = world, wall, steady
        self.filter = ""

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line; what matters least goes first where there is no room."""
        right = self._right()
        counts = self._counts()
        alarms = self._alarms()
        for left in ([*counts, *alarms], alarms, []):
            whole: Line = [(" umsui ", "title accent"), *left]
            if length(whole) + length(right) < width:
                break
        return [spread(whole, right, width)]

    def _counts(self) -> Line:
        clusters = self.world.clusters.values()
        if not clusters:
            return []
        parts = (
            words.plural(len({c.provider for c in clusters}), "cloud"),
            words.plural(len(clusters), "cluster"),
            words.plural(sum(len(c.nodes) for c in clusters), "node"),
            words.plural(self.world.count(), "service"),
        )
        return [("  " + " · ".join(parts), "dim")]

    def _alarms(self) -> Line:
        out: Line = [(f"   / {self.filter}", "accent")] if self.filter else []
        moving = len(self.world.running())
        if moving:
            out.append((f"   ⇄ {moving} moving", "accent"))
        troubled = self.world.troubled()
        if troubled:
            told = {words.cluster_state(cluster)[1] for cluster in troubled}
            what = told.pop() if len(told) == 1 else "in trouble"
            named = troubled[0].name if len(troubled) == 1 else words.plural(len(troubled), "cluster")
            out.append((f"   ⚠ {named} {what}", "warn"))
        return out

    def _right(self) -> Line:
        link = self.world.link
        clock = [("  " + time.strftime("%H:%M:%S", time.localtime(self.wall())) + " ", "dim")]
        if link.state is LinkState.LOST:
            wait = max(link.retry_at - self.steady(), 0)
            return [(f" ✕ coordinator lost: asking again in {wait:.0f} s ", "bad"), *clock]
        if link.state is LinkState.CONNECTING:
            return [("coordinator ", "dim"), ("◌ connecting", "dim"), *clock]
        latency = "" if link.latency is None else f" {_coarse(link.latency)}"
        return [("coordinator ", "dim"), (f"●{latency}", "ok"), *clock]


def _coarse(seconds: float) -> str:
    """A latency that does not flicker: 1, 2, 5, 10, 20, 50 … ms."""
    for limit in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if seconds * 1000 <= limit:
            return f"≤ {limit} ms"
    return words.duration(seconds)


class ProviderTabs(Canvas):
    """The clouds as tabs, where there is no room for all of them side by side."""

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, provider: str) -> None:
            super().__init__()
            self.provider = provider

    def __init__(self, world: World) -> None:
        super().__init__(classes="tabs")
        self.world = world
        self.active = ""
        self._spans: list[tuple[int, int, str]] = []

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line of tabs with counts."""
        line: Line = []
        self._spans = []
        for name, clusters in self.world.by_provider().items():
            count = sum(len(c.services) for c in clusters)
            text = f" {words.provider(name)} {count} "
            self._spans.append((length(line), len(text), name))
            line += [(text, "title selected" if name == self.active else "dim"), (" ", "")]
        return [line]

    def at(self, x: int) -> str | None:
        """The provider whose tab is at a column."""
        return next((name for start, width, name in self._spans if start <= x < start + width), None)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A tab was pressed."""
        name = self.at(event.x)
        if name:
            self.post_message(self.Chosen(name))


class StatusLine(Canvas):
    """The migration under way, or the one that ended last."""

    class Opened(Message):
        """It was clicked."""

    def __init__(self, world: World, wall: Callable[[], float], batch: Callable[[], Batch | None]) -> None:
        super().__init__(classes="status")
        self.world, self.wall, self.many = world, wall, batch
        self.chosen: Sequence[Service] = ()  # what is selected
        self.carried: tuple[str, str] | None = None  # what is in the hand, and how it gets out of it

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line."""
        if self.carried is not None:
            name, hint = self.carried
            return [crop([(" ⇄ ", "accent"), (name, "name"), (f"  in your hand: {hint}", "dim")], width)]
        if self.world.link.state is LinkState.LOST:
            key = next(a.key for a in cast("Console", self.app).keys.of("board") if a.name == "refresh_now")
            start = f"; {key} starts it" if key else ""
            return [crop([(f" ✕ what you see is as it was before the coordinator was lost{start}", "bad")], width)]
        if self.chosen:
            return [self._selection(width)]
        batch = self.many()
        if batch is not None and batch.active:
            return [crop([(" ⇄ ", "accent"), (batch.title, "name"), (f"  {batch.summary()}", "text")], width)]
        running = self.world.running()
        if running:
            return [self._under_way(running[-1], len(running) - 1, width)]
        latest = self.world.latest()
        return [self._over(latest, width) if latest else [(" nothing is moving: drag a card, or press m", "dim")]]

    def _selection(self, width: int) -> Line:
        stuck = sum(bool(service.obstacle) for service in self.chosen)
        line: Line = [(f" ■ {len(self.chosen)} selected", "accent")]
        line.append((f"  {words.size(sum(service.memory for service in self.chosen))}", "text"))
        if stuck:
            line.append((f"  ✕ {stuck} cannot move", "bad"))
        return crop([*line, ("   m moves them, Esc lets go of them", "dim")], width)

    def _under_way(self, migration: Migration, others: int, width: int) -> Line:
        record = self.world.records.get(migration.id)
        fraction = record.fraction if record else None
        tail: Line = [(f"  {words.step(migration.step)}", "text")]
        if record and record.rate and fraction is not None and fraction < 1:
            tail.append((f"  {words.rate(record.rate)}", "text"))
        if record and record.downtime is not None:
            tail.append((f"  downtime {words.duration(record.downtime)}", "text"))
        elif record and record.down:
            tail.append((f"  down {words.duration(record.down)}", "warn"))
        if fraction is not None and fraction < 1 and record and record.left is not None:
            tail.append((f"  left {words.coarse(record.left)}", "dim"))
        if others:
            tail.append((f"  +{others} more", "accent"))
        head = _route(migration, width)
        percent: Line = [] if fraction is None else [(f" {fraction * 100:3.0f} %", "accent")]
        room = min(max(width - length(head) - length(tail) - 13, 0), 24)
        middle: Line = [("  ", ""), *bar(fraction or 0.0, room)] if room >= 6 else []
        return crop([(" ⇄ ", "accent"), *head, *middle, *percent, *tail], width)

    def _over(self, migration: Migration, width: int) -> Line:
        glyph, word, ink = words.outcome(migration.outcome)
        head: Line = [(f" {glyph} ", ink), *_route(migration, width), (f"  {word}", ink)]
        if migration.error is not None:
            head.append((f": {migration.error.message}", "text"))
        elif migration.downtime is not None:
            total = words.duration(migration.overhead.total)
            head.append((f"  {words.duration(migration.downtime)} down, {total} in all", "text"))
        return crop(head, width)

    def on_click(self) -> None:
        """Open it."""
        self.post_message(self.Opened())


def _route(migration: Migration, width: int) -> Line:
    source, target = migration.source, migration.destination
    text = f"{source.cluster} → {target.cluster}"
    line: Line = [(words.name_of(migration.service), "name"), (f"  {text}", "dim")]
    return [*line, (f"  {words.how(migration)}", "dim")] if width >= 100 else line


PINNED = ("close", "help")
"""Actions that the key line shows before any other: the way back, and where all keys are."""
GAP = 3


class KeyLine(Canvas):
    """The keys of the scope one is in, from the registry; each can be clicked."""

    def __init__(self, scope: str) -> None:
        super().__init__(classes="keys")
        self.scope = scope
        self.disabled_names: frozenset[str] = frozenset()
        self.busy = ""  # what is under way, before the keys
        self._spans: list[tuple[int, int, str]] = []

    def show(self, scope: str) -> None:
        """Another scope's keys."""
        self.scope = scope
        self.repaint()

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """As many as fit."""
        line: Line = [(" ", ""), *([(self.busy, "accent"), (" " * GAP, "")] if self.busy else [])]
        self._spans = []
        for action in self._fitting(width - length(line) + GAP):
            self._spans.append((length(line), _size(action), action.call))
            line += [(action.key, "key"), (f" {action.short}", "dim"), (" " * GAP, "")]
        return [line[:-1] if self._spans else line]

    def _fitting(self, room: int) -> list[Action]:
        """Those that have room, in their order."""
        shown = cast("Console", self.app).keys.footer(self.scope)
        actions = [action for action in shown if action.name not in self.disabled_names]
        room -= sum(_size(action) + GAP for action in actions if action.name in PINNED)
        fitting: list[Action] = []
        for action in actions:
            if action.name not in PINNED:
                room -= _size(action) + GAP
                if room < 0:
                    continue  # and no shorter one after it: they stand in the order of their use
            fitting.append(action)
        return fitting

    async def on_click(self, event: events.Click) -> None:
        """Do what the key would."""
        event.stop()
        for start, size, name in self._spans:
            if start <= event.x < start + size:
                await self.screen.run_action(name)
                return


def _size(action: Action) -> int:
    return len(action.key) + 1 + len(action.short)


class MoveTitle(Canvas):
    """The migration screen's title: what, from where to where, how, and how it stands."""

    def __init__(self) -> None:
        super().__init__(classes="topline")
        self.migration: Migration | None = None
        self.elapsed = 0.0
        self.cancelling = False

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """One line."""
        migration = self.migration
        if migration is None:
            return [[(" asking the coordinator …", "dim")]]
        glyph, word, ink = words.outcome(migration.outcome)
        if self.cancelling and migration.outcome is None:
            glyph, word, ink = "■", "cancelling", "warn"
        right: Line = [
            (f" {glyph} {word} ", ink),
            column(words.duration(self.elapsed), 9, "text", right=True),
            (" ", ""),
        ]
        left: Line = [(f" {words.name_of(migration.service)}", "title accent")]
        full = width >= 110
        source = words.place(migration.source) if full else migration.source.cluster
        target = words.place(migration.destination) if full else migration.destination.cluster
        left.append((f"  {source} → {target}", "text"))
        how = words.how(migration)
        if width >= 100 and how != words.NOTHING:
            how = f"{words.approach(migration.approach)} · {how}"
        left.append((f"   {how}", "dim"))
        return [spread(left, right, width)]
