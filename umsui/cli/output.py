"""How things are printed: tables, states, sizes and times with their units, errors, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click

from umsui.model import ClusterState, Failure, Outcome, ServiceState

_STATES: dict[Enum, tuple[str, str]] = {
    ClusterState.CONNECTING: ("…", "yellow"),
    ClusterState.LIVE: ("●", "green"),
    ClusterState.STALE: ("◐", "yellow"),
    ClusterState.UNREACHABLE: ("✗", "red"),
    ClusterState.FORBIDDEN: ("⊘", "red"),
    ClusterState.EXPIRED: ("⊘", "red"),
    ClusterState.THROTTLED: ("◐", "yellow"),
    ClusterState.EMPTY: ("○", "blue"),
    ClusterState.LISTED: ("·", "blue"),
    ClusterState.STOPPED: ("○", "white"),
    ServiceState.UP: ("●", "green"),
    ServiceState.PAUSED: ("◐", "yellow"),
    ServiceState.STOPPED: ("○", "white"),
    ServiceState.MOVING: ("→", "cyan"),
    ServiceState.ARRIVING: ("←", "cyan"),
    Outcome.COMMITTED: ("✓", "green"),
    Outcome.ROLLED_BACK: ("↶", "yellow"),
    Outcome.CANCELLED: ("○", "yellow"),
    Outcome.REFUSED: ("⊘", "red"),
    Outcome.UNKNOWN: ("?", "red"),
}


def interactive() -> bool:
    """Whether there is somebody to ask: both ends of the conversation are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def document(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def line(value: Any) -> None:
    """One JSON object on a line of its own, seen at once."""
    click.echo(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def say(text: str = "") -> None:
    """A diagnostic, on stderr."""
    click.echo(text, err=True)


def error(failure: Failure, *, as_json: bool) -> None:
    """What went wrong, where, and how to mend it."""
    if as_json:
        document({"error": asdict(failure)})
    say(f"{click.style('error', fg='red', bold=True)}: {failure.message}")
    if failure.step:
        say(f"  at: {failure.step}")
    if failure.fix:
        say(f"  fix: {failure.fix}")


def state(value: ClusterState | ServiceState | Outcome | None) -> str:
    """Glyph and word: colour is never the only sign."""
    if value is None:
        return click.style("→ running", fg="cyan")
    glyph, colour = _STATES[value]
    return click.style(f"{glyph} {value.value}", fg=colour)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Aligned columns; those whose numbers are in ``right`` end at the same place."""
    cells = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(click.unstyle(row[column])) for row in cells) for column in range(len(headers))]
    ending = set(right)
    lines = []
    for number, row in enumerate(cells):
        padded = []
        for column, cell in enumerate(row):
            space = " " * (widths[column] - len(click.unstyle(cell)))
            text = click.style(cell, dim=True) if number == 0 else cell
            padded.append(space + text if column in ending else text + space)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def size(count: float | None) -> str:
    """``64.0 MiB``; "-" for what is not known."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds(value: float | None) -> str:
    """``310 ms``, ``2.41 s``, ``3 min 20 s``; "-" for what is not known."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def interval(values: Sequence[float] | None) -> str:
    """``0.66 s (0.46 - 1.12 s)``."""
    if not values or len(values) != 3:
        return "-"
    low, mid, high = values
    return f"{mid:.2f} s ({low:.2f} - {high:.2f} s)"


def age(value: float) -> str:
    """How long ago something was seen."""
    return "now" if value < 1 else f"{value:.0f} s ago" if value < 120 else f"{value / 60:.0f} min ago"


def moment(unix: float) -> str:
    """A point in time, in the local zone."""
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if unix else "-"
