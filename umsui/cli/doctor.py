"""``umsui doctor``: what nodes lack."""

from __future__ import annotations

from collections.abc import Sequence

import click

from umsui.cli import output, session
from umsui.cli.plan import finding_lines
from umsui.decision.resolve import find_cluster, find_node
from umsui.documents import finding_document
from umsui.errors import BadInput
from umsui.model import Cluster, Exit


@click.command()
@click.argument("node", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--all", "everything", is_flag=True, help="Show what is in order, too.")
def doctor(node: str | None, as_json: bool, everything: bool) -> Exit:
    """What a node lacks to take part in migrations, with the command that mends it; all nodes without NODE.

    NODE is CLUSTER/NODE, or NODE where it is unique.

    \b
    Examples:
      umsui doctor
      umsui doctor azure-lab/azure-1 --all
      umsui doctor --json | jq -r '.[] | select(.ok | not) | "\\(.where): \\(.fix)"'

    Exit code 3 when something found would block a migration.
    """
    api = session.connect()
    wanted = node_key(session.settled(api, whole=True), node) if node else None
    findings = api.doctor(wanted)
    if not findings:
        raise BadInput("there is no node to look at", "`umsui init` writes a first config; `umsui lab up` makes a lab")
    if as_json:
        output.document([finding_document(finding) for finding in findings])
    else:
        bad = [finding for finding in findings if not finding.ok]
        for finding in findings if everything else bad:
            click.echo("\n".join(finding_lines(finding)))
        nodes = len({finding.where for finding in findings})
        lacks = f"{len(bad)} to look at" if bad else "all in order"
        output.say(f"{len(findings)} checks at {nodes} node{'s' if nodes != 1 else ''}, {lacks}")
    return Exit.REFUSED if any(finding.blocking and not finding.ok for finding in findings) else Exit.DONE


def node_key(clusters: Sequence[Cluster], text: str) -> str:
    """``cluster/node`` from what was typed. Raises BadInput."""
    cluster, _, name = text.rpartition("/")
    if cluster:
        return f"{cluster}/{find_node(find_cluster(clusters, cluster), name).name}"
    found = [f"{node.cluster}/{node.name}" for each in clusters for node in each.nodes if node.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"{text} is ambiguous: {', '.join(found)}", f"say which: `{found[0]}`", code="ambiguous")
    raise BadInput(f"there is no node {text}", "`umsui nodes` lists them", code="unknown-node")
