"""A service of several containers, as one: its specification, and which of them carries what they share."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from umsui.interface.protocol import End
from umsui.model import Mount, Specification


def specification(end: End, service: str, containers: Sequence[str]) -> Specification:
    """What the service is made of; ``containers`` as in ``umsui.model.Service``. Raises BadInput, Unreachable."""
    if not containers:
        return end.orchestrator.specification(end.transport, service)
    with ThreadPoolExecutor(len(containers)) as pool:
        found = list(pool.map(lambda name: end.orchestrator.specification(end.transport, name), containers))
    return assembled(service, found)


def assembled(service: str, parts: Sequence[Specification]) -> Specification:
    """The containers' specifications as the service's."""
    return Specification(
        name=service,
        image=", ".join(dict.fromkeys(part.image for part in parts)),
        labels=dict(set.intersection(*(set(part.labels.items()) for part in parts))),
        annotations=parts[0].annotations,
        ports=tuple(port for part in parts for port in part.ports),
        mounts=tuple(mount for part in parts for mount in part.mounts),
        tty=any(part.tty for part in parts),
        parts=tuple(parts),
    )


def shared(parts: Sequence[Specification]) -> list[frozenset[str]]:
    """For each part, the volumes and bound paths that an earlier one carries already."""
    seen: set[str] = set()
    found = []
    for part in parts:
        own = {mount.source for mount in part.mounts if mount.kind in ("volume", "bind")}
        found.append(frozenset(own & seen))
        seen |= own
    return found


def users(parts: Sequence[Specification], mount: Mount) -> list[tuple[int, str]]:
    """The other places of what is mounted: the number of the part, and where it has it."""
    return [
        (number, other.destination)
        for number, part in enumerate(parts)
        for other in part.mounts
        if (other.kind, other.source) == (mount.kind, mount.source)
    ]
