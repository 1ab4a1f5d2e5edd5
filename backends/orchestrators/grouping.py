"""Which containers of a host are one service: those with the same label, or of one compose project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from umsui.model import Service, ServiceState

LABEL = "umsui.io/service"
COMPOSE = ("com.docker.compose.project", "io.podman.compose.project")


def group_of(labels: Mapping[str, str]) -> str:
    """The name of the service that a container with these labels belongs to; "" when it is one by itself."""
    return next((labels[label] for label in (LABEL, *COMPOSE) if labels.get(label)), "")


def together(containers: Iterable[Service]) -> tuple[Service, ...]:
    """Containers that belong together as one service. A compose project of one container is that container."""
    alone: list[Service] = []
    groups: dict[str, list[Service]] = {}
    for container in containers:
        name = group_of(container.labels)
        if name:
            groups.setdefault(name, []).append(container)
        else:
            alone.append(container)
    for name, members in groups.items():
        if len(members) == 1 and not members[0].labels.get(LABEL):
            alone.append(members[0])
        else:
            alone.append(_one(name, sorted(members, key=lambda member: member.name)))
    return tuple(alone)


def _one(name: str, members: list[Service]) -> Service:
    running = [member for member in members if member.state is ServiceState.UP]
    worst = next((member for member in members if member.state is not ServiceState.UP), members[0])
    many = len(members) > 1
    obstacles = [f"{member.name}: {member.obstacle}" if many else member.obstacle for member in members]
    return replace(
        members[0],
        name=name,
        containers=tuple(member.name for member in members),
        image=", ".join(dict.fromkeys(member.image for member in members)),
        state=worst.state,
        status=f"{len(running)} of {len(members)} containers up" if many else members[0].status,
        memory=sum(member.memory for member in members),
        processes=sum(member.processes for member in members),
        ports=tuple(port for member in members for port in member.ports),
        volumes=sum(member.volumes for member in members),
        labels=dict(set.intersection(*(set(member.labels.items()) for member in members))),
        obstacle=next((text for text, member in zip(obstacles, members, strict=True) if member.obstacle), ""),
        started=min((member.started for member in running), default=0.0),
    )
