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

from umsui.console import keymap
from umsui.console.drag import reason
from umsui.console.ears import TROUBLE
from umsui.console.messages import Planned, Started, Told
from umsui.console.screens.dialog import Dialog
from umsui.console.widgets.lines import KeyLine
from umsui.console.widgets.plansheet import PlanSheet, Trouble
from umsui.model import Migration, MigrationRequest, Plan, Service

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
        self._starting = False

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Sheet, the protected cluster's question, trouble, keys."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = f"Move {self.service.name}   {self.service.cluster} → {self.request.to}"
            with VerticalScroll(can_focus=False):
                yield PlanSheet(self.service, self.request.to)
            yield Input(classes="confirm", compact=True)
            yield Trouble(classes="trouble")
            yield KeyLine("plan")

    def on_mount(self) -> None:
        """The estimate from the drag is a whole plan; without one, ask."""
        if self.protected:
            box = self.query_one(".confirm", Input)
            box.placeholder = f"{self.protected[0]} is protected: type {self.service.name} to confirm"
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
            self._say(message.error, message.fix)
            sheet.repaint()
            self._enable()
            return
        self.plan = message.plan
        self._show_plan()

    def _show_plan(self) -> None:
        sheet = self.query_one(PlanSheet)
        sheet.waiting = False
        sheet.show(self.plan)
        self._say("", "")
        box = self.query_one(".confirm", Input)
        asked = bool(self.protected) and self.plan is not None and self.plan.feasible
        box.set_class(asked, "-asked")
        if asked:
            box.focus()
        self.call_after_refresh(self.fit)
        self._enable()

    def _enable(self) -> None:
        keys = self.query_one(KeyLine)
        ready = self.plan is not None and self.plan.feasible and not self.query_one(PlanSheet).waiting
        keys.disabled_names = frozenset() if ready else frozenset({"start"})
        keys.repaint()

    def _say(self, text: str, fix: str) -> None:
        trouble = self.query_one(Trouble)
        trouble.text, trouble.fix = text, fix
        trouble.set_class(bool(text), "-said")
        trouble.repaint()
        self.call_after_refresh(self.fit)

    # Actions.

    def action_choose(self, way: int) -> None:
        """Plan it another feasible way: the one above or below."""
        if self.plan is None or self.query_one(PlanSheet).waiting:
            return
        ways = [verdict for verdict in self.plan.verdicts if verdict.feasible]
        current = (self.plan.approach, self.plan.strategy)
        at = next((i for i, v in enumerate(ways) if (v.approach, v.strategy) == current), -1)
        if not 0 <= at + way < len(ways) or at < 0:
            return
        chosen = ways[at + way]
        self.request = replace(self.request, approach=chosen.approach, strategy=chosen.strategy)
        self._ask()

    def action_start(self) -> None:
        """Start it as planned, unless something blocks."""
        if self._starting:
            return
        if self.plan is None or self.query_one(PlanSheet).waiting:
            self._say("The plan is not there yet.", "")
            return
        if not self.plan.feasible:
            self._say(f"It cannot be started: {reason(self.plan)}", "what is marked ✕ has to be mended first")
            return
        confirm = self.query_one(".confirm", Input).value.strip()
        if self.protected and confirm != self.service.name:
            self._say(f"{self.protected[0]} is protected: type {self.service.name} and press Enter", "")
            return
        self._starting = True
        self.run_worker(self._migrate(confirm), group="migrate")

    @on(Input.Submitted)
    def confirmed(self) -> None:
        """Enter in the protected cluster's question."""
        self.action_start()

    async def _migrate(self, confirm: str) -> None:
        try:
            migration = await self.console.feed.migrate(self.request, confirm)
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

    def action_copy(self) -> None:
        """The same as a command."""
        self.app.copy_to_clipboard(command(self.request))
        self.app.post_message(Told(command(self.request), "Copied"))

    def action_close(self) -> None:
        """Nothing was touched."""
        self.dismiss(None)


def command(request: MigrationRequest) -> str:
    """``umsui migrate …``, as a shell wants it."""
    words = ["umsui", "migrate", request.service, "--to", request.to]
    options = (("--approach", request.approach), ("--strategy", request.strategy), ("--node", request.node),
               ("--max-downtime", request.max_downtime), ("--bandwidth", request.bandwidth),
               ("--deadline", request.deadline))  # fmt: skip
    for option, value in options:
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)
