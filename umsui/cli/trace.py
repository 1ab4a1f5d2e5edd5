"""The trace of a migration, for people."""

from __future__ import annotations

import click

from umsui.cli import output
from umsui.traces import Span, frozen_seconds, phase


def trace_table(found: list[Span]) -> str:
    """The trace for people, in milliseconds."""
    rows = [
        (
            phase(span.step),
            span.step,
            f"{span.start * 1000:.1f}",
            "-" if span.seconds is None else f"{span.seconds * 1000:.1f}",
            click.style("❄ frozen", fg="cyan") if span.frozen else "",
            span.state if span.state != "done" else "",
            span.note,
        )
        for span in found
    ]
    text = output.table(("PHASE", "STEP", "START ms", "TOOK ms", "", "", ""), rows, right=(2, 3))
    return f"{text}\n\nfrozen for {frozen_seconds(found) * 1000:.1f} ms"
