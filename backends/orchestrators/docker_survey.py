"""A docker host's survey: how docker lists its containers, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.orchestrators.grouping import together
from backends.orchestrators.survey import STATES, Survey, obstacle, script
from umsui.model import Port, Service, ServiceState

# The CLI's own listing has labels and ports as text that cannot be taken apart again; the API's is JSON. `docker
# inspect` would wait for a container that is just being started, and a restore holds one there.
_LIST = r"""
list() {
  command -v docker >/dev/null || return 127
  request='GET /containers/json?all=1 HTTP/1.0\r\nHost: docker\r\n\r\n'
  answer=$(printf "$request" | docker system dial-stdio) || return 1
  case $answer in
  'HTTP/1.0 200'*) printf '%s\n' "$answer" | sed "1,/^$(printf '\r')*\$/d" ;;
  *) printf '%s\n' "$answer" >&2; return 1 ;;
  esac
}
list"""

SCRIPT = script("docker", "docker[-/]", _LIST)


def services_of(survey: Survey, cluster: str, node: str) -> tuple[Service, ...]:
    """The containers as services; those that belong together as one."""
    return together(_service(each, survey, cluster, node) for each in survey.containers)


def _service(container: Mapping[str, Any], survey: Survey, cluster: str, node: str) -> Service:
    identity = str(container["Id"])
    state = STATES.get(str(container.get("State", "")).lower(), ServiceState.STOPPED)
    return Service(
        cluster=cluster,
        node=node,
        # A container that is linked to another has further names, with a slash in them.
        name=next((name[1:] for name in container.get("Names") or () if "/" not in name[1:]), identity[:12]),
        id=identity,
        image=str(container.get("Image", "")),
        state=state,
        status=str(container.get("Status") or container.get("State", "")),
        memory=survey.memory.get(identity, 0),
        processes=survey.processes.get(identity, 0),
        ports=_ports(container.get("Ports") or ()),
        volumes=sum(mount.get("Type") == "volume" for mount in container.get("Mounts") or ()),
        labels={str(key): str(value) for key, value in (container.get("Labels") or {}).items()},
        obstacle=obstacle(state),
    )


def _ports(ports: Any) -> tuple[Port, ...]:
    """Those that are published; docker names each once for IPv4 and once for IPv6."""
    found: set[Port] = set()
    for each in ports:
        if each.get("PublicPort"):
            address = "" if each.get("IP") in (None, "", "0.0.0.0", "::") else str(each["IP"])  # noqa: S104
            found.add(Port(int(each["PublicPort"]), int(each["PrivatePort"]), str(each.get("Type", "tcp")), address))
    return tuple(sorted(found, key=lambda port: (port.container, port.host, port.protocol)))
