"""What ``--export`` writes: a picture of the console, a table, or a document."""

from __future__ import annotations

from pathlib import Path

import click

from umsui import exports
from umsui.cli import output, session
from umsui.cli.session import Api
from umsui.errors import BadInput

FORMS = ("svg", *exports.FORMS)


def migrations(api: Api, migration_id: str | None, form: str) -> str:
    """One of them, or all. Raises BadInput for a picture of all."""
    if migration_id is None:
        if form == "svg":
            raise BadInput("a picture shows one migration", "name its ID, or `last`", code="usage")
        return exports.migrations(api.migrations(), form)
    found = api.migration(session.full_id(api, migration_id))
    if form == "svg":
        return _picture(found.id)
    if found.outcome is None:
        raise BadInput(f"{found.id} is still running", f"`umsui watch {found.id}` follows it", code="running")
    return exports.migration(found, list(api.events(found.id)), form)


def board(api: Api, form: str) -> str:
    """What runs where."""
    return _picture(None) if form == "svg" else exports.board(session.settled(api, whole=True), form)


def _picture(migration_id: str | None) -> str:
    from umsui.console.picture import picture  # noqa: PLC0415  (Textual is imported only when it is needed)

    return picture(migration_id)


def write(text: str, out: Path | None) -> None:
    """Onto stdout, or into a file. Raises BadInput when that cannot be written."""
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror}", "choose another place with --out") from error
    output.say(f"wrote {out}")
