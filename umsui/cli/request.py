"""The options by which ``plan`` and ``migrate`` say what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from umsui.cli.values import DURATION, RATE
from umsui.model import Approach, MigrationRequest, Strategy

Command = Callable[..., Any]

_OPTIONS = (
    click.argument("service"),
    click.option("--to", required=True, metavar="CLUSTER", help="The cluster that it goes to."),
    click.option("--node", metavar="N", help="The node there; else the one with the most free memory."),
    click.option(
        "--approach",
        type=click.Choice([each.value for each in Approach]),
        help="How: with the platform, inside the service's container, or nested. Else the best feasible one.",
    ),
    click.option(
        "--strategy",
        type=click.Choice([each.value for each in Strategy]),
        help="How memory travels. Else the one with the least predicted downtime.",
    ),
    click.option(
        "--max-downtime", type=DURATION, metavar="S", help="Refuse or call off rather than exceed it: 0.2, 200ms."
    ),
    click.option("--bandwidth", type=RATE, metavar="R", help="Use no more of the link than this: 100mbit, 12MB/s."),
    click.option("--deadline", type=DURATION, metavar="S", help="The whole move may take this long: 30, 2min."),
)


def request_options(command: Command) -> Command:
    """SERVICE and all options of a request."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def request_of(values: dict[str, Any]) -> MigrationRequest:
    """The request that these options make."""
    approach, strategy = values.pop("approach"), values.pop("strategy")
    return MigrationRequest(
        approach=Approach(approach) if approach else None, strategy=Strategy(strategy) if strategy else None, **values
    )
