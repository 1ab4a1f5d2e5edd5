"""Live progress of a migration on stderr: a moving display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from umsui.cli import output
from umsui.model import Event

Data = Mapping[str, Any]


class Reporter(Protocol):
    """Shows events as they come; a context manager, so that the terminal is left as it was."""

    def event(self, event: Event) -> None:
        """Show one."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the terminal as it was."""


def reporter() -> Reporter:
    """The one that fits stderr."""
    return Moving() if sys.stderr.isatty() else Lines()


class Lines:
    """One line an event that matters: for logs and pipes."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._narrate = Narrator()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def event(self, event: Event) -> None:
        """Print its line."""
        if self._began is None:
            self._began = event.t
        text = self._narrate(event)
        if text:
            output.say(f"{event.t - self._began:8.3f} s  {text}")


class Moving:
    """Finished steps stay as lines; below them one line moves: what is being done, how much, how fast."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  (rich is slow to import, and only needed here)
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None, amount="")
        self._began: float | None = None
        self._narrate = Narrator()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def event(self, event: Event) -> None:
        """Show it."""
        if self._began is None:
            self._began = event.t
        data = event.data
        if event.kind == "progress":
            self._amount(data)
        elif event.kind == "step" and data.get("state") == "started":
            self._progress.update(self._task, description=str(data["step"]), total=None, completed=0, amount="")
        else:
            text = self._narrate(event)
            if text:
                self._progress.console.print(f"{event.t - self._began:8.3f} s  {text}", markup=False, highlight=False)

    def _amount(self, data: Data) -> None:
        done, total, rate = data.get("done", 0), data.get("total"), data.get("rate")
        amount = output.size(done) + (f" of {output.size(total)}" if total else "")
        amount += f" at {output.size(rate)}/s" if rate else ""
        what = f"{data.get('what', '')}"
        self._progress.update(self._task, description=what, completed=done, total=total, amount=amount)


class Narrator:
    """Events in words; what a client sees is told once, not with each batch of its samples."""

    def __init__(self) -> None:
        self._seen = ""

    def __call__(self, event: Event) -> str:
        """What this event says; "" for those that only move a bar, or say again what was said."""
        text = words(event)
        if event.kind == "probe":
            text, self._seen = ("" if text == self._seen else text), text or self._seen
        return text


def words(event: Event) -> str:
    """What an event says, in one line; "" for those that only move a bar."""
    say = _WORDS.get(event.kind)
    return say(event.data) if say else ""


def _probe(data: Data) -> str:
    return "" if data.get("downtime") is None else f"answers again after {output.seconds(data['downtime'])}"


def _log(data: Data) -> str:
    level, message = data.get("level"), str(data.get("message"))
    return message if level == "info" else f"{level}: {message}"


def _step(data: Data) -> str:
    state, note = data.get("state"), data.get("note")
    if state == "started":
        return ""
    glyph = {"done": "✓", "failed": "✗", "skipped": "-"}.get(str(state), " ")
    text = f"{glyph} {data.get('step'):<14}"
    if state != "done":
        text += f" {state}"
    elif data.get("seconds") is not None:
        text += f" {output.seconds(data['seconds']):>9}"
    return text + (f"  {note}" if note else "")


_WORDS: dict[str, Callable[[Data], str]] = {
    "phase": lambda data: f"phase {data.get('phase')}",
    "step": _step,
    "probe": _probe,
    "log": _log,
    "outcome": lambda data: f"outcome {(data.get('result') or {}).get('outcome')}",
}
