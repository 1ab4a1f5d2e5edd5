"""The board: what runs where, what can move, what is moving. Cards are dragged from cluster to cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Offset
from textual.screen import Screen
from textual.widgets import Input

from umsui.console import keymap
from umsui.console.drag import Drag
from umsui.console.filter import Filter
from umsui.console.messages import Planned, Told
from umsui.console.screens.carry import Carry
from umsui.console.widgets.card import Motion
from umsui.console.widgets.column import ClusterColumn
from umsui.console.widgets.groups import Nothing, ProviderGroup
from umsui.console.widgets.lines import KeyLine, ProviderTabs, StatusLine, TopLine
from umsui.console.widgets.panels import exposed
from umsui.console.world import World
from umsui.model import Migration, MigrationRequest, Plan, Service, ServiceState

if TYPE_CHECKING:
    from umsui.console.app import Console


class Board(Screen[None]):
    """All clusters and their services."""

    SCOPE = "board"
    CSS_PATH = "board.tcss"
    BINDINGS = keymap.bindings("board")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  (Textual's type)
    AUTO_FOCUS = ""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.columns: dict[str, ClusterColumn] = {}
        self.groups: dict[str, ProviderGroup] = {}
        self.cluster = ""  # where the cursor is
        self.key: str | None = None
        self.filter = Filter()
        self.carry = Carry(self)
        self._clicked: tuple[str, float] = ("", 0.0)

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        clock = self.console.clock
        yield TopLine(self.world, clock.wall, clock.steady)
        yield ProviderTabs(self.world)
        with Horizontal(id="groups"):
            yield Nothing(self.world)
        yield StatusLine(self.world, clock.wall)
        yield Input(placeholder="name, label=value, state:up, approach:o", classes="filter", compact=True)
        yield KeyLine("board")

    def world_changed(self) -> None:
        """Show what changed; a column is only made or removed when a cluster appears or goes."""
        self._sync_columns()
        now = self.console.clock.steady()
        for name, column in self.columns.items():
            cluster = self.world.clusters[name]
            column.show(cluster, self.filter.apply(cluster.services), self.world.age(cluster, now))
        self._keep_cursor()
        self.carry.world_changed()
        self._repaint_lines()

    def tick(self) -> None:
        """Clock, and the ages of what is stale."""
        now = self.console.clock.steady()
        for name, column in self.columns.items():
            column.header.age = self.world.age(self.world.clusters[name], now)
            column.header.repaint()
        self.query_one(TopLine).repaint()

    def on_screen_resume(self) -> None:
        """Back from another screen, under which nothing was painted."""
        self.world_changed()

    def _repaint_lines(self) -> None:
        for line in (TopLine, ProviderTabs, StatusLine):
            self.query_one(line).repaint()

    def _sync_columns(self) -> None:
        groups = self.world.by_provider()
        place = self.query_one("#groups", Horizontal)
        for provider, clusters in groups.items():
            new = [ClusterColumn(c, self.motion) for c in clusters if c.name not in self.columns]
            self.columns |= {column.cluster.name: column for column in new}
            group = self.groups.get(provider)
            if group is None:
                self.groups[provider] = group = ProviderGroup(provider, new)
                place.mount(group)
            elif new:
                group.add(new)
            group.sized(len(clusters))
        for name in [name for name in self.columns if name not in self.world.clusters]:
            self.columns.pop(name).remove()
        for provider in [name for name in self.groups if name not in groups]:
            self.groups.pop(provider).remove()
        nothing = self.query_one(Nothing)
        nothing.display = not groups
        nothing.repaint()

    def motion(self, service: Service) -> Motion | None:
        """What a card shows of its migration."""
        migration = self.world.migrations.get(service.migration)
        if migration is None or service.state not in (ServiceState.MOVING, ServiceState.ARRIVING):
            return None
        moving = service.state is ServiceState.MOVING
        other = migration.destination.cluster if moving else migration.source.cluster
        record = self.world.records.get(migration.id)
        return Motion(record.fraction if record else None, other, moving and exposed(migration))

    # The cursor: a cluster, and a service in it that keeps it while the list changes around it.

    def order(self) -> list[str]:
        """Clusters from left to right."""
        return [cluster.name for clusters in self.world.by_provider().values() for cluster in clusters]

    def _keep_cursor(self) -> None:
        order = self.order()
        if not order:
            return
        if self.cluster not in self.columns:
            self.cluster = next((n for n in order if self.columns[n].cards.services), order[0])
        services = self.columns[self.cluster].cards.services
        if self.columns[self.cluster].cards.index(self.key) is None:
            self.key = services[0].key if services else None
        self.point(self.cluster, self.key)

    def point(self, cluster: str, key: str | None) -> None:
        """Put the cursor there."""
        moved = cluster != self.cluster or not self.columns[cluster].header.current
        self.cluster, self.key = cluster, key
        for name, column in self.columns.items():
            column.header.current = name == cluster
            wanted = key if name == cluster else None
            if column.cards.cursor != wanted:
                column.cards.point(wanted)
            if moved:
                column.header.repaint()
        if moved:
            self.show_provider(self.world.clusters[cluster].provider)
            self.columns[cluster].scroll_visible(animate=False)

    def show_provider(self, provider: str) -> None:
        """The tab in front, where clouds are tabs."""
        tabs = self.query_one(ProviderTabs)
        if tabs.active == provider:
            return
        tabs.active = provider
        for name, group in self.groups.items():
            group.set_class(name == provider, "-active")
        tabs.repaint()

    def selected(self) -> Service | None:
        """The service under the cursor."""
        return self.world.service(self.key) if self.key else None

    def action_cursor(self, way: str) -> None:
        """Move the cursor, or what is in the hand."""
        if self.carry.busy:
            self.carry.step(-1 if way in ("left", "up") else 1)
            return
        if self.cluster not in self.columns:
            return
        cards = self.columns[self.cluster].cards
        at = cards.index(self.key) or 0
        if way in ("left", "right"):
            order = self.order()
            index = order.index(self.cluster) + (1 if way == "right" else -1)
            if not 0 <= index < len(order):
                return
            row = at - cards.top
            cards = self.columns[order[index]].cards
            at, self_cluster = cards.top + row, order[index]
        else:
            self_cluster = self.cluster
            at = {"up": at - 1, "down": at + 1, "home": 0, "end": len(cards.services)}[way]
        services = cards.services
        self.point(self_cluster, services[min(max(at, 0), len(services) - 1)].key if services else None)

    # Actions.

    def action_open(self) -> None:
        """Drop what is in the hand; else open the service, or its migration."""
        if self.carry.busy:
            self.carry.drop()
            return
        service = self.selected()
        if service is None:
            return
        if service.migration and service.state in (ServiceState.MOVING, ServiceState.ARRIVING):
            self.console.open_migration(service.migration)
            return
        self._open_service(service.key)

    def action_logs(self) -> None:
        """The service's screen; it has the logs."""
        service = self.selected()
        if service is not None:
            self._open_service(service.key)

    def _open_service(self, key: str) -> None:
        from umsui.console.screens.service import ServiceScreen  # noqa: PLC0415

        def closed(move: bool | None) -> None:
            if move:
                self.action_move()

        self.app.push_screen(ServiceScreen(self.world, key), closed)

    def action_move(self) -> None:
        """Pick the service up."""
        service = self.selected()
        if service is not None and not self.carry.busy:
            self.carry.pick_up(service)

    def action_migrations(self) -> None:
        """Running and past ones."""
        from umsui.console.screens.migrations import MigrationsScreen  # noqa: PLC0415

        self.app.push_screen(MigrationsScreen(self.world))

    def action_refresh_now(self) -> None:
        """Ask all clusters, and put the cards in order again."""
        for column in self.columns.values():
            column.forget_order()
        self.run_worker(self._refresh(), group="refresh", exclusive=True)

    async def _refresh(self) -> None:
        from umsui.console.ears import TROUBLE  # noqa: PLC0415

        try:
            await self.console.feed.wake()
            clusters = await self.console.feed.refresh()
        except TROUBLE as error:
            self.app.post_message(Told(str(error), "Refresh", "error"))
            return
        from umsui.console.messages import Heard  # noqa: PLC0415

        for cluster in clusters:
            self.app.post_message(Heard(cluster))

    def action_filter(self) -> None:
        """Type what to show."""
        box = self.query_one(Input)
        self.add_class("-filtering")
        box.focus()

    def action_escape(self) -> None:
        """Put back, or clear the filter."""
        if self.carry.busy:
            self.carry.put_back()
            return
        box = self.query_one(Input)
        box.value = ""
        self._close_filter()

    def _close_filter(self) -> None:
        self.remove_class("-filtering")
        self.set_focus(None)

    @on(Input.Changed)
    def filter_changed(self, event: Input.Changed) -> None:
        """With each keystroke."""
        self.filter = Filter(event.value)
        self.world_changed()

    @on(Input.Submitted)
    def filter_kept(self) -> None:
        """Enter keeps the filter and gives the keys back."""
        self._close_filter()

    @on(ProviderTabs.Chosen)
    def tab_chosen(self, event: ProviderTabs.Chosen) -> None:
        """Another cloud in front."""
        clusters = self.world.by_provider().get(event.provider, [])
        if clusters:
            services = self.columns[clusters[0].name].cards.services
            self.point(clusters[0].name, services[0].key if services else None)

    @on(StatusLine.Opened)
    def status_opened(self) -> None:
        """The migration that the status line tells of."""
        running = self.world.running()
        migration = running[-1] if running else self.world.latest()
        if migration is not None:
            self.console.open_migration(migration.id)

    # The mouse. Events bubble up here, or come straight while the screen has captured it.

    def service_at(self, pointer: Offset) -> Service | None:
        """The card under the pointer."""
        for column in self.columns.values():
            if column.cards.region.contains_point(pointer) and column.cards.is_on_screen:
                return column.cards.at(pointer.y - column.cards.region.y)
        return None

    def column_at(self, pointer: Offset) -> ClusterColumn | None:
        """The column under the pointer; over a tab, its first one."""
        tabs = self.query_one(ProviderTabs)
        if tabs.display and tabs.region.contains_point(pointer):
            provider = tabs.at(pointer.x)
            clusters = self.world.by_provider().get(provider, []) if provider else []
            return self.columns[clusters[0].name] if clusters else None
        return next((c for c in self.columns.values() if c.is_on_screen and c.region.contains_point(pointer)), None)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A card is pressed: it is selected, and may be dragged."""
        pointer = Offset(event.screen_x, event.screen_y)
        service = self.service_at(pointer)
        if event.button != 1 or service is None or self.carry.busy:
            return
        self.point(service.cluster, service.key)
        self.carry.press(Drag(service, pointer))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The button is never asked for here: terminals differ in what they say of it while moving."""
        self.carry.move(Offset(event.screen_x, event.screen_y))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Dropped, or it was a click after all; a second one opens."""
        drag = self.carry.release(Offset(event.screen_x, event.screen_y))
        if drag is None:
            return
        now = self.console.clock.steady()
        key, when = self._clicked
        self._clicked = (drag.service.key, now)
        if key == drag.service.key and now - when < 0.5:
            self._clicked = ("", 0.0)
            self.action_open()

    def on_mouse_release(self) -> None:
        """Something else took the mouse."""
        self.carry.mouse_lost()

    def on_planned(self, message: Planned) -> None:
        """A quick estimate for what is being carried."""
        self.carry.learn(message)

    # What a drop does.

    def offer(self, service: Service, to: str, plan: Plan | None) -> None:
        """Show the plan; nothing starts before Enter."""
        from umsui.console.screens.plan import PlanScreen  # noqa: PLC0415

        def decided(migration: Migration | None) -> None:
            if migration is not None:
                # The watch will tell of it too; the screen should not have to wait for that.
                self.world.migrations.setdefault(migration.id, migration)
                self.console.open_migration(migration.id)

        ends = (self.world.clusters.get(service.cluster), self.world.clusters.get(to))
        protected = [cluster.name for cluster in ends if cluster is not None and cluster.protected]
        request = MigrationRequest(service=service.key, to=to)
        self.app.push_screen(PlanScreen(request, service, plan, protected), decided)
