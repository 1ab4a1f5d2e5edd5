"""``umsui clusters``, ``nodes`` and ``services``: the board, in lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from umsui.cli import output, session
from umsui.decision.resolve import find_cluster
from umsui.documents import plain
from umsui.model import Cluster

Command = Callable[..., Any]


def _options(command: Command) -> Command:
    command = click.option("--refresh", is_flag=True, help="Ask every node now, instead of showing what is known.")(
        command
    )
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)


def _some(clusters: Sequence[Cluster], wanted: str | None) -> list[Cluster]:
    return [find_cluster(clusters, wanted)] if wanted else list(clusters)


def _complaints(clusters: Sequence[Cluster]) -> None:
    for cluster in clusters:
        if cluster.error:
            output.say(f"{cluster.name}: {cluster.error}")
            if cluster.fix:
                output.say(f"  fix: {cluster.fix}")


@click.command()
@_options
def clusters(as_json: bool, refresh: bool) -> None:
    """All clusters, with their state and the age of what is shown.

    \b
    Examples:
      umsui clusters
      umsui clusters --json | jq -r '.[] | select(.state != "live") | .name'
    """
    found = session.settled(session.connect(), refresh=refresh)
    if as_json:
        output.document(plain(found))
        return
    if not found:
        output.say("no clusters yet. Try `umsui lab up`, or name yours in the config file that `umsui info` prints")
        return
    rows = [
        (
            cluster.name,
            cluster.provider + (" (simulated)" if cluster.simulated else ""),
            cluster.orchestrator,
            cluster.authority.value + (", protected" if cluster.protected else ""),
            output.state(cluster.state),
            output.age(cluster.age),
            str(len(cluster.nodes)),
            str(len(cluster.services)),
        )
        for cluster in found
    ]
    heads = ("CLUSTER", "PROVIDER", "ORCHESTRATOR", "AUTHORITY", "STATE", "SEEN", "NODES", "SERVICES")
    click.echo(output.table(heads, rows, right=(6, 7)))
    _complaints(found)


@click.command()
@click.option("--cluster", help="Only those of this cluster.")
@_options
def nodes(cluster: str | None, as_json: bool, refresh: bool) -> None:
    """The machines of the clusters, with what is free on them.

    \b
    Examples:
      umsui nodes
      umsui nodes --cluster azure-lab --json
    """
    found = _some(session.settled(session.connect(), refresh=refresh), cluster)
    machines = [node for each in found for node in each.nodes]
    if as_json:
        output.document(plain(machines))
        return
    rows = [
        (
            f"{node.cluster}/{node.name}",
            output.state(node.state),
            output.age(node.age),
            str(node.cores or "-"),
            output.size(node.memory or None),
            output.size(node.memory_free or None),
            f"{node.load:.2f}",
            ", ".join(f"{name} {version}" for name, version in node.software.items()),
        )
        for node in machines
    ]
    heads = ("NODE", "STATE", "SEEN", "CORES", "MEMORY", "FREE", "LOAD", "SOFTWARE")
    click.echo(output.table(heads, rows, right=(3, 4, 5, 6)))
    for node in machines:
        if node.error:
            output.say(f"{node.cluster}/{node.name}: {node.error}")


@click.command()
@click.option("--cluster", help="Only those of this cluster.")
@_options
def services(cluster: str | None, as_json: bool, refresh: bool) -> None:
    """The services that run there, and whether they can move.

    \b
    Examples:
      umsui services
      umsui services --cluster gcp-lab
      umsui services --json | jq -r '.[] | "\\(.cluster)/\\(.name) \\(.memory)"'
    """
    found = _some(session.settled(session.connect(), refresh=refresh), cluster)
    running = [service for each in found for service in each.services]
    if as_json:
        output.document(plain(running))
        return
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
    _complaints([each for each in found if each.error])
