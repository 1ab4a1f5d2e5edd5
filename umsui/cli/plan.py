"""``umsui plan``: a dry run, with reasons."""

from __future__ import annotations

from typing import Any

import click

from umsui.cli import output, session
from umsui.cli.request import request_of, request_options
from umsui.documents import plan_document
from umsui.model import Exit, Finding, Plan


@click.command()
@request_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--all", "everything", is_flag=True, help="Show what is in order, too.")
def plan(as_json: bool, everything: bool, **values: Any) -> Exit:
    """What a migration of SERVICE would do and cost. Changes nothing.

    SERVICE is CLUSTER/NAME, or NAME where it is unique. Says which approach and strategy would be taken and why, what
    speaks against each of the others, what preflight found, and how long it will take.

    \b
    Examples:
      umsui plan azure-lab/memhog --to gcp-lab
      umsui plan memhog --to gcp-lab --max-downtime 200ms
      umsui plan memhog --to gcp-lab --json | jq .predicted

    Exit code 0 when it could be started, 3 when something blocks it.
    """
    api = session.connect()
    session.settled(api)
    made = api.plan(request_of(values))
    if as_json:
        output.document(plan_document(made))
    else:
        click.echo(describe(made, everything=everything))
    return Exit.DONE if made.feasible else Exit.REFUSED


def describe(made: Plan, *, everything: bool = False) -> str:
    """A plan for people."""
    sizes = ", ".join(f"{name} {output.size(count)}" for name, count in made.bytes.items() if count)
    lines = [
        f"{click.style(made.service, bold=True)} from {made.source.cluster}/{made.source.node} "
        f"to {made.destination.cluster}/{made.destination.node}",
    ]
    if made.approach and made.strategy:
        lines += [
            f"  approach   {made.approach.value}-level, {made.strategy.value}: {made.reason}",
            f"  downtime   {output.interval(made.downtime.as_list() if made.downtime else None)} predicted",
            f"  total      {output.interval(made.total.as_list() if made.total else None)} predicted",
            f"  to carry   {sizes or 'next to nothing'}; {made.processes} process{'es' if made.processes != 1 else ''}",
        ]
        if made.endpoint:
            lines.append(f"  afterwards at {made.endpoint}")
    else:
        lines.append(f"  {made.reason}")
    shown = [finding for finding in made.findings if everything or not finding.ok]
    lines += ["", "preflight", *(text for finding in shown for text in finding_lines(finding))]
    if not shown:
        lines.append(f"  {click.style('✓', fg='green')} all {len(made.findings)} checks are in order")
    lines += ["", "approaches"]
    lines += _verdicts(made)
    if not made.feasible:
        lines += ["", click.style("It cannot be started as it is.", fg="red")]
    return "\n".join(lines)


def finding_lines(finding: Finding) -> list[str]:
    """One finding: what, where, why, and how to mend it."""
    glyph, colour = ("✓", "green") if finding.ok else ("✗", "red") if finding.blocking else ("!", "yellow")
    word = "ok" if finding.ok else "blocks" if finding.blocking else "note"
    lines = [f"  {click.style(f'{glyph} {word:<6}', fg=colour)} {finding.where}: {finding.what}"]
    if not finding.ok:
        lines += [
            f"             {label}: {text}" for label, text in (("why", finding.why), ("fix", finding.fix)) if text
        ]
    return lines


def _verdicts(made: Plan) -> list[str]:
    rows = []
    for verdict in made.verdicts:
        chosen = (verdict.approach, verdict.strategy) == (made.approach, made.strategy)
        rows.append(
            (
                "  " + ("→" if chosen else "✓" if verdict.feasible else "✗"),
                f"{verdict.approach.value}-level",
                verdict.strategy.value,
                f"{verdict.downtime.mid:.2f} s" if verdict.downtime else "-",
                verdict.reason,
            )
        )
    return output.table(("  ", "APPROACH", "STRATEGY", "DOWNTIME", "BECAUSE"), rows, right=(3,)).splitlines()
