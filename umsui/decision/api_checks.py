"""Preflight where an end is a cluster with an API of its own: what it lets us do, and what goes along."""

from __future__ import annotations

import re
from collections.abc import Iterator

from umsui.decision import mount_checks as mounts
from umsui.decision import pair_checks as pair
from umsui.decision import service_checks as service
from umsui.decision.situation import Situation, blocking, good, name, size, warning
from umsui.interface.container_level import is_nested
from umsui.model import Finding, Specification

OF_THE_APIS = ("route", "image")  # what is so only where everything goes through the APIs
IN_A_REGISTRY = {
    False: "push it to a registry that both ends reach, and run the service from there",
    True: "deploy it from `umsui image build --approach container REGISTRY/NAME:TAG`: docs/kubernetes.md",
}
CHECKS = (service.state, service.terminal, service.unsupported, pair.architecture)


def findings(case: Situation) -> Iterator[Finding]:
    """All of them, in a fixed order."""
    for where, node in case.ends:
        yield from rights(where, node.lacking_rights)
    for check in CHECKS:
        yield from check(case)
    if case.source_node.orchestrator != case.destination_node.orchestrator:
        yield from across(case)
    if case.destination_node.orchestrator != "kubernetes":
        yield from service.ports(case)
        yield from service.name_free(case)
        yield from mounts.volumes(case)
    yield from image(case)
    yield from volumes(case)
    yield from memory(case)
    yield way(case)


def rights(where: str, lacking: frozenset[str]) -> Iterator[Finding]:
    """Whether the credentials allow what a move has to ask for."""
    if not lacking:
        yield good("rights", "the credentials allow all that a move asks for", where)
    for right in sorted(lacking):
        fix = f"ask for a role with `{right}`: docs/kubernetes.md has one"
        yield blocking("rights", f"the credentials do not allow `{right}`", "the move has to", fix, where)


def across(case: Situation) -> Iterator[Finding]:
    """What the other kind of orchestrator has no word for."""
    here, there = case.source_node.orchestrator, case.destination_node.orchestrator
    if "/" in case.service.name:
        what = f"it is in the namespace {case.service.name.partition('/')[0]}, which {there} has none of"
        yield blocking(
            "namespace", what, "its name would be another one", "move it from the context's own", case.service.key
        )
    found = case.facts.elsewhere if here == "kubernetes" else tuple(of_an_engine(case.specification))
    why, fix = f"{there} has no counterpart for it", "run it without, or stay with one kind of orchestrator"
    for forbids, what in found:
        yield (blocking if forbids else warning)("counterpart", what, why, fix, case.service.key)
    if not found:
        yield good("counterpart", f"{there} has a counterpart for all its settings", case.service.key)


def of_an_engine(spec: Specification) -> Iterator[tuple[bool, str]]:
    """What of a container a pod cannot have, in words; whether that forbids the move."""
    for mount in spec.mounts:
        if mount.kind == "bind":
            yield True, f"it has {mount.source} of its host bound to {mount.destination}"
    if spec.network == "host":
        yield True, "it is in its host's network"
    if spec.privileged:
        yield True, "it is privileged"
    if spec.user and not all(part.isdigit() for part in spec.user.split(":")):
        yield True, f"its user {spec.user} is a name: a pod wants a number"
    published = [f"{port.host}/{port.protocol}" for port in spec.ports]
    if published:
        yield False, f"its published ports ({', '.join(published)}) are the pod's own there: a Service leads to them"
    if spec.health:
        yield False, "its health check is not carried: a pod's probes are another thing"
    limits = (("ulimits", spec.ulimits), ("process limit", spec.pids_limit), ("size of /dev/shm", spec.shm_size))
    for what, value in limits:
        if value:
            yield False, f"its {what} is the node's there"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", spec.name):
        yield True, f"{spec.name} can be no pod's name"


def image(case: Situation) -> Iterator[Finding]:
    """The kubelet gets the image by its name."""
    wanted, where = case.specification.image, name(case.destination)
    if case.destination_node.orchestrator != "kubernetes":
        return  # its engine is asked for it by name when the container is created
    if wanted in case.destination_node.images:
        yield good("image", f"{wanted} is there", where)
    elif wanted.startswith("localhost/"):
        why = "a kubelet gets images by their names, and this one's leads nowhere, unless its node has a mirror for it"
        yield warning("image", f"{wanted} is the host's own", why, IN_A_REGISTRY[is_nested(case.specification)], where)
    else:
        why = "it must be in a registry that the destination's nodes reach"
        yield warning("image", f"{wanted} is pulled by the destination's kubelet", why, "nothing, if it is", where)


def volumes(case: Situation) -> Iterator[Finding]:
    """Claims are made anew, and their data goes along."""
    named = case.specification.volumes
    count = f"{len(named)} volume{'s' if len(named) > 1 else ''} will go along" if named else "no volumes"
    yield good("volumes", count, case.service.key)


def memory(case: Situation) -> Iterator[Finding]:
    """The destination's node has not given away what the service takes."""
    need, free, where = case.checkpoint_bytes, case.destination_node.memory_free, name(case.destination)
    if free and free < need:
        what = f"{size(free)} of memory can still be had, {size(need)} needed"
        yield blocking("memory", what, "the kubelet would end it, or not start it", "choose another node", where)


def way(case: Situation) -> Finding:
    """Through whom memory and files go."""
    where = f"{name(case.source)} → {name(case.destination)}"
    return good("route", "memory and files go through both APIs and the coordinator", where)
