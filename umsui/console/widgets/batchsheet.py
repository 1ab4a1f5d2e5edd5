"""The moves of a batch, a line each; only what is in view is painted."""

from __future__ import annotations

from umsui.console import words
from umsui.console.batch import Batch, Move, Turn
from umsui.console.text import Line, bar, column, crop, fit, length
from umsui.console.widgets.canvas import Canvas, Sheet
from umsui.model import Estimate

SIGNS = {
    Turn.PLANNING: ("◌", "dim"), Turn.READY: ("○", "text"), Turn.CANNOT: ("✕", "bad"), Turn.WAITING: ("·", "dim"),
    Turn.STARTING: ("◔", "accent"), Turn.RUNNING: ("⇄", "accent"), Turn.DONE: ("✓", "ok"), Turn.FAILED: ("↺", "bad"),
    Turn.LEFT: ("■", "warn"),
}  # fmt: skip


class BatchSheet(Canvas):
    """Scrolls by lines."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(classes="moves")
        self.many = batch
        self.top = 0

    def paint(self, width: int, height: int) -> list[Line]:
        """A heading, then moves."""
        heading: Line = [("  ", ""), column("service", _name(width), "dim"), column("state", 12, "dim"),
                         column("how", 12, "dim"), column("down", 9, "dim", right=True),
                         column("in all", 9, "dim", right=True)]  # fmt: skip
        self.top = min(self.top, max(len(self.many.moves) - height + 1, 0))
        shown = self.many.moves[self.top : self.top + height - 1]
        return [crop(heading, width), *[_row(move, width) for move in shown]]

    def scroll_lines(self, lines: int) -> None:
        """Positive is down."""
        self.top = max(self.top + lines, 0)
        self.repaint()

    def on_mouse_scroll_down(self) -> None:
        """On."""
        self.scroll_lines(3)

    def on_mouse_scroll_up(self) -> None:
        """Back."""
        self.scroll_lines(-3)


def _name(width: int) -> int:
    return min(max(width - 2 - 12 - 12 - 18 - 2, 10), 36)


def _row(move: Move, width: int) -> Line:
    sign, ink = SIGNS[move.turn]
    line: Line = [(f"{sign} ", ink), column(move.service.name, _name(width) - 1, "name"), (" ", "")]
    line.append(column(move.turn.value, 12, ink))
    if move.why:
        return [*line, (fit(move.why, width - length(line)), "text")]
    plan = move.plan
    line.append(column(words.strategy(plan.strategy) if plan else "", 12, "dim"))
    over = move.turn is Turn.DONE
    for measured, said in ((move.downtime, plan and plan.downtime), (move.total, plan and plan.total)):
        value = words.duration(measured) if over else f"≈ {words.duration(said.mid)}" if said else ""
        line.append(column(value, 9, "text" if over else "dim", right=True))
    return line


class BatchFoot(Sheet):
    """What it comes to, and how far it is."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.many = batch

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Some lines."""
        batch = self.many
        if not batch.planned:
            asked = len(batch.moves) - batch.count(Turn.PLANNING)
            return [[("planning  ", "accent"), (f"{asked} of {len(batch.moves)}", "text")]]
        if not batch.started:
            return self._offer(width)
        over = batch.count(Turn.DONE, Turn.FAILED, Turn.LEFT)
        whole = max(len(batch.moves) - batch.count(Turn.CANNOT), 1)
        lines: list[Line] = [[*bar(over / whole, min(30, width // 3)), (f"  {batch.summary()}", "text")]]
        if batch.why:
            lines.append([(fit(f"No further one is begun: {batch.why}.", width), "warn")])
        elif batch.active:
            lines.append([(fit("What waits, waits in this console: if it closes, the rest stays.", width), "dim")])
        return lines

    def _offer(self, width: int) -> list[Line]:
        batch = self.many
        ready = [move.plan for move in batch.moves if move.turn is Turn.READY and move.plan]
        stay = batch.count(Turn.CANNOT)
        line: Line = [(f"{words.plural(len(ready), 'service')} can move", "name" if ready else "bad")]
        if stay:
            line.append((f"   ✕ {stay} cannot", "bad"))
        lines = [line]
        if ready:
            down = Estimate(min(_low(p.downtime) for p in ready), 0, max(_high(p.downtime) for p in ready))
            total = sum(p.total.mid for p in ready if p.total) / min(batch.parallel, len(ready))
            moved = words.size(sum(sum(p.bytes.values()) for p in ready))
            text = (
                f"each is down {words.span(down)}; ≈ {words.coarse(total)} in all, {batch.parallel} at a time; {moved}"
            )
            lines.append([(fit(text, width), "text")])
        return lines


def _low(estimate: Estimate | None) -> float:
    return estimate.low if estimate else 0.0


def _high(estimate: Estimate | None) -> float:
    return estimate.high if estimate else 0.0
