"""One service: what it is made of, where it listens, what it keeps, and its last log lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen

from umsui.console import keymap, words
from umsui.console.ears import TROUBLE
from umsui.console.feed import ServiceDetail
from umsui.console.messages import Detailed, Told
from umsui.console.text import Line, column, wrap
from umsui.console.widgets.canvas import Canvas, Sheet
from umsui.console.widgets.lines import KeyLine, TopLine
from umsui.console.world import World
from umsui.model import Mount, Port, Service, Specification

if TYPE_CHECKING:
    from umsui.console.app import Console

LABEL = 13
SECRET = ("password", "secret", "token", "key", "credential")


class ServiceSheet(Sheet):
    """Facts in two columns: what, and its value."""

    def __init__(self) -> None:
        super().__init__()
        self.service: Service | None = None
        self.specification: Specification | None = None
        self.error = ""

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """What runs, then what it was made from."""
        lines: list[Line] = []
        if self.service is not None:
            lines += _facts(_state_rows(self.service), width)
        if self.specification is not None:
            lines += [[], *_facts(_specification_rows(self.specification), width)]
        elif self.error:
            lines += [[], *[[(" ", ""), (piece, "bad")] for piece in wrap(self.error, width - 2)]]
        else:
            lines += [[], [(" asking the coordinator …", "dim")]]
        return lines


def _facts(rows: list[tuple[str, list[str], str]], width: int) -> list[Line]:
    lines: list[Line] = []
    for label, values, ink in rows:
        pieces = [piece for value in values for piece in wrap(value, max(width - LABEL - 2, 10))]
        for index, piece in enumerate(pieces):
            lines.append([(" ", ""), column(label if index == 0 else "", LABEL, "dim"), (piece, ink)])
    return lines


def _state_rows(service: Service) -> list[tuple[str, list[str], str]]:
    glyph, word, ink = words.service_state(service)
    status = f" ({service.status})" if service.status else ""
    rows = [
        ("state", [f"{glyph} {word}{status}"], ink),
        ("where", [f"{service.cluster}/{service.node}"], "text"),
        ("memory", [f"{words.size(service.memory)} in {words.processes(service.processes)}"], "text"),
    ]
    if service.obstacle:
        rows.append(("can move", [f"✕ no: {service.obstacle}"], "bad"))
    else:
        rows.append(
            ("can move", [f"✓ {words.approach(service.approach)}" if service.approach else "? not known"], "ok")
        )
    return rows


def _specification_rows(spec: Specification) -> list[tuple[str, list[str], str]]:
    command = " ".join((*spec.entrypoint, *spec.command))
    limits = [f"memory {words.size(spec.memory_limit)}"] if spec.memory_limit else []
    limits += [f"cpu {spec.cpu_limit:g}"] if spec.cpu_limit else []
    limits += [f"pids {spec.pids_limit}"] if spec.pids_limit else []
    optional = (
        ("image", [spec.image], "text"),
        ("command", [command], "text"),
        ("ports", [_port(port) for port in spec.ports], "text"),
        ("volumes", [_mount(mount) for mount in spec.mounts], "text"),
        ("network", [spec.network], "text"),
        ("hostname", [spec.hostname], "text"),
        ("user", [spec.user], "text"),
        ("workdir", [spec.workdir], "text"),
        ("restart", [spec.restart], "text"),
        ("limits", [" · ".join(limits)], "text"),
        ("privileged", ["⚠ yes"] if spec.privileged else [], "warn"),
        ("environment", [_variable(k, v) for k, v in sorted(spec.environment.items())], "text"),
        ("labels", [f"{k}={v}" for k, v in sorted(spec.labels.items())], "dim"),
    )
    return [(label, [v for v in values if v], ink) for label, values, ink in optional if any(values)]


def _port(port: Port) -> str:
    return f"{port.address or '*'}:{port.host} → {port.container}/{port.protocol}"


def _mount(mount: Mount) -> str:
    return f"{mount.kind} {mount.source} at {mount.destination}{' (read-only)' if mount.read_only else ''}"


def _variable(name: str, value: str) -> str:
    """What looks like a secret is not shown: screens are shared."""
    return f"{name}=••••" if any(word in name.lower() for word in SECRET) else f"{name}={value}"


class Tail(Canvas):
    """The last log lines that fit, or older ones."""

    def __init__(self) -> None:
        super().__init__(classes="tail")
        self.lines: tuple[str, ...] = ()
        self.back = 0

    def paint(self, width: int, height: int) -> list[Line]:
        """Newest below; long lines wrap."""
        if not self.lines:
            return [[(" no log lines", "faint")]]
        pieces = [piece for line in self.lines for piece in wrap(line, max(width - 2, 10))]
        self.back = min(self.back, max(len(pieces) - height, 0))
        end = len(pieces) - self.back
        return [[(" ", ""), (piece, "text")] for piece in pieces[max(end - height, 0) : end]]

    def scroll_lines(self, count: int) -> None:
        """Positive is towards the newest."""
        self.back = max(self.back - count, 0)
        self.repaint()

    def on_mouse_scroll_up(self) -> None:
        """Older."""
        self.scroll_lines(-2)

    def on_mouse_scroll_down(self) -> None:
        """Newer."""
        self.scroll_lines(2)


class ServiceScreen(Screen[bool]):
    """Dismisses with True when the service is to be picked up."""

    SCOPE = "service"
    CSS_PATH = "service.tcss"
    BINDINGS = keymap.bindings("service")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  (Textual's type)
    AUTO_FOCUS = ""

    def __init__(self, world: World, key: str) -> None:
        super().__init__()
        self.world = world
        self.key = key

    @property
    def console(self) -> Console:
        """The app, by its type."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Facts beside logs."""
        clock = self.console.clock
        yield TopLine(self.world, clock.wall, clock.steady)
        with Horizontal(id="body"):
            facts = VerticalScroll(ServiceSheet(), id="facts", classes="panel", can_focus=False)
            facts.border_title = self.key
            yield facts
            logs = Vertical(Tail(), id="logs", classes="panel")
            logs.border_title = "log"
            yield logs
        yield KeyLine("service")

    def on_mount(self) -> None:
        """What the board knows at once, the rest when it comes."""
        self.query_one(ServiceSheet).service = self.world.service(self.key)
        self.action_refresh_now()

    def on_screen_resume(self) -> None:
        """Back from another screen."""
        self.world_changed()

    def action_refresh_now(self) -> None:
        """Ask again."""
        self.run_worker(self._ask(), group="detail", exclusive=True)

    async def _ask(self) -> None:
        try:
            self.post_message(Detailed(await self.console.feed.service(self.key)))
        except TROUBLE as error:
            self.post_message(Detailed(None, str(error)))

    def on_detailed(self, message: Detailed) -> None:
        """Here it is."""
        sheet, tail = self.query_one(ServiceSheet), self.query_one(Tail)
        detail: ServiceDetail | None = message.detail
        if detail is None:
            sheet.error = message.error
        else:
            sheet.service, sheet.specification, tail.lines = detail.service, detail.specification, detail.logs
        sheet.repaint()
        tail.repaint()

    def world_changed(self) -> None:
        """Its state may have changed."""
        sheet = self.query_one(ServiceSheet)
        sheet.service = self.world.service(self.key) or sheet.service
        sheet.repaint()
        self.tick()

    def tick(self) -> None:
        """The clock."""
        self.query_one(TopLine).repaint()

    def action_scroll(self, lines: int) -> None:
        """The log, a line at a time."""
        self.query_one(Tail).scroll_lines(lines)

    def action_move(self) -> None:
        """Pick it up on the board."""
        self.dismiss(True)

    def action_copy(self) -> None:
        """Its name, as commands take it."""
        self.app.copy_to_clipboard(self.key)
        self.app.post_message(Told(self.key, "Copied"))

    def action_close(self) -> None:
        """Back to the board."""
        self.dismiss(False)
