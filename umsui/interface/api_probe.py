"""What an orchestrator's API, and umsui inside a service, tell where no agent runs on a node."""

from __future__ import annotations

import time
from typing import cast

from umsui.adapters import ApiOrchestrator
from umsui.agent.host import Trouble
from umsui.interface.api_ends import end_of
from umsui.interface.facts import NodeFacts, ServiceFacts
from umsui.interface.protocol import End


def node(end: End) -> NodeFacts:
    """What the API tells of the node. Raises Unreachable and its kinds."""
    found = dict(cast(ApiOrchestrator, end.orchestrator).node_facts(end.transport, end.place.node))
    for name in ("images", "lacking_rights"):
        found[name] = frozenset(found.get(name, ()))
    return NodeFacts(**found, clock=time.time())


def service(end: End, name: str) -> ServiceFacts:
    """What umsui inside tells of the service; only of its absence, where it does not answer."""
    elsewhere = tuple(cast(ApiOrchestrator, end.orchestrator).elsewhere(end.transport, name))
    try:
        inside = end_of(end, name).inside.status()
    except (Trouble, ValueError) as trouble:
        return ServiceFacts(elsewhere=elsewhere, inside={"error": str(trouble)})
    return ServiceFacts(
        processes=int(inside["processes"]), memory=int(inside["memory"]), elsewhere=elsewhere, inside=inside
    )
