"""The migration screen's other panels: the steps, the overhead's stacked bar beside its prediction, the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events

from umsui.console import words
from umsui.console.record import Record, StepRun
from umsui.console.text import Line, column, crop, fit, length, spread, wrap
from umsui.console.widgets.canvas import Canvas
from umsui.model import PHASE_OF, Approach, Estimate, Migration, Outcome, Overhead, Phase, Step, Strategy

_STEP = {
    "pending": ("·", "faint"),
    "started": ("◐", "accent"),
    "done": ("✓", "ok"),
    "failed": ("✕", "bad"),
    "stopped": ("■", "faint"),
    "skipped": ("»", "faint"),
}
LAZY = (Strategy.POST_COPY, Strategy.HYBRID)
"""Strategies that leave memory behind at the source for a while."""
SHARES = ("creation", "checkpoint", "transfer", "restoration")
FILLS = {"creation": "█", "checkpoint": "▓", "transfer": "▒", "restoration": "░"}
"""Each share has its fill, so that the bar can be read without colour."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the panels paint: the record, the migration, and what time it is in it."""

    record: Record
    migration: Migration | None
    now: float

    @property
    def overhead(self) -> Overhead:
        """The coordinator's sums when it is over, the steps' until then."""
        told = self.migration.overhead if self.migration is not None and self.over else Overhead()
        return told if any(getattr(told, share) for share in SHARES) else self.record.overhead(self.now)

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.migration is not None and self.migration.outcome is not None

    def predicted(self, what: str) -> Estimate | None:
        """The plan's interval."""
        values = (self.migration.predicted if self.migration else {}).get(what)
        return Estimate(*values[:3]) if values and len(values) >= 3 else None

    @property
    def downtime(self) -> float | None:
        """As measured."""
        if self.record.downtime is not None:
            return self.record.downtime
        return self.migration.downtime if self.migration else None


class StepsPanel(Canvas):
    """Phases and steps as they happen, with how long each took; the client's wait is a bracket over its steps."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        super().__init__(classes="steps")
        self._moment = moment

    def paint(self, width: int, height: int) -> list[Line]:
        """A heading a phase, a line a step."""
        moment = self._moment()
        lines: list[Line] = []
        rows: dict[str, int] = {}
        roomy = height >= len(Step) + 2 * len(Phase) + 2
        for phase in Phase:
            if roomy and lines:
                lines.append([])
            lines.append([(f" {phase.value}", "dim")])
            for step in Step:
                if PHASE_OF[step] is phase:
                    rows[step] = len(lines)
                    lines.append(_step(step, moment, width))
        self._bracket(lines, rows, moment, width)
        if roomy:
            facts = _facts(moment, width)
            lines += facts[: max(height - len(lines), 0)]
        if len(lines) > height:
            running = [rows[s] for s in rows if moment.record.step(s).state == "started"]
            first = min(max((running[-1] if running else 0) - height + 3, 0), len(lines) - height)
            if moment.record.result is not None:
                first = len(lines) - height
            lines = lines[first:]
        return lines

    def _bracket(self, lines: list[Line], rows: dict[str, int], moment: Moment, width: int) -> None:
        """Beside the steps during which a client waited: ``118 ms down``."""
        if moment.record.frozen_at is None:
            return
        waiting = moment.record.down if moment.downtime is None else moment.downtime
        first, last = rows[Step.FREEZE], rows[Step.FIRST_REPLY]
        label = words.duration(waiting) if waiting else ""
        middle = (first + last) // 2
        for y in range(first, last + 1):
            edge = "╮" if y == first else "╯" if y == last else "│"
            text = "down" if y == middle - 1 else label if y == middle else ""
            ink = "label" if text else "outage"
            body = crop(lines[y], width - 9)
            gap = width - 9 - length(body)
            lines[y] = [*body, (" " * gap, ""), (edge, "outage"), column(text, 8, ink)]


def _facts(moment: Moment, width: int) -> list[Line]:
    """Why it is done this way, what is at risk, where the service is reached."""
    migration = moment.migration
    if migration is None:
        return []
    lines: list[Line] = []
    over = migration.outcome is not None
    if exposed(migration):
        place = words.place(migration.source)
        text = f"losing {place} now would lose the service: this is the post-copy window, its last page is still there"
        lines += [
            [],
            *[[(" ⚠ " if i == 0 else "   ", "warn"), (p, "text")] for i, p in enumerate(wrap(text, width - 4))],
        ]
    if migration.outcome in (Outcome.ROLLED_BACK, Outcome.CANCELLED, Outcome.REFUSED):
        lines += [[], [(" ✓ ", "ok"), ("it runs where it was:", "text")]]
        lines.append([("   ", ""), (words.place(migration.source), "name")])
    elif migration.outcome is Outcome.UNKNOWN:
        pieces = wrap("where it runs is not known: look at both ends with umsui services", width - 4)
        lines += [[], *[[(" ? " if i == 0 else "   ", "bad"), (piece, "text")] for i, piece in enumerate(pieces)]]
    if migration.endpoint and migration.outcome in (None, Outcome.COMMITTED):
        lines += [[], [(" reached at" if over else " to be reached at", "dim")], [(f" {migration.endpoint}", "name")]]
    if over and migration.bytes.wire:
        sent = f" {words.size(migration.bytes.wire)} over the wire"
        lines += [[], [(sent, "dim")]]
    if migration.reason:
        lines += [[], *[[(" ", ""), (piece, "dim")] for piece in wrap(migration.reason, width - 2)]]
    return lines


def exposed(migration: Migration) -> bool:
    """Whether losing the source now would lose the service (post-copy past its commit)."""
    lazy = migration.strategy in LAZY
    late = migration.step in (Step.COMMIT, Step.FIRST_REPLY, Step.DRAIN)
    return lazy and late and migration.outcome is None and migration.approach is not Approach.SERVICE


def _step(step: Step, moment: Moment, width: int) -> Line:
    run: StepRun = moment.record.step(step)
    state = run.state
    if state == "started" and moment.over:
        failure = moment.migration.error if moment.migration else None
        state = "failed" if failure is not None and failure.step == step else "stopped"
    glyph, ink = _STEP.get(state, ("·", "faint"))
    seconds = run.seconds
    if state == "started":
        seconds = max(moment.now - run.began, 0.0)
    name_ink = {"pending": "faint", "skipped": "faint", "failed": "bad", "stopped": "faint"}.get(state, "text")
    took = words.duration(seconds) if seconds is not None else "skipped" if state == "skipped" else ""
    head: Line = [(f" {glyph} ", ink), column(words.step(step), 13, name_ink), column(took, 8, name_ink, right=True)]
    room = width - 24
    # Beside these stands the bracket.
    noted = bool(run.note) and room > 6 and step not in words.DOWN_STEPS
    return [*head, (" " + fit(run.note, room - 1), "dim")] if noted else head


class OverheadPanel(Canvas):
    """What the whole move costs, as it is being spent, and what was said beforehand."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        super().__init__(classes="overhead")
        self._moment = moment

    def paint(self, width: int, height: int) -> list[Line]:
        """A stacked bar, its legend, prediction beside measurement."""
        moment = self._moment()
        cost = moment.overhead
        shares = [(name, float(getattr(cost, name))) for name in SHARES]
        predicted = moment.predicted("total")
        spent = sum(value for _, value in shares)
        over = moment.over
        whole = max(spent, 1e-9) if over or predicted is None else max(spent, predicted.mid)
        legend = _legend(shares, width)
        compare = self._compare(moment, cost, width, over)
        bar = stack(shares, whole, width - 2)
        lines = [[(" ", ""), *bar], *legend]
        wait = self._wait(moment, width)
        spare = height - len(lines) - len(compare) - len(wait)
        if spare > 0 and height > 7:
            lines.append([])
        return [*lines, *compare, *(wait if spare >= 0 else [])]

    def _wait(self, moment: Moment, width: int) -> list[Line]:
        """The client's wait so far on a scale with what was predicted and what is allowed."""
        predicted, budget = moment.predicted("downtime"), moment.migration.budget if moment.migration else None
        measured = moment.downtime or moment.record.down or 0.0
        whole = max(predicted.high if predicted else 0.0, budget or 0.0, measured) * 1.1
        said = f" of {words.duration(budget)} allowed" if budget is not None else ""
        room = width - 2 - len(said)
        if not whole or room < 12:
            return []
        cells = [("─", "track")] * room
        if predicted is not None:
            for at in range(_cell(predicted.low, whole, room), _cell(predicted.high, whole, room) + 1):
                cells[at] = ("═", "dim")
        for at in range(round(measured / whole * room)):
            cells[at] = ("━", "outage")
        if budget is not None:
            cells[_cell(budget, whole, room)] = ("┃", "warn")
        return [[(" ", ""), *cells, (said, "dim")]]

    def _compare(self, moment: Moment, cost: Overhead, width: int, over: bool) -> list[Line]:
        rows = []
        values = (
            ("downtime", moment.downtime or moment.record.down),
            ("total", cost.total if cost.total else moment.now),
        )
        for what, measured in values:
            predicted = moment.predicted(what)
            committed = over and moment.migration is not None and moment.migration.outcome is Outcome.COMMITTED
            settled = committed or (what == "downtime" and moment.downtime is not None)
            rows.append(_comparison(what, predicted, measured, settled, width))
        return rows


def _cell(value: float, whole: float, room: int) -> int:
    return min(round(value / whole * room), room - 1)


def stack(shares: list[tuple[str, float]], whole: float, width: int) -> Line:
    """Shares as runs of cells, the rest as a track."""
    line: Line = []
    spent, cells = 0.0, 0
    for name, value in shares:
        spent += value
        upto = min(round(spent / whole * width), width)
        # A share that has begun is seen, however small.
        if value > 0 and upto == cells and cells < width:
            upto += 1
        line.append((FILLS[name] * (upto - cells), name))
        cells = max(upto, cells)
    return [*line, ("─" * (width - cells), "track")]


def _legend(shares: list[tuple[str, float]], width: int) -> list[Line]:
    """Beside each other where they fit, else below each other."""
    pairs = width >= 52
    pitch = (width - 2) // 2 if pairs else min(width - 2, 32)
    entries: list[Line] = []
    for name, value in shares:
        label, took = f" {name}", words.duration(value) if value else words.NOTHING
        entries.append([(FILLS[name] * 2, name), column(label, pitch - 12, "dim"), column(took, 8, "text", right=True)])
    if not pairs:
        return [[(" ", ""), *entry] for entry in entries]
    return [[(" ", ""), *a, ("  ", ""), *b] for a, b in zip(entries[::2], entries[1::2], strict=True)]


def _comparison(what: str, predicted: Estimate | None, measured: float | None, settled: bool, width: int) -> Line:
    """``downtime  118 ms  ✓ within`` what was said."""
    line: Line = [
        (" ", ""),
        column(what, 9, "dim"),
        column(words.duration(measured), 8, "name", right=True),
        ("  ", ""),
    ]
    if predicted is None:
        return line
    said = words.span(predicted)
    if not settled or measured is None:
        return crop([*line, (f"said {said}", "dim")], width)
    if measured > predicted.high:
        return crop([*line, ("▲ above ", "warn"), (said, "dim")], width)
    if measured < predicted.low:
        return crop([*line, ("▼ below ", "ok"), (said, "dim")], width)
    return crop([*line, ("✓ within ", "ok"), (said, "dim")], width)


class LogPanel(Canvas):
    """The last lines of the log; follows unless one has scrolled up."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        super().__init__(classes="log")
        self._moment = moment
        self.back = 0

    def paint(self, width: int, height: int) -> list[Line]:
        """Newest below."""
        moment = self._moment()
        lines: list[Line] = []
        failure = moment.migration.error if moment.migration else None
        tail = _failure(failure.message, failure.fix, width) if failure is not None else []
        room = max(height - len(tail), 0)
        log = moment.record.log
        self.back = min(self.back, max(len(log) - room, 0))
        end = len(log) - self.back
        for index in range(max(end - room, 0), end):
            entry = log[index]
            ink = {"warning": "warn", "error": "bad", "step": "dim"}.get(entry.level, "text")
            mark = {"warning": "⚠ ", "error": "✕ "}.get(entry.level, "")
            stamp = column(f"{entry.t:.2f}", 8, "faint", right=True)
            lines.append(crop([stamp, ("  ", ""), (mark + entry.message, ink)], width))
        if self.back and lines:
            lines[-1] = spread(lines[-1], [(f" ▾ {self.back} newer ", "accent")], width)
        return [*lines, *tail]

    def scroll_lines(self, count: int) -> None:
        """Positive is towards the newest."""
        self.back = max(self.back - count, 0)
        self.repaint()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Older."""
        event.stop()
        self.scroll_lines(-2)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Newer."""
        event.stop()
        self.scroll_lines(2)


def _failure(message: str, fix: str, width: int) -> list[Line]:
    lines: list[Line] = [[(" ✕ ", "bad"), (piece, "bad")] for piece in wrap(message, max(width - 4, 10))]
    for index, piece in enumerate(wrap(f"fix: {fix}", max(width - 4, 10)) if fix else []):
        lines.append([("   " if index or not fix else " → ", "accent"), (piece, "text")])
    return lines
