"""``umsui migrations``, ``watch`` and ``cancel``: what was moved and what is being moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from umsui.cli import export, output, session
from umsui.cli.export import FORMS
from umsui.cli.follow import Feed, exit_of, follow
from umsui.cli.migrate import conclude, summary
from umsui.cli.progress import reporter
from umsui.cli.session import Api
from umsui.cli.trace import trace_table
from umsui.documents import plain, result_document
from umsui.model import Event, Exit, Migration
from umsui.traces import spans, trace_document


@click.command()
@click.argument("migration_id", metavar="[ID]", required=False)
@click.option("--trace", is_flag=True, help="Each step with its start and duration, and when the service stood still.")
@click.option("--export", "form", type=click.Choice(FORMS), help="For whatever comes after umsui.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the export there, not to stdout.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def migrations(migration_id: str | None, trace: bool, form: str | None, out: Path | None, as_json: bool) -> None:
    """Past and running migrations, newest first; or all that is known of one.

    ID may be shortened while it stays unique; `last` is the newest one.

    \b
    Examples:
      umsui migrations
      umsui migrations last --trace
      umsui migrations last --export svg --out moved.svg
      umsui migrations --json | jq '[.[] | select(.outcome == "committed") | .downtime] | add / length'
    """
    api = session.connect()
    if form is not None:
        export.write(export.migrations(api, migration_id, form), out)
        return
    if migration_id is None:
        if trace:
            raise click.UsageError("--trace needs the ID of a migration", click.get_current_context())
        _list(api, as_json=as_json)
        return
    found = api.migration(session.full_id(api, migration_id))
    if trace:
        _trace(api, found, as_json=as_json)
    elif as_json:
        output.document(_document(found))
    else:
        click.echo(summary(found))
        click.echo(f"  started    {output.moment(found.started)}")
        click.echo(f"  because    {found.reason}")
        if found.error:
            output.error(found.error, as_json=False)


def _document(migration: Migration) -> dict[str, Any]:
    more = {"started": migration.started, "finished": migration.finished}
    where = {"phase": migration.phase, "step": migration.step, "cancellable": migration.cancellable}
    return {**result_document(migration), **more, **plain(where)}


def _list(api: Api, *, as_json: bool) -> None:
    known = api.migrations()
    if as_json:
        output.document([_document(each) for each in known])
        return
    if not known:
        output.say("nothing has been moved yet. `umsui migrate SERVICE --to CLUSTER` does")
        return
    rows = [
        (
            each.id,
            output.moment(each.started),
            each.service,
            f"{each.source.cluster}/{each.source.node} → {each.destination.cluster}/{each.destination.node}",
            f"{each.approach.value}, {each.strategy.value}",
            output.state(each.outcome) if each.outcome else output.state(None) + f" ({each.step.value})",
            output.seconds(each.downtime),
            f"{each.predicted['downtime'][1]:.2f} s" if each.predicted.get("downtime") else "-",
            output.seconds(each.overhead.total or None),
        )
        for each in known
    ]
    heads = ("ID", "STARTED", "SERVICE", "FROM → TO", "HOW", "OUTCOME", "DOWNTIME", "PREDICTED", "TOTAL")
    click.echo(output.table(heads, rows, right=(6, 7, 8)))


def _trace(api: Api, migration: Migration, *, as_json: bool) -> None:
    if migration.outcome is None:
        output.say("it is still running; the trace follows when it has ended")
    found = spans(Feed(api, migration.id))
    if as_json:
        output.document({"id": migration.id, "downtime": migration.downtime, **trace_document(found)})
    else:
        click.echo(trace_table(found))


@click.command()
@click.argument("migration_id", metavar="[ID]", default="last")
@click.option("--json", "as_json", is_flag=True, help="Every event, one JSON object a line.")
def watch(migration_id: str, as_json: bool) -> Exit:
    """Follow a migration live, from its first event to its outcome. Ctrl+C stops watching, not the migration.

    ID may be shortened while it stays unique; without one, or with `last`, the newest is followed.

    \b
    Examples:
      umsui watch last
      umsui watch last --json | jq -c 'select(.kind == "step")'

    The exit code is that of the migration, as with `umsui migrate`.
    """
    api = session.connect()
    wanted = session.full_id(api, migration_id)
    if as_json:
        return exit_of(follow(api, wanted, _line, cancel_on_interrupt=False))
    with reporter() as shown:
        ended = follow(api, wanted, shown.event, cancel_on_interrupt=False)
    return conclude(ended, as_json=False)


def _line(event: Event) -> None:
    output.line(plain(event.flat()))


@click.command()
@click.argument("migration_id", metavar="ID")
def cancel(migration_id: str) -> None:
    """Call a migration off before it commits; the service goes on at the source, with its memory.

    After commit it is too late: the service runs at its destination. Migrate it back instead.

    \b
    Examples:
      umsui cancel last
    """
    api = session.connect()
    wanted = session.full_id(api, migration_id)
    api.cancel(wanted)
    output.say(f"{wanted} is being called off; `umsui watch {wanted}` follows it")


@click.command()
@click.argument("migration_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: the migration as it has ended now.")
def resolve(migration_id: str, as_json: bool) -> Exit:
    """Take up again a migration whose outcome is unknown (exit code 5), when its cause is mended.

    Both ends are looked at; it is finished or undone by what had been decided. Where the nodes know nothing of it any
    more, what runs where tells how it ended.

    \b
    Examples:
      umsui resolve last

    The exit code is that of the migration, as with `umsui migrate`.
    """
    api = session.connect()
    wanted = session.full_id(api, migration_id)
    api.resolve(wanted)
    with reporter() as shown:
        ended = follow(api, wanted, shown.event, cancel_on_interrupt=False)
    return conclude(ended, as_json=as_json)
