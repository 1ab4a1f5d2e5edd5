"""A plan on paper: approaches with verdicts, preflight, prediction, bytes."""

from __future__ import annotations

from dataclasses import replace

from umsui.console import words
from umsui.console.text import Line, column, wrap
from umsui.console.widgets.canvas import Sheet
from umsui.model import Approach, Finding, Plan, Service, Strategy, Verdict

LABEL = 10
TALL = 30
"""Rows of a terminal from which on a plan has room for what nobody has asked for."""
_TURN = "⣾⣽⣻⢿⡿⣟⣯⣷"
_KINDS = ("memory", "rootfs", "volumes", "image")


class PlanSheet(Sheet):
    """The plan, or that it is being made."""

    def __init__(self, service: Service, to: str) -> None:
        super().__init__()
        self.service, self.to = service, to
        self.plan: Plan | None = None
        self.waiting = False
        self.chosen: tuple[Approach, Strategy] | None = None  # what is asked for, while the answer is waited for
        self.turn = 0
        self.all_checks = False

    @property
    def sign(self) -> str:
        """That something is under way."""
        return _TURN[self.turn % len(_TURN)]

    def show(self, plan: Plan | None) -> None:
        """Another plan."""
        self.plan = plan
        self.repaint()

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """Sections with their labels in a column of their own."""
        if self.plan is None:
            if not self.waiting:
                return [[("no plan could be made", "dim")]]
            probing = f"probing {self.service.cluster}, {self.to} and the way between …"
            return [[(f"{self.sign} ", "accent"), (probing, "text")]]
        plan = self.plan
        lines = [*self._ways(plan, width), []]
        lines += [*_preflight(plan, width, every=self.all_checks), []]
        if plan.downtime or plan.total:
            lines += [*_prediction(plan, width), []]
        lines += _rest(plan, width)
        return lines

    def _ways(self, plan: Plan, width: int) -> list[Line]:
        lines: list[Line] = []
        if self.waiting and self.chosen:  # the mark goes where the keys lead, before the answer is there
            plan = replace(plan, approach=self.chosen[0], strategy=self.chosen[1])
        # Where it can go and room is scarce, how it could go too only pushes out of view what decides.
        fixes = self.all_checks or not plan.feasible or self.app.size.height >= TALL
        for verdict in plan.verdicts:
            lines += way(plan, verdict, width - LABEL, fixes=fixes)
        if not lines:
            lines = [[(words.approach(plan.approach), "name"), (f"  {words.strategy(plan.strategy)}", "text")]]
        elif plan.reason and plan.approach is not None:
            lines += [[], *[[(piece, "dim")] for piece in wrap(f"Why: {plan.reason}", width - LABEL)]]
        return _labelled("approach", lines)


def way(plan: Plan, verdict: Verdict, width: int, *, fixes: bool = True) -> list[Line]:
    """One approach with one strategy, and why not where it is not feasible; ``fixes`` adds what would mend that."""
    taken = (verdict.approach, verdict.strategy) == (plan.approach, plan.strategy)
    sign = ("●", "accent") if taken else ("○", "dim") if verdict.feasible else ("✕", "bad")
    ink = "name" if taken else "text" if verdict.feasible else "dim"
    line: Line = [(f"{sign[0]} ", sign[1]), column(words.approach(verdict.approach), 19, ink)]
    line.append(column(words.strategy(verdict.strategy), 10, ink))
    if not verdict.feasible:
        if len(verdict.reason) <= width - 34:
            line.append((verdict.reason, "text"))
            more: list[Line] = []
        else:
            more = [[("  ", ""), (piece, "text")] for piece in wrap(verdict.reason, width - 2)]
        fix = wrap(verdict.fix, width - 6) if verdict.fix and fixes else []
        return [line, *more, *[[("  fix " if i == 0 else "      ", "accent"), (p, "text")] for i, p in enumerate(fix)]]
    if verdict.downtime:
        line += [column(words.duration(verdict.downtime.mid), 8, ink, right=True), (" down  ", "dim")]
    if verdict.total:
        line += [column(words.duration(verdict.total.mid), 8, ink, right=True), (" in all", "dim")]
    return [line]


def _labelled(label: str, lines: list[Line]) -> list[Line]:
    return [[column(label if index == 0 else "", LABEL, "dim"), *line] for index, line in enumerate(lines)]


def _preflight(plan: Plan, width: int, *, every: bool) -> list[Line]:
    """Counts, then everything that is not plainly good; what blocks comes first; ``every`` adds what is good."""
    passed = sum(1 for finding in plan.findings if finding.ok)
    blocking = [finding for finding in plan.findings if not finding.ok and finding.blocking]
    warnings = [finding for finding in plan.findings if not finding.ok and not finding.blocking]
    head: Line = [(f"✓ {words.plural(passed, 'check')} passed", "ok")]
    if warnings:
        head.append((f"   ⚠ {words.plural(len(warnings), 'warning')}", "warn"))
    if blocking:
        head.append((f"   ✕ {len(blocking)} blocking", "bad"))
    lines = [head]
    for each in (*blocking, *warnings):
        lines += finding(each, width - LABEL)
    for each in (finding for finding in plan.findings if finding.ok and every):
        where = f"{each.where}: " if each.where else ""
        pieces = wrap(where + each.what, width - LABEL - 2)
        lines += [[("✓ " if index == 0 else "  ", "ok"), (piece, "dim")] for index, piece in enumerate(pieces)]
    return _labelled("preflight", lines)


def finding(one: Finding, width: int, *, named: bool = True) -> list[Line]:
    """What is wrong, why it matters, and what mends it; ``named`` tells where, too."""
    sign, ink = ("✕", "bad") if one.blocking else ("⚠", "warn")
    where = f"{one.where}: " if one.where and named else ""
    what = wrap(where + one.what, width - 2)
    lines: list[Line] = [[(f"{sign if i == 0 else ' '} ", ink), (piece, "name")] for i, piece in enumerate(what)]
    lines += [[("  ", ""), (piece, "dim")] for piece in wrap(one.why, width - 2) if piece]
    for index, piece in enumerate(wrap(one.fix, width - 6) if one.fix else []):
        lines.append([("  fix " if index == 0 else "      ", "accent"), (piece, "text")])
    return lines


def _prediction(plan: Plan, width: int) -> list[Line]:
    lines: list[Line] = []
    for label, estimate in (("downtime", plan.downtime), ("total", plan.total)):
        if estimate is None:
            continue
        line: Line = [column(label, 10, "dim"), (words.duration(estimate.mid), "name")]
        line.append((f"   between {words.duration(estimate.low)} and {words.duration(estimate.high)}", "dim"))
        lines.append(line)
    if plan.strategy in (Strategy.POST_COPY, Strategy.HYBRID) and plan.approach is not Approach.SERVICE:
        text = f"Until the last page has arrived, losing {words.place(plan.source)} would lose the service."
        pieces = wrap(text, width - LABEL - 2)
        lines += [[("⚠ " if i == 0 else "  ", "warn"), (piece, "text")] for i, piece in enumerate(pieces)]
    return _labelled("predicted", lines)


def _rest(plan: Plan, width: int) -> list[Line]:
    parts = [f"{kind} {words.size(plan.bytes[kind])}" for kind in _KINDS if plan.bytes.get(kind)]
    parts.append(words.processes(plan.processes))
    lines = _labelled("to move", [[(piece, "text")] for piece in wrap(" · ".join(parts), width - LABEL)])
    way = f"{words.place(plan.source)} → {words.place(plan.destination)}"
    if plan.endpoint:
        way += f"   reached then at {plan.endpoint}"
    return [*lines, *_labelled("way", [[(piece, "text")] for piece in wrap(way, width - LABEL)])]


class Trouble(Sheet):
    """Why something was not done, and what mends it."""

    def __init__(self, *, classes: str) -> None:
        super().__init__(classes=classes)
        self.text = ""
        self.fix = ""

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """The error, then the fix."""
        lines: list[Line] = [
            [("✕ " if i == 0 else "  ", "bad"), (piece, "bad")] for i, piece in enumerate(wrap(self.text, width - 2))
        ]
        fix = wrap(self.fix, width - 6) if self.fix else []
        return lines + [[("  fix " if i == 0 else "      ", "accent"), (piece, "text")] for i, piece in enumerate(fix)]


class WaysSheet(Sheet):
    """How a service could move to each other cluster: every approach's verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: dict[str, Plan | str | None] = {}  # a plan, or why there is none; None while it is made

    def wait(self, targets: list[str]) -> None:
        """They are being planned."""
        self.plans = dict.fromkeys(targets)
        self.repaint()

    def take(self, target: str, plan: Plan | None, error: str) -> None:
        """One is there."""
        self.plans[target] = plan if plan is not None else error
        self.repaint()

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """A cluster, its verdicts, what blocks."""
        if not self.plans:
            return [[(" there is no other cluster to move to", "dim")]]
        lines: list[Line] = []
        for target, plan in self.plans.items():
            lines += [[]] if lines else []
            lines.append([(f" {target} ", "name"), *_verdict_of(plan)])
            if isinstance(plan, Plan):
                lines += [[("  ", ""), *line] for verdict in plan.verdicts for line in way(plan, verdict, width - 3)]
                blocking = [finding for finding in plan.findings if finding.blocking and not finding.ok]
                lines += [[("  ", ""), *line] for each in blocking for line in finding(each, width - 3)]
        return lines


def _verdict_of(plan: Plan | str | None) -> Line:
    if plan is None:
        return [("planning …", "dim")]
    if isinstance(plan, str):
        return [(f"✕ {plan}", "bad")]
    return [("✓ can move there", "ok")] if plan.feasible else [("✕ cannot move there", "bad")]
