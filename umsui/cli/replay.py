"""``umsui replay``: the recording of a migration, at its own pace or another."""

from __future__ import annotations

import sys
import time

import click

from umsui.cli import output, session
from umsui.cli.follow import exit_of
from umsui.cli.progress import Lines
from umsui.cli.session import Api
from umsui.errors import BadInput
from umsui.model import Exit, Migration


@click.command()
@click.argument("migration_id", metavar="[ID]", default="last")
@click.option("--speed", type=click.FloatRange(0.5, 20), default=1.0, show_default=True, help="Times as fast.")
def replay(migration_id: str, speed: float) -> Exit | None:
    """Play a recording in the console; without a terminal, print its events when they happened.

    ID may be shortened while it stays unique; `last` is the newest one. Nothing is asked of any node.

    \b
    Examples:
      umsui replay last
      umsui replay last --speed 10 2>&1 | cat

    Without a terminal the exit code is that of the migration.
    """
    from umsui import console  # noqa: PLC0415

    api = session.connect()
    found = api.migration(session.full_id(api, migration_id))
    if found.outcome is None:
        raise BadInput(f"{found.id} is still running", f"`umsui watch {found.id}` follows it", code="running")
    if output.interactive() and sys.stdout.isatty() and console.usable_terminal():
        code = console.run(found.id, replay=speed)
        return Exit(code) if code else None
    return _print(api, found, speed)


def _print(api: Api, migration: Migration, speed: float) -> Exit:
    """Each line when it is due."""
    output.say(f"recording of {migration.id}, {speed:g}x: {migration.service} to {migration.destination.cluster}")
    shown, began, first = Lines(), time.monotonic(), None
    for event in api.events(migration.id):
        first = event.t if first is None else first
        time.sleep(max((event.t - first) / speed - (time.monotonic() - began), 0.0))
        shown.event(event)
    return exit_of(migration)
