"""``umsui init``: a first config, from what is on this machine already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from umsui import config, discovery, locations
from umsui.cli import output
from umsui.discovery import Proposal
from umsui.errors import BadInput
from umsui.model import Exit


@click.command()
@click.option("--yes", is_flag=True, help="Take everything that was found, and write it without asking.")
@click.option("--force", is_flag=True, help="Replace a config that is there; the old one is kept beside it as .bak.")
def init(yes: bool, force: bool) -> Exit | None:
    """Find what could be a cluster (ssh_config, kubeconfig, docker contexts, cloud logins) and write the config.

    Shows the file before it writes it, and overwrites nothing unasked. Nothing is connected to: `umsui doctor`
    does that afterwards. Without a terminal it prints the file; with --yes it writes it.

    \b
    Examples:
      umsui init
      umsui init > config.toml
      umsui init --yes && umsui doctor
    """
    path = locations.config_file()
    found = discovery.proposals()
    _tell(found)
    if not found:
        output.say("`umsui lab up` makes three clusters of real hosts on this machine, to try it on")
        return Exit.USAGE
    asking = output.interactive() and not yes
    taken = [each for each in found if not asking or _wanted(each)]
    text = discovery.document(taken)
    if not asking and not yes:
        click.echo(text, nl=False)
        return None
    output.say(f"\n{path}:\n\n{text}")
    if asking and not click.confirm("Write it?", default=True, err=True):
        raise click.Abort
    _write(path, text, force=force or (asking and path.exists() and _replace(path)))
    output.say(f"wrote {path}; `umsui doctor` tells what the nodes lack, `umsui` opens the console")
    return None


def _tell(found: Sequence[Proposal]) -> None:
    if not found:
        output.say("nothing was found: no hosts in ssh_config, no kubeconfig, no docker context, no cloud login")
    for each in found:
        output.say(f"found {each.name}: {each.what} ({each.where})")


def _wanted(each: Proposal) -> bool:
    return click.confirm(f"Take {each.name} ({each.what})?", default=True, err=True)


def _replace(path: Path) -> bool:
    return click.confirm(
        f"{path} is there already. Replace it (it is kept as {path.name}.bak)?", default=False, err=True
    )


def _write(path: Path, text: str, *, force: bool) -> None:
    """Raises BadInput when there is one already."""
    if path.exists() and not force:
        fix = "`umsui init --force` replaces it and keeps the old one beside it; `umsui init > FILE` writes elsewhere"
        raise BadInput(f"{path} is there already", fix, code="config-exists")
    locations.ensure(path.parent)
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    try:
        config.load(fresh)  # what we write, we must understand
    except BadInput:
        fresh.unlink()
        raise
    if path.exists():
        path.replace(path.with_name(f"{path.name}.bak"))
    fresh.replace(path)
