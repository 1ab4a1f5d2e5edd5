"""The sample services that a new lab runs."""

from __future__ import annotations

import http.client
import socket
import time
from dataclasses import dataclass

from umsui.lab import host as hosts
from umsui.lab import images
from umsui.lab.commands import LabError
from umsui.lab.kubernetes import cluster
from umsui.lab.topology import Host

LABEL = "umsui.io/lab=true"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample service and where it starts."""

    name: str
    host: str
    image: str
    port: int  # on the host
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def _reference(name: str) -> str:
    return next(image.reference for image in images.IMAGES if image.name == name)


_MEMHOG_PORT, _REDIS_PORT = 30800, 30637  # of nodes: the manifests of umsui/lab/kubernetes have them

SAMPLES = (
    Sample("memhog", "azure-1", _reference("memhog"), 8000, ("-p", "8000:8000")),
    Sample("redis", "azure-2", _reference("redis"), 6379, ("-p", "6379:6379", "-v", "redis-data:/data")),
    Sample("nginx", "onprem-1", _reference("nginx"), 8080, ("-p", "8080:80")),
    Sample("memhog-deployment", "aks-1", _reference("memhog"), _MEMHOG_PORT),
    Sample("redis-statefulset", "aks-1", _reference("redis"), _REDIS_PORT),
    Sample("memhog-pod", "gke-1", _reference("memhog"), _MEMHOG_PORT),
)

_REMOVE_ALL = {
    "podman": "podman rm -f -a -t 0 >/dev/null; podman volume rm -f -a >/dev/null",
    "docker": """all=$(docker ps -aq); [ -z "$all" ] || docker rm -f $all >/dev/null
        all=$(docker volume ls -q); [ -z "$all" ] || docker volume rm -f $all >/dev/null""",
}


def samples(host: Host) -> list[Sample]:
    """Those that belong on ``host``."""
    return [sample for sample in SAMPLES if sample.host == host.name]


def wait_for_docker(host: Host, timeout: float = 20.0) -> None:
    """Return when its docker answers; raises LabError after ``timeout`` seconds."""
    script = "until docker version >/dev/null 2>&1; do sleep 0.05; done"
    try:
        hosts.run_in(host, ["timeout", f"{timeout:g}", "sh", "-c", script])
    except LabError as error:
        said = hosts.run_in(host, ["tail", "-n", "5", "/var/log/dockerd.log"])
        raise LabError(f"docker on {host.name} does not start: {said}", "umsui lab down, then try again.") from error


def start(host: Host) -> None:
    """Start the samples of ``host``; raises LabError with the engine's words."""
    if host.orchestrator == "kubernetes":
        cluster.start_samples(host)
        return
    if host.orchestrator == "docker":
        wait_for_docker(host)
    for sample in samples(host):
        common = ["run", "-d", "--name", sample.name, "--label", LABEL, "--restart", "no", "--pull", "never"]
        hosts.run_in(host, [host.orchestrator, *common, *sample.options, sample.image, *sample.command])


def remove_all(host: Host) -> None:
    """Remove every container and volume of ``host``; what users made in it, where it is a Kubernetes cluster."""
    if host.orchestrator == "kubernetes":
        cluster.remove_all(host)
        return
    hosts.run_in(host, ["sh", "-ec", _REMOVE_ALL[host.orchestrator]])


def running(host: Host) -> tuple[str, ...]:
    """The names of the containers (in Kubernetes: of the applications) that run on ``host``; raises LabError."""
    if host.orchestrator == "kubernetes":
        return cluster.running(host)
    return tuple(sorted(hosts.run_in(host, [host.orchestrator, "ps", "--format", "{{.Names}}"], timeout=20).split()))


def answers(sample: Sample, host: Host) -> bool:
    """Whether a client gets a right answer from ``sample`` at ``host``, within a second."""
    try:
        if sample.image == _reference("redis"):
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


def wait_until_answering(host: Host, timeout: float = 30.0) -> None:
    """Return when the samples of ``host`` answer; raises LabError after ``timeout`` seconds."""
    deadline, cli = time.monotonic() + timeout, host.orchestrator
    look = f"{cli} ps -a; {cli} logs --tail 5 "
    if cli == "kubernetes":
        look = "kubectl get pods,services,events; kubectl logs --tail 5 -l app="
    for sample in samples(host):
        while not answers(sample, host):
            if time.monotonic() > deadline:
                said = hosts.run_in(host, ["sh", "-c", f"{look}{sample.name} 2>&1"])
                raise LabError(f"{sample.name} on {host.name} does not answer: {said.strip()}", "umsui lab down; up")
            time.sleep(0.01)
