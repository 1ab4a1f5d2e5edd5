"""Carrying cards over the board: ghost, target, hint, drop. The board's other half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.geometry import Offset
from textual.timer import Timer

from umsui.console.drag import Drag, Estimates, refused
from umsui.console.ears import TROUBLE
from umsui.console.messages import Planned
from umsui.console.widgets.ghost import Ghost
from umsui.console.widgets.lines import KeyLine, StatusLine
from umsui.model import MigrationRequest, Service, ServiceState

if TYPE_CHECKING:
    from umsui.console.screens.board import Board

DWELL = 0.12
"""Seconds over a column before both ends are asked: passing over is no question."""

BY_MOUSE = frozenset({"cursor('left')", "cursor('right')", "open"})
"""What the mouse does while it has a card."""


class Carry:
    """What the operator has in the hand, if anything."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._drag: Drag | None = None
        self._ghost: Ghost | None = None
        self._dwell: Timer | None = None
        self.estimates = Estimates(self._ask)

    @property
    def busy(self) -> bool:
        """Whether a card is off the board."""
        return self._drag is not None and self._drag.lifted

    @property
    def target(self) -> str | None:
        """The cluster it would be dropped on."""
        return self._drag.target if self._drag else None

    # By mouse.

    def press(self, drag: Drag) -> None:
        """The button went down on a card."""
        self._drag = drag
        self._board.capture_mouse()

    def move(self, pointer: Offset) -> None:
        """The mouse moved."""
        drag = self._drag
        if drag is None or drag.by_keys:
            return
        if not drag.lifted:
            if not drag.far(pointer) or not self._lift(drag):
                return
            self._ghost = Ghost(drag)
            self._ghost.follow(pointer, self._board.size)
            self._board.mount(self._ghost)
        elif self._ghost is not None:
            self._ghost.follow(pointer, self._board.size)
        column = self._board.pointing.column_at(pointer)
        self._aim(column.cluster.name if column else None)

    def release(self, pointer: Offset) -> Drag | None:
        """The button came up. Returns what was pressed when it was only a click."""
        drag = self._drag
        if drag is None or drag.by_keys:
            return None
        if not drag.lifted:
            self._drag = None
            self._board.release_mouse()
            return drag
        self.move(pointer)
        self.drop()
        return None

    def mouse_lost(self) -> None:
        """Something else captured the mouse, or a screen came in front."""
        if self._drag is not None and not self._drag.by_keys:
            self.put_back()

    # By keys.

    def pick_up(self, services: Sequence[Service], *, drains: str = "", to: str = "") -> None:
        """Off the board, over the next cluster that could take it; or straight to one."""
        drag = Drag(tuple(services), Offset(0, 0), by_keys=True, drains=drains)
        order = self._board.order()
        if to and to not in order:
            self._board.notify(f"There is no cluster {to}.", severity="warning", markup=False)
            return
        if not self._lift(drag):
            return
        self._drag = drag
        clusters = self._board.world.clusters
        start = order.index(services[0].cluster)
        around = order[start + 1 :] + order[:start]
        good = [name for name in around if any(refused(each, clusters[name]) is None for each in services)]
        self._aim(to or next(iter(good or around), services[0].cluster))
        if to:
            self.drop()

    def step(self, way: int) -> None:
        """The cluster to the left or to the right."""
        if self._drag is None or self._drag.target is None:
            return
        order = self._board.order()
        self._aim(order[(order.index(self._drag.target) + way) % len(order)])

    # Either way.

    def _lift(self, drag: Drag) -> bool:
        service, board = drag.service, self._board
        why = ""
        if not drag.services:
            why = f"{drag.drains or board.cluster} has no services to move."
        elif service is not None and service.state in (ServiceState.MOVING, ServiceState.ARRIVING):
            why = f"{service.name} is moving already; Enter opens its migration."
        if why:
            self._drag = None
            board.release_mouse()
            board.notify(why, severity="warning")
            return False
        drag.lifted = True
        self.estimates.clear()
        self._lifted(frozenset(each.key for each in drag.services))
        hint = "Enter shows the plan" if drag.by_keys else "let go over a cluster to see the plan"
        self._tell((drag.name, f"{hint}; nothing starts yet"))
        keys = board.query_one(KeyLine)
        keys.disabled_names = frozenset() if drag.by_keys else BY_MOUSE
        keys.show("drag")
        return True

    def _tell(self, carried: tuple[str, str] | None) -> None:
        status = self._board.query_one(StatusLine)
        status.carried = carried
        status.repaint()

    def _lifted(self, keys: frozenset[str]) -> None:
        for column in self._board.columns.values():
            if column.cards.lifted != keys:
                column.cards.lifted = keys
                column.cards.repaint()

    def _aim(self, target: str | None) -> None:
        drag = self._drag
        if drag is None or drag.target == target:
            return
        old, drag.target = drag.target, target
        self._hint(old)
        if target is None:
            return
        cluster = self._board.world.clusters[target]
        self._board.show_provider(cluster.provider)
        if drag.by_keys:
            self._board.columns[target].scroll_visible(animate=False)
        if self._dwell is not None:
            self._dwell.stop()
        service = drag.service
        if service is not None and refused(service, cluster, by_keys=drag.by_keys) is None:
            key = service.key
            self._dwell = self._board.set_timer(DWELL, lambda: self._consider(key, target))
        self._hint(target)

    def _consider(self, service: str, target: str) -> None:
        if self.busy and self.target == target:
            self.estimates.ask(service, target)

    def _hint(self, name: str | None) -> None:
        """A header says what a drop there would do; only headers change, a whole column would cost 11 KB."""
        column = self._board.columns.get(name or "")
        if column is None:
            return
        drag = self._drag
        over = drag is not None and drag.lifted and drag.target == name
        column.header.hint = self.estimates.hint(drag, column.cluster) if drag and over else None
        column.header.repaint()

    def world_changed(self) -> None:
        """The clusters changed below what is carried."""
        if self.busy and self._drag is not None:
            world = self._board.world
            left = tuple(now for each in self._drag.services if (now := world.service(each.key)) is not None)
            if not left:
                self._board.notify(f"{self._drag.name} is gone.", severity="warning")
                self.put_back()
            else:
                self._drag.services = left
                self._hint(self.target)

    def drop(self) -> None:
        """Let go over the target."""
        drag = self._drag
        if drag is None:
            return
        self._let_go()
        if not self._drop(drag):
            self._board.show_cursor()

    def _drop(self, drag: Drag) -> bool:
        """Whether a dialog opens. Behind it the board stays as it is: what changes there is not painted."""
        target, service = drag.target, drag.service
        if target is None or target == drag.drains:
            return False
        at_home = {each.cluster for each in drag.services} == {target}
        if at_home and (service is None or refused(service, self._board.world.clusters[target], by_keys=drag.by_keys)):
            return False
        hint, ink = self.estimates.hint(drag, self._board.world.clusters[target])
        known = self.estimates.plan(service.key, target) if service else None
        if ink == "deny" and known is None:
            self._board.notify(
                hint.removeprefix("cannot: "), title=f"{drag.name} cannot go there", severity="warning", markup=False
            )
            return False
        if service is not None:
            self._board.offer(service, target, known)
        else:
            self._board.offer_many(drag.services, target, drag.drains)
        return True

    def put_back(self) -> None:
        """The card is on the board again."""
        if self._drag is not None:
            self._let_go()
            self._board.show_cursor()

    def _let_go(self) -> None:
        drag, self._drag = self._drag, None
        board = self._board
        if self._dwell is not None:
            self._dwell.stop()
        if drag is None:
            return
        if not drag.by_keys:
            board.release_mouse()
        if self._ghost is not None:
            self._ghost.remove()
            self._ghost = None
        self._hint(drag.target)
        self._lifted(frozenset())
        self._tell(None)
        keys = board.query_one(KeyLine)
        keys.disabled_names = frozenset()
        keys.show("board")

    def learn(self, answer: Planned) -> None:
        """An estimate came; show it if it is still wanted."""
        self.estimates.learn(answer)
        if self.busy and self.target == answer.to:
            self._hint(answer.to)

    def _ask(self, service: str, to: str) -> None:
        self._board.run_worker(self._plan(service, to), group="estimate")

    async def _plan(self, service: str, to: str) -> None:
        try:
            plan = await self._board.console.feed.plan(MigrationRequest(service=service, to=to))
        except TROUBLE as error:
            self._board.post_message(Planned(service, to, None, str(error), getattr(error, "fix", "")))
        else:
            self._board.post_message(Planned(service, to, plan))
