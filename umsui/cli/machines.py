"""``umsui nodes`` and what can be done with their machines; ``umsui kubeconfig``."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import click

from umsui.cli import output, session
from umsui.cli.inventory import options, some
from umsui.cli.session import Api
from umsui.documents import plain
from umsui.errors import TimedOut, UmsuiError
from umsui.model import ClusterState, Exit, Node, Operation, StartFirst

LOOK = 0.5  # seconds between two looks at an operation
ANSWERS = 180.0  # seconds until a machine that has started must answer over SSH


@click.group(invoke_without_command=True)
@click.option("--cluster", help="Only those of this cluster.")
@options
@click.pass_context
def nodes(ctx: click.Context, cluster: str | None, as_json: bool, refresh: bool) -> None:
    """The machines of the clusters, with what is free on them; start and stop those of a cloud.

    \b
    Examples:
      umsui nodes
      umsui nodes --cluster azure-lab --json
      umsui nodes start azure-prod/web-1
      umsui nodes stop azure-prod/web-1 --json
    """
    if ctx.invoked_subcommand is not None:
        return
    found = some(session.settled(session.connect(), refresh=refresh, whole=True), cluster)
    machines = [node for each in found for node in each.nodes]
    if as_json:
        output.document(plain(machines))
        return
    heads = ("NODE", "STATE", "SEEN", "CORES", "MEMORY", "FREE", "LOAD", "MACHINE", "SOFTWARE")
    click.echo(output.table(heads, [_row(node) for node in machines], right=(3, 4, 5, 6)))
    for node in machines:
        if node.error:
            output.say(f"{node.cluster}/{node.name}: {node.error}")


def _row(node: Node) -> tuple[str, ...]:
    machine = node.machine
    about = (machine.power.value, machine.size, machine.zone or machine.region) if machine else ()
    spot = ("spot",) if machine and machine.price == "spot" else ()
    asked = node.state not in (ClusterState.LISTED, ClusterState.STOPPED)
    return (
        f"{node.cluster}/{node.name}",
        output.state(node.state),
        output.age(node.age) if asked else "-",
        str(node.cores or "-"),
        output.size(node.memory or None),
        output.size(node.memory_free or None),
        f"{node.load:.2f}" if asked and node.cores else "-",
        " ".join(part for part in (*about, *spot) if part) or "-",
        ", ".join(f"{name} {version}" for name, version in node.software.items()),
    )


@nodes.command()
@click.argument("node", metavar="CLUSTER/NODE")
@click.option("--detach", is_flag=True, help="Print the operation's id at once and let it run.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON document.")
def start(node: str, detach: bool, as_json: bool) -> Exit:
    """Start a machine, and wait until its cloud says that it runs. Ctrl+C switches it off again."""
    api = session.connect()
    session.settled(api)
    return _conclude(api, api.switch(node, "start"), detach=detach, as_json=as_json)


@nodes.command()
@click.argument("node", metavar="CLUSTER/NODE")
@click.option("--force", is_flag=True, help="Though services run there, or the cluster is protected.")
@click.option("--detach", is_flag=True, help="Print the operation's id at once and let it run.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON document.")
def stop(node: str, force: bool, detach: bool, as_json: bool) -> Exit:
    """Stop a machine so that it is paid for no longer (Azure: deallocate). Ctrl+C starts it again.

    Refused while services run there, unless --force.
    """
    api = session.connect()
    session.settled(api)
    return _conclude(api, api.switch(node, "stop", force=force), detach=detach, as_json=as_json)


@nodes.command()
@click.argument("operation")
def cancel(operation: str) -> None:
    """Call a start or stop off: the machine is switched back."""
    called_off = session.connect().cancel_operation(operation)
    place = called_off.place
    click.echo(f"{place.cluster}/{place.node} is being switched back")


@nodes.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def operations(as_json: bool) -> None:
    """Machines being started and stopped, and the last that were."""
    found = session.connect().operations()
    if as_json:
        output.document(plain(found))
        return
    rows = [
        (each.id, f"{each.place.cluster}/{each.place.node}", each.action, each.state, output.moment(each.started))
        for each in found
    ]
    click.echo(output.table(("ID", "NODE", "ACTION", "STATE", "STARTED"), rows))


def _conclude(api: Api, begun: Operation, *, detach: bool, as_json: bool) -> Exit:
    ended = begun if detach else follow(api, begun)
    if as_json:
        output.document(plain(ended))
    elif detach:
        click.echo(ended.id)
    else:
        took = (ended.finished or 0.0) - ended.started
        click.echo(f"{ended.place.cluster}/{ended.place.node}: {ended.action} {ended.state} ({output.seconds(took)})")
    if ended.error is not None:
        output.error(ended.error, as_json=False)
    return {"failed": Exit.ROLLED_BACK, "cancelled": Exit.CANCELLED}.get(ended.state, Exit.DONE)


def follow(api: Api, begun: Operation) -> Operation:
    """Tell what goes on until it has ended; Ctrl+C calls it off and goes on following."""
    name, told = f"{begun.place.cluster}/{begun.place.node}", ""
    if begun.expected:
        output.say(f"{name}: {begun.action}, about {output.interval(begun.expected.as_list())}")
    with _interrupts() as pressed:
        while True:
            now = api.operation(begun.id)
            if now.state != "running":
                return now
            done = f" {100 * now.progress:.0f} %" if now.progress else ""
            words = f"{now.note}{done}"
            if words != told and now.note:
                output.say(f"{name}: {words}, {output.seconds(time.time() - begun.started)}")
                told = words
            if pressed and pressed[0] == 1:
                pressed[0] = 2
                output.say(f"{name}: called off, it is being switched back")
                with contextlib.suppress(UmsuiError):  # it has ended just now: the next look tells how
                    api.cancel_operation(begun.id)
            time.sleep(LOOK)


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Ctrl+C sets the list's only item to 1 instead of ending us; a second one ends us."""
    pressed = [0]

    def press(number: int, frame: Any) -> None:  # noqa: ARG001
        if pressed[0]:
            raise KeyboardInterrupt
        pressed[0] = 1

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def wake(api: Api, first: StartFirst) -> None:
    """Start the destination and wait until it answers over SSH. Raises UmsuiError when it does not."""
    name = f"{first.place.cluster}/{first.place.node}"
    ended = follow(api, api.switch(name, "start"))
    if ended.state != "done":
        raise (
            UmsuiError(f"{name} was not started", code="node-stopped")
            if ended.error is None
            else UmsuiError(ended.error.message, ended.error.fix, step="start", code=ended.error.code)
        )
    end = time.monotonic() + ANSWERS
    while time.monotonic() < end:
        for node in (
            node for cluster in api.board(whole=False) if cluster.name == first.place.cluster for node in cluster.nodes
        ):
            if node.name == first.place.node and node.state is ClusterState.LIVE:
                return
        time.sleep(LOOK)
    raise TimedOut(f"{name} runs, but does not answer over SSH after {ANSWERS:g} s", f"umsui doctor {name}")


@click.command()
@click.argument("cluster")
def kubeconfig(cluster: str) -> None:
    """Credentials for a managed Kubernetes cluster, fetched now, printed, and kept nowhere.

    \b
    Examples:
      umsui kubeconfig aks-eu-prod > kube && kubectl --kubeconfig kube get pods
    """
    api = session.connect()
    session.settled(api)
    click.echo(api.kubeconfig(cluster), nl=False)
