"""``umsui clusters`` and ``services``: the board, in lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from umsui.cli import export, output, session
from umsui.cli.export import FORMS
from umsui.decision.resolve import find_cluster
from umsui.documents import plain
from umsui.errors import BadInput
from umsui.model import Cluster, ClusterState, Exit

NO_CLUSTERS = "no clusters yet. `umsui lab up` makes some to try it on, `umsui init` finds yours"
Command = Callable[..., Any]


def options(command: Command) -> Command:
    """What all lists can be told."""
    command = click.option("--refresh", is_flag=True, help="Ask every node now, instead of showing what is known.")(
        command
    )
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)


def some(clusters: Sequence[Cluster], wanted: str | None) -> list[Cluster]:
    """The one that is wanted, or all. Raises BadInput."""
    return [find_cluster(clusters, wanted)] if wanted else list(clusters)


def _until(cluster: Cluster) -> str:
    return f" until {output.moment(cluster.until)[-8:]}" if cluster.until else ""


def _complaints(clusters: Sequence[Cluster]) -> None:
    for cluster in clusters:
        if cluster.error:
            output.say(f"{cluster.name}: {cluster.error}")
            if cluster.fix:
                output.say(f"  fix: {cluster.fix}")


@click.command()
@options
@click.option("--export", "form", type=click.Choice(FORMS), help="The board as picture, table or document.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the export there, not to stdout.")
def clusters(as_json: bool, refresh: bool, form: str | None = None, out: Path | None = None) -> None:
    """All clusters, with their state and the age of what is shown.

    \b
    Examples:
      umsui clusters
      umsui clusters --export svg --out board.svg
      umsui clusters --json | jq -r '.[] | select(.state != "live") | .name'
    """
    if out is not None and form is None:
        raise BadInput("--out is for an export", f"say which with --export: {', '.join(FORMS)}")
    if form is not None:
        export.write(export.board(session.connect(), form), out)
        return
    found = session.settled(session.connect(), refresh=refresh, whole=as_json)
    if as_json:
        output.document(plain(found))
        return
    if not found:
        output.say(NO_CLUSTERS)
        return
    rows = [
        (
            cluster.name,
            cluster.provider + (" (simulated)" if cluster.simulated else ""),
            cluster.orchestrator,
            cluster.authority.value + (", protected" if cluster.protected else ""),
            output.state(cluster.state) + _until(cluster),
            output.age(cluster.age),
            str(len(cluster.nodes) + cluster.more),
            str(len(cluster.services)),
        )
        for cluster in found
    ]
    heads = ("CLUSTER", "PROVIDER", "ORCHESTRATOR", "AUTHORITY", "STATE", "SEEN", "NODES", "SERVICES")
    click.echo(output.table(heads, rows, right=(6, 7)))
    _complaints(found)


@click.command()
@click.option("--cluster", help="Only those of this cluster.")
@options
def services(cluster: str | None, as_json: bool, refresh: bool) -> Exit:
    """The services that run there, and whether they can move.

    \b
    Examples:
      umsui services
      umsui services --cluster gcp-lab
      umsui services --json | jq -r '.[] | "\\(.cluster)/\\(.name) \\(.memory)"'

    Exit code 4 when no cluster can be reached at all.
    """
    found = some(session.settled(session.connect(), refresh=refresh), cluster)
    running = [service for each in found for service in each.services]
    _complaints([each for each in found if each.error])
    unreached = bool(found) and all(each.state is ClusterState.UNREACHABLE for each in found)
    if as_json:
        output.document(plain(running))
        return Exit.UNREACHABLE if unreached else Exit.DONE
    if not found:
        output.say(NO_CLUSTERS)
        return Exit.DONE
    rows = [
        (
            service.key,
            service.node,
            output.state(service.state),
            output.size(service.memory or None),
            str(service.processes or "-"),
            ", ".join(f"{port.host}/{port.protocol}" for port in service.ports) or "-",
            service.image,
            (service.obstacle and f"cannot move: {service.obstacle}")
            or (service.migration and f"in {service.migration}")
            or "",
        )
        for service in running
    ]
    heads = ("SERVICE", "NODE", "STATE", "MEMORY", "PROCESSES", "PORTS", "IMAGE", "")
    click.echo(output.table(heads, rows, right=(3, 4)))
    return Exit.UNREACHABLE if unreached else Exit.DONE
