"""``umsui migrate``: the main job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from umsui.cli import machines, output, session
from umsui.cli.follow import exit_of, follow
from umsui.cli.plan import describe
from umsui.cli.progress import reporter
from umsui.cli.request import request_of, request_options
from umsui.cli.session import Api
from umsui.decision.preflight import blockers
from umsui.documents import result_document
from umsui.errors import BadInput, Refused
from umsui.model import Exit, Migration, MigrationRequest, Outcome, Plan


@click.command()
@request_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--confirm", metavar="NAME", default="", help="The service's name; protected clusters ask for it.")
@click.option("--start", "start_first", is_flag=True, help="Start the destination's machine first, if it is off.")
@click.option("--detach", is_flag=True, help="Print the id at once and let it run.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON document.")
def migrate(yes: bool, confirm: str, start_first: bool, detach: bool, as_json: bool, **values: Any) -> Exit:
    """Move SERVICE, running, to another cluster, and watch it arrive with its memory.

    SERVICE is CLUSTER/NAME, or NAME where it is unique. On a terminal the plan is shown and confirmed first. Ctrl+C
    calls the migration off while it is not committed; the service then goes on at the source as if nothing had been.

    \b
    Examples:
      umsui migrate azure-lab/memhog --to gcp-lab
      umsui migrate memhog --to azure-lab --node n2 --yes
      umsui migrate memhog --to gcp-lab --max-downtime 500ms --bandwidth 400mbit
      umsui migrate memhog --to gcp-prod --start
      umsui migrate memhog --to gcp-lab --json | jq .downtime
      id=$(umsui migrate memhog --to gcp-lab --detach); umsui watch $id

    \b
    Exit codes: 0 committed · 1 rolled back, it runs at the source · 2 bad input
      3 refused by preflight · 4 unreachable · 5 state unknown · 130 cancelled
    """
    api, request = session.connect(), request_of(values)
    service, clusters = session.found(api, request.service)
    if start_first and (first := api.plan(request).start_first) is not None:
        machines.wake(api, first)
        request = replace(request, node=first.place.node)
    if output.interactive() and not yes:
        plan = _shown(api, request)
        if not click.confirm("Move it?", default=True, err=True):
            output.say("nothing was moved")
            return Exit.CANCELLED
        request = replace(request, node=plan.destination.node)  # as shown, whatever changes meanwhile
    guarded = any(cluster.protected for cluster in clusters if cluster.name in (service.cluster, request.to))
    if guarded and not confirm:
        confirm = _name(service.name, asking=output.interactive() and not yes)
    started = api.migrate(request, confirm)
    if detach:
        if as_json:
            output.document(result_document(started))
        else:
            click.echo(started.id)
        return Exit.DONE
    output.say(f"migration {started.id}")
    with reporter() as shown:
        ended = follow(api, started.id, shown.event, cancel_on_interrupt=True)
    return conclude(ended, as_json=as_json)


def _shown(api: Api, request: MigrationRequest) -> Plan:
    plan = api.plan(request)
    output.say(describe(plan))
    output.say()
    if not plan.feasible:
        found = blockers(plan.findings)
        raise Refused(found[0].what if found else plan.reason, found[0].fix if found else "", step="verify")
    return plan


def _name(name: str, *, asking: bool) -> str:
    if not asking:
        raise BadInput(
            "the cluster is protected: moves ask for the service's name", f"add `--confirm {name}`", code="protected"
        )
    typed: str = click.prompt("The cluster is protected. Type the service's name", err=True)
    return typed


def conclude(migration: Migration, *, as_json: bool) -> Exit:
    """Print how it ended and return the exit code."""
    if as_json:
        output.document(result_document(migration))
    else:
        click.echo(summary(migration))
    if migration.error and migration.outcome is not Outcome.COMMITTED:
        output.error(migration.error, as_json=False)
    return exit_of(migration)


def summary(migration: Migration) -> str:
    """A migration for people: what was predicted beside what was measured."""
    source, destination = migration.source, migration.destination
    how = f"{migration.approach.value}-level, {migration.strategy.value}"
    cost, carried = migration.overhead, migration.bytes
    lines = [
        f"{output.state(migration.outcome)}  {click.style(migration.service, bold=True)}  "
        f"{source.cluster}/{source.node} → {destination.cluster}/{destination.node}  ({how})",
    ]
    if migration.downtime is not None:
        seen = "seen by a client" if migration.downtime_source == "client" else "frozen"
        lines.append(f"  downtime   {output.seconds(migration.downtime)} {seen}{_predicted(migration, 'downtime')}")
    lines.append(f"  total      {output.seconds(cost.total)}{_predicted(migration, 'total')}")
    parts = ("creation", "checkpoint", "transfer", "restoration")
    lines.append("  of which   " + ", ".join(f"{part} {output.seconds(getattr(cost, part))}" for part in parts))
    lines.append(
        f"  carried    memory {output.size(carried.memory)}, files {output.size(carried.rootfs)}, volumes "
        f"{output.size(carried.volumes)}, image {output.size(carried.image)}; {output.size(carried.wire)} on the wire"
    )
    if migration.endpoint:
        lines.append(f"  now at     {migration.endpoint}")
    if migration.outcome in (Outcome.ROLLED_BACK, Outcome.CANCELLED, Outcome.REFUSED):
        lines.append(f"  it runs at {source.cluster}/{source.node} as before")
    return "\n".join(lines)


def _predicted(migration: Migration, what: str) -> str:
    values = migration.predicted.get(what)
    return f", predicted {output.interval(values)}" if values else ""
