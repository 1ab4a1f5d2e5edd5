"""The sample services that a new lab runs."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from umsui.lab import host as hosts
from umsui.lab import images
from umsui.lab.commands import LabError
from umsui.lab.topology import Host

LABEL = "umsui.io/lab=true"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample service and where it starts."""

    name: str
    host: str
    image: str
    port: int  # on the host
    options: tuple[str, ...]
    command: tuple[str, ...] = ()


def _reference(name: str) -> str:
    return next(image.reference for image in images.IMAGES if image.name == name)


SAMPLES = (
    Sample("memhog", "azure-1", _reference("memhog"), 8000, ("-p", "8000:8000")),
    Sample("redis", "azure-2", _reference("redis"), 6379, ("-p", "6379:6379", "-v", "redis-data:/data")),
    Sample("nginx", "onprem-1", _reference("nginx"), 8080, ("-p", "8080:80")),
)


def start(host: Host, samples: Iterable[Sample]) -> None:
    """Start those ``samples`` that belong on ``host``; raises LabError with podman's words."""
    for sample in samples:
        if sample.host != host.name:
            continue
        common = ["podman", "run", "-d", "--name", sample.name, "--label", LABEL, "--restart", "no", "--pull", "never"]
        hosts.run_in(host, [*common, *sample.options, sample.image, *sample.command])


def remove_all(host: Host) -> None:
    """Remove every container and volume of ``host``."""
    hosts.run_in(host, ["sh", "-c", "podman rm -f -a -t 0 >/dev/null && podman volume rm -f -a >/dev/null"])


def running(host: Host) -> tuple[str, ...]:
    """The names of the containers that run on ``host``; raises LabError."""
    listed = json.loads(hosts.run_in(host, ["podman", "ps", "--format", "json"], timeout=20) or "[]")
    return tuple(sorted(str(container["Names"][0]) for container in listed))


def answers(sample: Sample, host: Host) -> bool:
    """Whether a client gets a right answer from ``sample`` at ``host``, within a second."""
    try:
        if sample.name == "redis":
            with socket.create_connection((host.address, sample.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        client = http.client.HTTPConnection(host.address, sample.port, timeout=1.0)
        try:
            client.request("GET", "/")
            return client.getresponse().status == http.HTTPStatus.OK
        finally:
            client.close()
    except (OSError, http.client.HTTPException):
        return False


def wait_until_answering(host: Host, samples: Iterable[Sample], timeout: float = 15.0) -> None:
    """Return when those ``samples`` that belong on ``host`` answer; raises LabError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    for sample in samples:
        while sample.host == host.name and not answers(sample, host):
            if time.monotonic() > deadline:
                said = hosts.run_in(host, ["sh", "-c", f"podman ps -a; podman logs --tail 5 {sample.name} 2>&1"])
                raise LabError(f"{sample.name} on {host.name} does not answer: {said.strip()}", "umsui lab down; up")
            time.sleep(0.01)
