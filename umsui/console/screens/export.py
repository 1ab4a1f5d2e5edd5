"""Take it away: what is on screen as a picture, what is behind it as a table or a document."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen

from umsui.console import keymap
from umsui.console.ears import TROUBLE
from umsui.console.messages import Told
from umsui.console.screens.dialog import Dialog
from umsui.console.text import Line, column
from umsui.console.widgets.canvas import Sheet
from umsui.console.widgets.lines import KeyLine

FORMS = (
    ("svg", "s", "SVG", "a picture of this screen"),
    ("csv", "c", "CSV", "a table, for spreadsheets"),
    ("json", "j", "JSON", "all of it, for programs"),
)
MEDIA = {"svg": "image/svg+xml", "csv": "text/csv", "json": "application/json"}


class Forms(Sheet):
    """What there is to choose from."""

    def __init__(self, stem: str) -> None:
        super().__init__()
        self._stem = stem

    def paint(self, width: int, height: int) -> list[Line]:  # noqa: ARG002
        """A line each."""
        return [
            [(f" {key} ", "key"), column(name, 6, "name"), column(what, 28, "text"), (f"{self._stem}.{form}", "dim")]
            for form, key, name, what in FORMS
        ]

    async def on_click(self, event: events.Click) -> None:
        """Choose it."""
        if 0 <= event.y < len(FORMS):
            await self.screen.run_action(f"choose('{FORMS[event.y][0]}')")


class ExportScreen(Dialog[str | None]):
    """Answers with the form, or None."""

    SCOPE = "export"
    CSS_PATH = "export.tcss"
    BINDINGS = keymap.bindings("export")

    def __init__(self, stem: str) -> None:
        super().__init__()
        self._stem = stem

    def compose(self) -> ComposeResult:
        """Forms and keys."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Export"
            yield Forms(self._stem)
            yield KeyLine("export")

    def action_choose(self, form: str) -> None:
        """This one."""
        self.dismiss(form)

    def action_close(self) -> None:
        """None."""
        self.dismiss(None)


def export(screen: Screen[Any], stem: str, make: Callable[[str], Awaitable[str]]) -> None:
    """Ask for the form, then write ``stem.form``; ``make`` yields the text of all but the picture."""
    picture = screen.app.export_screenshot(title="umsui")  # now: the question is not to be in it

    async def write(form: str) -> None:
        try:
            text = picture if form == "svg" else await make(form)
            where = await asyncio.to_thread(_save, screen, f"{stem}.{form}", text)
        except TROUBLE as error:
            screen.app.post_message(Told(str(error), "Not exported", "error"))
        else:
            screen.app.post_message(Told(where, "Exported"))

    def chosen(form: str | None) -> None:
        if form is not None:
            screen.run_worker(write(form), group="export")

    screen.app.push_screen(ExportScreen(stem), chosen)


def _save(screen: Screen[Any], name: str, text: str) -> str:
    """In the folder that the console was started in; in a browser, as a download."""
    if screen.app.is_web:
        form = name.rpartition(".")[2]
        screen.app.call_from_thread(
            screen.app.deliver_text, io.StringIO(text), save_filename=name, mime_type=MEDIA[form]
        )
        return name
    path = Path.cwd() / name
    unfinished = path.with_name(f".{name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)  # who waits for the file finds all of it
    return str(path)
