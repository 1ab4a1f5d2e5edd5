"""``umsui coordinator``: the process that runs migrations."""

from __future__ import annotations

import click

from umsui.cli import output, session
from umsui.errors import Unreachable
from umsui.model import Exit


@click.group()
def coordinator() -> None:
    """The process that runs migrations and remembers them. Other commands start it when it is needed.

    \b
    Examples:
      umsui coordinator status
      umsui coordinator run        # in the foreground, for a service manager
      umsui coordinator stop
    """


@coordinator.command()
def run() -> Exit | None:
    """Run it in the foreground, until it is told to stop."""
    from umsui.coordinator.__main__ import main  # noqa: PLC0415

    code = main()
    return Exit(code) if code else None


@coordinator.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(as_json: bool) -> Exit:
    """Whether one runs, since when, and on which config. Exit code 4 when none does."""
    try:
        found = session.connect(start=False).info()
    except Unreachable:
        if as_json:
            output.document({"running": False})
        else:
            click.echo("no coordinator runs; any command that needs one starts it")
        return Exit.UNREACHABLE
    if as_json:
        output.document({"running": True, **found})
        return Exit.DONE
    click.echo(f"running     pid {found.get('pid')}, umsui {found.get('version')}")
    click.echo(f"since       {output.moment(float(found.get('started') or 0))}")
    for name in ("config", "data", "recordings"):
        click.echo(f"{name:<11} {found.get(name) or '-'}")
    click.echo(f"migrations  {found.get('migrations_running', 0)} running")
    return Exit.DONE


@coordinator.command()
@click.option("--force", is_flag=True, help="Also while migrations run; they are taken up at the next start.")
def stop(force: bool) -> None:
    """Stop it. Refused while migrations run, unless --force."""
    try:
        session.connect(start=False).shutdown(force=force)
    except Unreachable:
        output.say("no coordinator runs")
        return
    output.say("the coordinator has stopped")
