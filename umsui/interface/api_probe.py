"""What an orchestrator's API, and umsui inside a service, tell where no agent runs on a node."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import cast

from umsui.adapters import ApiOrchestrator
from umsui.agent.host import Trouble
from umsui.core.agents import Agents
from umsui.interface.api_ends import end_of
from umsui.interface.container_level import is_nested
from umsui.interface.facts import NodeFacts, ServiceFacts
from umsui.interface.outer_ends import place_in, within
from umsui.interface.protocol import End

TRACKS_WRITES = (6, 7)  # the kernel that has PAGEMAP_SCAN
USERFAULTFD = (5, 7)  # and the one whose userfaultfd can protect against writes, where it was built in: most are


def node(end: End) -> NodeFacts:
    """What the API tells of the node. Raises Unreachable and its kinds."""
    found = dict(cast(ApiOrchestrator, end.orchestrator).node_facts(end.transport, end.place.node))
    for name in ("images", "lacking_rights"):
        found[name] = frozenset(found.get(name, ()))
    kernel = tuple(int(number) for number in re.findall(r"\d+", str(found.get("kernel", "")))[:2])
    return NodeFacts(**found, tracks_writes=kernel >= TRACKS_WRITES, userfaultfd=kernel >= USERFAULTFD,
                     clock=time.time())  # fmt: skip


def both(told: NodeFacts, seen: NodeFacts) -> NodeFacts:
    """A node that was logged in to: what its API tells outweighs what an agent sees of the orchestrator."""
    return replace(
        seen,
        orchestrator=told.orchestrator,
        orchestrator_version=told.orchestrator_version,
        containerd=seen.orchestrator_version,
        memory_free=told.memory_free,
        images=told.images | seen.images,
        lacking_rights=told.lacking_rights,
        checkpoints=told.checkpoints,
    )


def container(end: End, name: str) -> str:
    """The id of the service's container, as its node knows it. Raises BadInput."""
    return cast(ApiOrchestrator, end.orchestrator).container(end.transport, name)


def nested(end: End, name: str) -> bool:
    """Whether the service is nested in its pod: what its node sees is the outer container. Raises BadInput."""
    return is_nested(end.orchestrator.specification(end.transport, name))


def service(end: End, name: str, agents: Agents) -> ServiceFacts:
    """What umsui inside tells of the service; only of its absence, where it does not answer.

    In an outer pod it is an agent that tells, started there if ``agents`` has none. Raises Unreachable, AgentError.
    """
    elsewhere = tuple(cast(ApiOrchestrator, end.orchestrator).elsewhere(end.transport, name))
    if nested(end, name):
        if end.orchestrator.raw(end.transport, name)["State"]["Status"] != "running":
            return ServiceFacts(elsewhere=elsewhere)
        found = agents.at(place_in(end, name), within(end, name), "root").call("nested")
        return ServiceFacts(processes=int(found["processes"]), memory=int(found["memory"]), elsewhere=elsewhere)
    try:
        inside = end_of(end, name).inside.status()
    except (Trouble, ValueError) as trouble:
        return ServiceFacts(elsewhere=elsewhere, inside={"error": str(trouble)})
    return ServiceFacts(
        processes=int(inside["processes"]), memory=int(inside["memory"]), elsewhere=elsewhere, inside=inside
    )
