"""The board: what runs where, what can move, what is moving. Cards are dragged from cluster to cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Offset
from textual.widgets import Input

from umsui.console import keymap, words
from umsui.console.batch import Batch
from umsui.console.messages import Planned, Told
from umsui.console.screens.carry import Carry
from umsui.console.screens.cursor import Cursor
from umsui.console.screens.looks import HINT, Looks
from umsui.console.screens.pointing import Pointing
from umsui.console.widgets.card import Motion
from umsui.console.widgets.column import ClusterColumn
from umsui.console.widgets.groups import Nothing, ProviderGroup
from umsui.console.widgets.lines import KeyLine, ProviderTabs, StatusLine, TopLine
from umsui.console.widgets.panels import exposed
from umsui.console.world import World
from umsui.model import Migration, MigrationRequest, Plan, Service, ServiceState

if TYPE_CHECKING:
    pass


class Board(Looks):
    """All clusters and their services."""

    SCOPE = "board"
    CSS_PATH = "board.tcss"
    BINDINGS = keymap.bindings("board")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  (Textual's type)
    AUTO_FOCUS = ""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.columns: dict[str, ClusterColumn] = {}
        self.groups: dict[str, ProviderGroup] = {}
        self.cursor = Cursor(self)
        self.carry = Carry(self)
        self.pointing = Pointing(self)

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        clock = self.console.clock
        yield TopLine(self.world, clock.wall, clock.steady)
        yield ProviderTabs(self.world)
        with Horizontal(id="groups"):
            yield Nothing(self.world)
        yield StatusLine(self.world, clock.wall, lambda: self.console.many)
        yield Input(placeholder=HINT, id="filter", classes="filter", compact=True)
        yield KeyLine("board")

    def world_changed(self) -> None:
        """Show what changed; a column is only made or removed when a cluster appears or goes."""
        self._sync_columns()
        now = self.console.clock.steady()
        for name, column in self.columns.items():
            cluster = self.world.clusters[name]
            column.show(cluster, self.filter, self.view, self.world.age(cluster, now))
        self.cursor.keep()
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
        self.show_cursor()

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

    # The cursor.

    @property
    def cluster(self) -> str:
        """The cluster that one is in."""
        return self.cursor.cluster

    @property
    def key(self) -> str | None:
        """The service under the cursor."""
        return self.cursor.key

    def order(self) -> list[str]:
        """Clusters from left to right."""
        return [cluster.name for clusters in self.world.by_provider().values() for cluster in clusters]

    def point(self, cluster: str, key: str | None) -> None:
        """Put the cursor there."""
        self.cursor.point(cluster, key)

    def seek(self) -> None:
        """To a card that the filter shows."""
        self.cursor.seek()

    def selection_changed(self) -> None:
        """Others are selected: what the status line tells of."""
        status = self.query_one(StatusLine)
        status.chosen = self.cursor.chosen() if self.cursor.marked else ()
        status.repaint()

    def show_provider(self, provider: str) -> None:
        """The tab in front, where clouds are tabs."""
        tabs = self.query_one(ProviderTabs)
        if tabs.active == provider:
            return
        tabs.active = provider
        for name, group in self.groups.items():
            group.set_class(name == provider, "-active")
        tabs.repaint()

    def show_cursor(self) -> None:
        """Its tab, after that of where a card was dropped."""
        if self.cluster in self.columns:
            self.show_provider(self.world.clusters[self.cluster].provider)

    def selected(self) -> Service | None:
        """The service under the cursor."""
        return self.world.service(self.key) if self.key else None

    def action_cursor(self, way: str) -> None:
        """Move the cursor, or what is in the hand."""
        if self.carry.busy:
            self.carry.step(-1 if way in ("left", "up") else 1)
            return
        self.cursor.walk(way)

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

    def action_move(self, to: str = "") -> None:
        """Pick up what is selected, or the service under the cursor; with a cluster named, drop it there at once."""
        services = self.cursor.chosen()
        if self.carry.busy:
            return
        if services:
            self.carry.pick_up(services, to=to)
        else:
            self.notify("There is no card here to move: the arrows go to one.", severity="warning")

    def action_drain(self, to: str = "") -> None:
        """Pick up all services of this cluster."""
        column = self.columns.get(self.cluster)
        if column is not None and not self.carry.busy:
            self.carry.pick_up(column.cluster.services, drains=self.cluster, to=to)

    def action_mark(self) -> None:
        """Select the service under the cursor, and go on to the next."""
        self.cursor.toggle(self.key)
        self.cursor.walk("down")

    def action_extend(self, way: str) -> None:
        """Select while walking."""
        self.cursor.extend(way)

    def action_mark_shown(self) -> None:
        """Select all that are shown in this cluster."""
        self.cursor.mark_shown()

    def action_copy(self) -> None:
        """The names of what is selected, as commands take them."""
        keys = " ".join(service.key for service in self.cursor.chosen())
        if keys:
            self.app.copy_to_clipboard(keys)
            self.app.post_message(Told(keys, "Copied"))

    def action_find(self, key: str = "") -> None:
        """Go to a service by its name."""
        service = self.world.service(key) or next((s for s in self.world.services() if s.name == key), None)
        if service is None:
            self.notify(f"There is no service {key}.", severity="warning", markup=False)
            return
        if self.columns[service.cluster].cards.index(service.key) is None:
            self.filtered("")
        self.point(service.cluster, service.key)

    def action_batch(self) -> None:
        """The moves of many that were begun last."""
        if self.console.many is None:
            self.notify("No batch yet: select several with Space, or d drains a cluster.")
            return
        self.console.show_batch(self.console.many)

    def action_migrations(self) -> None:
        """Running and past ones."""
        from umsui.console.screens.migrations import MigrationsScreen  # noqa: PLC0415

        self.app.push_screen(MigrationsScreen(self.world))

    def action_refresh_now(self) -> None:
        """Ask all clusters, and put the cards in order again."""
        for column in self.columns.values():
            column.forget_order()
        self.world_changed()
        self.console.ask_again()

    def action_nodes(self) -> None:
        """The cluster that the cursor is in."""
        from umsui.console.screens.cluster import ClusterScreen  # noqa: PLC0415

        if self.cluster in self.world.clusters:
            self.app.push_screen(ClusterScreen(self.world, self.cluster))

    def action_benchmarks(self) -> None:
        """Running and past."""
        from umsui.console.screens.benchmarks import BenchmarksScreen  # noqa: PLC0415

        self.app.push_screen(BenchmarksScreen(self.world))

    def action_export(self) -> None:
        """What runs where."""
        from umsui import exports  # noqa: PLC0415
        from umsui.console.screens.export import export  # noqa: PLC0415

        async def text(form: str) -> str:
            return exports.board(self.world.clusters.values(), form)

        export(self, "umsui-board", text)

    def action_escape(self) -> None:
        """Put back, or clear the selection, or the filter."""
        if self.carry.busy:
            self.carry.put_back()
        elif self.cursor.marked and not self.has_class("-filtering"):
            self.cursor.mark(())
        else:
            self.filtered("")
            self.close_filter()

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

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """On a card, or a header."""
        self.pointing.down(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """What is in the hand follows."""
        self.carry.move(Offset(event.screen_x, event.screen_y))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Dropped, or clicked."""
        self.pointing.up(event)

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

    def offer_many(self, services: Sequence[Service], to: str, drains: str) -> None:
        """Plan all of them; nothing starts before Enter."""
        what = f"Drain {drains}" if drains else f"Move {words.plural(len(services), 'service')}"
        services = sorted(services, key=lambda service: (service.name, service.cluster))
        batch = Batch.of(f"{what} → {to}", services, self.world.clusters[to], self.console.settings.parallel)
        clusters = self.world.clusters
        ends = [(service.key, name) for service in services for name in (service.cluster, to)]
        batch.guarded = {key: name for key, name in ends if clusters[name].protected}
        self.cursor.mark(())
        self.console.show_batch(batch)
