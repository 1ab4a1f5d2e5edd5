"""A podman host's survey: how podman lists its containers, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.orchestrators.grouping import together
from backends.orchestrators.survey import STATES, Survey, obstacle, script
from umsui.model import Port, Service, ServiceState

SCRIPT = script("podman", "libpod-", "podman ps --all --pod --format json")


def services_of(survey: Survey, cluster: str, node: str) -> tuple[Service, ...]:
    """The containers as services, without the infra containers of pods; those that belong together as one."""
    return together(_service(each, survey, cluster, node) for each in survey.containers if not each.get("IsInfra"))


def _service(container: Mapping[str, Any], survey: Survey, cluster: str, node: str) -> Service:
    identity = str(container.get("Id", ""))
    word = str(container.get("State", "")).lower()
    state = STATES.get(word, ServiceState.STOPPED)
    names = container.get("Names") or [identity[:12]]
    started = _started(container) if state is not ServiceState.STOPPED else 0.0
    labels = {str(key): str(value) for key, value in (container.get("Labels") or {}).items()}
    return Service(
        cluster=cluster,
        node=node,
        name=str(names[0]),
        id=identity,
        image=str(container.get("Image", "")),
        state=state,
        status=_status(container, word),
        memory=survey.memory.get(identity, 0),
        processes=survey.processes.get(identity, 0),
        ports=_ports(container.get("Ports") or ()),
        volumes=len(container.get("Mounts") or ()),
        labels=labels,
        obstacle=_obstacle(container, state),
        started=started,
    )


def _started(container: Mapping[str, Any]) -> float:
    """When it began to run here: podman does not know that of one that it restored, but it was created just before."""
    return float(max(0, container.get("StartedAt") or 0) or max(0, container.get("Created") or 0))


def _status(container: Mapping[str, Any], word: str) -> str:
    """Podman's own words, without the age of what it does not know the start of: a container restored from docker is
    "Up 292 years" to it, counted from the year 1."""
    status = str(container.get("Status") or word)
    known = float(container.get("StartedAt") or 0) > 0
    return status if known or not status.startswith("Up ") else "Up"


def _ports(ports: Any) -> tuple[Port, ...]:
    found = []
    for each in ports:
        address = "" if each.get("host_ip") in (None, "", "0.0.0.0") else str(each["host_ip"])  # noqa: S104
        for protocol in str(each.get("protocol") or "tcp").split(","):
            for offset in range(int(each.get("range") or 1)):
                host, inside = int(each["host_port"]) + offset, int(each["container_port"]) + offset
                found.append(Port(host, inside, protocol, address))
    return tuple(found)


def _obstacle(container: Mapping[str, Any], state: ServiceState) -> str:
    if container.get("Pod"):
        return f"part of pod {container.get('PodName') or container['Pod'][:12]}: moving pods is not supported yet"
    return obstacle(state)
