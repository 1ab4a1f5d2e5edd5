"""The plan of a move, shown on drop: what would be done and why, what stands against it, what it will cost."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input

from umsui import units
from umsui.console import keymap
from umsui.console.drag import reason
from umsui.console.ears import TROUBLE
from umsui.console.messages import Planned, Started, Told, Waking
from umsui.console.screens import waking
from umsui.console.screens.dialog import Dialog
from umsui.console.widgets.limits import Limits
from umsui.console.widgets.lines import KeyLine
from umsui.console.widgets.plansheet import PlanSheet, Trouble
from umsui.model import Migration, MigrationRequest, Plan, Service, StartFirst

if TYPE_CHECKING:
    from umsui.console.app import Console


class PlanScreen(Dialog[Migration | None]):
    """Enter starts, Escape leaves everything as it is."""

    SCOPE = "plan"
    CSS_PATH = "plan.tcss"
    BINDINGS = keymap.bindings("plan")
    AUTO_FOCUS = ""

    def __init__(
        self, request: MigrationRequest, service: Service, plan: Plan | None, protected: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.request = request
        self.service = service
        self.plan = plan
        self.protected = protected
        self._ticket = 0
        self._trouble = ("", "")  # what is said of the plan, with its fix
        self._starting = False

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Sheet, limits, the protected cluster's question, trouble, keys."""
        target = self.console.world.clusters.get(self.request.to)
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = f"Move {self.service.name}   {self.service.cluster} → {self.request.to}"
            with VerticalScroll(can_focus=False):
                yield PlanSheet(self.service, self.request.to)
            yield Limits(self.request, [node.name for node in target.nodes] if target else [])
            yield Input(classes="confirm", compact=True)
            yield Trouble(classes="trouble")
            yield KeyLine("plan")

    def on_mount(self) -> None:
        """The estimate from the drag is a whole plan; without one, ask."""
        if self.protected:
            box = self.query_one(".confirm", Input)
            box.placeholder = f"{self.protected[0]} is protected: type {self.service.name} to confirm"
            box.set_class(True, "-asked")  # at once: who knows what comes types ahead
            box.focus()
        if self.plan is None:
            self._ask()
        else:
            self._show_plan()
        self.set_interval(0.25, self._turn)

    def _turn(self) -> None:
        sheet = self.query_one(PlanSheet)
        if sheet.waiting:
            sheet.turn += 1
            sheet.repaint()
            self._enable()

    # Planning.

    def _ask(self) -> None:
        self._ticket += 1
        sheet = self.query_one(PlanSheet)
        sheet.waiting = True
        sheet.repaint()
        self._enable()
        self.run_worker(self._plan(self.request, self._ticket), group="plan", exclusive=True)

    async def _plan(self, request: MigrationRequest, ticket: int) -> None:
        try:
            plan = await self.console.feed.plan(request)
        except TROUBLE as error:
            answer = Planned(request.service, request.to, None, str(error), getattr(error, "fix", ""), ticket)
        else:
            answer = Planned(request.service, request.to, plan, ticket=ticket)
        self.post_message(answer)

    def on_planned(self, message: Planned) -> None:
        """The answer to the last question; older ones are out of date."""
        message.stop()
        if message.ticket != self._ticket:
            return
        sheet = self.query_one(PlanSheet)
        sheet.waiting = False
        if message.plan is None:
            self._trouble = message.error, message.fix
            self._say(*self._trouble)
            sheet.repaint()
            self._enable()
            return
        self.plan = message.plan
        self._show_plan()

    def _show_plan(self) -> None:
        sheet = self.query_one(PlanSheet)
        sheet.waiting = False
        sheet.show(self.plan)
        self._trouble = waking.offer(self.plan.start_first) if self.plan and self.plan.start_first else ("", "")
        self._say(*self._trouble)
        box = self.query_one(".confirm", Input)
        asked = bool(self.protected) and self.plan is not None and self.plan.feasible
        if box.has_focus and not asked:
            self.set_focus(None)
        elif asked and not box.has_class("-asked"):
            box.focus()
        box.set_class(asked, "-asked")
        if self.plan is not None and self.request.node is None:
            self.query_one(Limits).found(self.plan.destination.node)
        self._enable()

    def _enable(self) -> None:
        keys, sheet = self.query_one(KeyLine), self.query_one(PlanSheet)
        startable = self.plan is not None and (self.plan.feasible or self.plan.start_first is not None)
        disabled = set() if startable and not sheet.waiting else {"start"}
        if isinstance(self.focused, Input):
            disabled |= {"checks", "copy"}  # they are typed there
        editing = self.query_one(Limits).editing
        keys.busy = f"{sheet.sign} planning" if sheet.waiting and self.plan is not None else ""
        keys.disabled_names = frozenset() if editing else frozenset(disabled)
        keys.show("limits" if editing else "plan")

    def on_descendant_focus(self) -> None:
        """Other keys, other hints."""
        self._enable()

    def on_descendant_blur(self) -> None:
        """They are back."""
        self._enable()

    def _say(self, text: str, fix: str) -> None:
        trouble = self.query_one(Trouble)
        trouble.text, trouble.fix = text, fix
        trouble.set_class(bool(text), "-said")
        trouble.repaint()

    # Actions.

    def action_choose(self, way: int) -> None:
        """Plan it another feasible way: the one above or below."""
        if self.plan is None:
            return
        ways = [verdict for verdict in self.plan.verdicts if verdict.feasible]
        current = (self.request.approach or self.plan.approach, self.request.strategy or self.plan.strategy)
        at = next((i for i, v in enumerate(ways) if (v.approach, v.strategy) == current), -1)
        if not 0 <= at + way < len(ways) or at < 0:
            return
        chosen = ways[at + way]
        self.request = replace(self.request, approach=chosen.approach, strategy=chosen.strategy)
        self.query_one(PlanSheet).chosen = (chosen.approach, chosen.strategy)
        self._ask()

    def action_start(self) -> None:
        """Start it as planned, unless something blocks. While a limit is typed: take that first."""
        if self._starting:
            return
        if self.query_one(Limits).editing:
            self.query_one(Limits).submit()
            return
        if self.plan is None or self.query_one(PlanSheet).waiting:
            self._say("The plan is not there yet.", "")
            return
        if self.plan.start_first is not None:
            self._starting = True
            self.run_worker(self._wake(self.plan.start_first), group="wake")
            return
        if not self.plan.feasible:
            self._say(f"It cannot be started: {reason(self.plan)}", "what is marked ✕ has to be mended first")
            return
        confirm = self.query_one(".confirm", Input).value.strip()
        if self.protected and confirm != self.service.name:
            self._say(f"{self.protected[0]} is protected: type {self.service.name} and press Enter", "")
            return
        self._starting = True
        meant = replace(self.request, node=self.plan.destination.node)  # as shown, whatever changes meanwhile
        self.run_worker(self._migrate(meant, confirm), group="migrate")

    @on(Input.Submitted, ".confirm")
    def confirmed(self) -> None:
        """Enter in the protected cluster's question."""
        self.action_start()

    async def _wake(self, first: StartFirst) -> None:
        try:
            await waking.wake(self.console.feed, first, self._told)
        except TROUBLE as error:
            self.post_message(Waking(over=True, error=str(error), fix=getattr(error, "fix", "")))
        else:
            self.post_message(Waking(over=True))

    def _told(self, text: str) -> None:
        self.post_message(Waking(text))

    def on_waking(self, message: Waking) -> None:
        """How far the destination's start is; when it answers, the move is planned again."""
        message.stop()
        if not message.over:
            self._say(message.text, "Esc leaves it to start by itself; `umsui nodes operations` tells more")
            return
        self._starting = False
        if message.error:
            self._say(message.error, message.fix)
        else:
            self._ask()

    async def _migrate(self, request: MigrationRequest, confirm: str) -> None:
        try:
            migration = await self.console.feed.migrate(request, confirm)
        except TROUBLE as error:
            self.post_message(Started(None, str(error), getattr(error, "fix", "")))
        else:
            self.post_message(Started(migration))

    def on_started(self, message: Started) -> None:
        """It runs, or it was refused."""
        message.stop()
        self._starting = False
        if message.migration is None:
            self._say(message.error, message.fix)
        else:
            self.dismiss(message.migration)

    def action_limits(self) -> None:
        """To the next field."""
        self.focus_next("Input")

    @on(Limits.Taken)
    def limited(self, message: Limits.Taken) -> None:
        """Plan it within others."""
        limits = message.request
        self.request = replace(
            self.request, max_downtime=limits.max_downtime, bandwidth=limits.bandwidth, node=limits.node
        )
        self._say("", "")
        self._ask()

    @on(Limits.Left)
    def leave_limits(self) -> None:
        """To the protected cluster's question, where there is one."""
        box = self.query_one(".confirm", Input)
        self.set_focus(box if box.has_class("-asked") else None)

    @on(Limits.Restored)
    def as_before(self) -> None:
        """What was wrong with a limit is said no more: it is the old one again."""
        self._say(*self._trouble)

    @on(Limits.Refused)
    def not_understood(self, message: Limits.Refused) -> None:
        """What was typed means nothing: the plan stays as it is."""
        self._say(message.why, "")

    def action_checks(self) -> None:
        """All that preflight looked at and what would mend other ways, or only what is not good."""
        sheet = self.query_one(PlanSheet)
        sheet.all_checks = not sheet.all_checks
        sheet.repaint()

    def action_help(self) -> None:
        """All keys, and what the signs mean."""
        self.console.action_help()

    def action_copy(self) -> None:
        """The same as a command."""
        self.app.copy_to_clipboard(command(self.request))
        self.app.post_message(Told(command(self.request), "Copied"))

    def action_close(self) -> None:
        """What was typed into a field goes first, then the plan; nothing was touched."""
        limits = self.query_one(Limits)
        if limits.editing:
            limits.restore()
            self.leave_limits()
        else:
            self.dismiss(None)


def command(request: MigrationRequest) -> str:
    """``umsui migrate …``, as a shell wants it."""
    words = ["umsui", "migrate", request.service, "--to", request.to]
    options = (("--approach", request.approach), ("--strategy", request.strategy), ("--node", request.node),
               ("--max-downtime", request.max_downtime),
               ("--bandwidth", units.written_rate(request.bandwidth) if request.bandwidth else None),
               ("--deadline", request.deadline))  # fmt: skip
    for option, value in options:
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)
