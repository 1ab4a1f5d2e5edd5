"""The service that is moved: memhog, started for one run and one approach; and whether all of it has arrived."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umsui import adapters
from umsui.adapters import Completed
from umsui.bench import pods
from umsui.coordinator.client import Client
from umsui.coordinator.prober import Address
from umsui.images import nested, outer
from umsui.inside import build as inside
from umsui.inside.registry import Reference
from umsui.lab import LabError
from umsui.lab import host as hosts
from umsui.lab.topology import Host
from umsui.model import Approach, Deployment, Port, Specification

NAME = "memhog"
IMAGE = "localhost/umsui/memhog:1"
INSIDE = inside.default_tag(IMAGE)
PORT = 8000
RAW_PID = "/run/umsui-bench.pid"  # of a lab host: of the service, where it runs without a container
READY = 60.0  # seconds that it may take to fill its memory
# A move that ended as unknown has left its source frozen, which no engine can end.
_REMOVE = f"""
for state in $(find /sys/fs/cgroup -name freezer.state -path '*/libpod*' -o -name freezer.state -path '*/docker*'); do
    echo THAWED >"$state"
done
running=$($1 ps -aq)
[ "$1" = docker ] || now="-t 0"
[ -z "$running" ] || $1 rm -f $now $running >/dev/null
[ ! -f {RAW_PID} ] || kill -9 "$(cat {RAW_PID})" 2>/dev/null
rm -rf {RAW_PID} /dev/shm/umsui-bench*
"""
SOON = 2.0  # seconds for one of them
ANSWER = 10.0  # seconds for an answer of the service that has arrived
CHECKSUM = 60.0  # seconds that a checksum may take


@dataclass(frozen=True, slots=True)
class Load:
    """How large the service is: MiB in all, processes in all (one has children), MiB/s that it rewrites and grows by.

    One that grows starts with nothing, and has all its MiB when it has grown for long enough.
    """

    mib: int
    processes: int = 1
    dirty: int = 0
    grow: int = 0

    @property
    def arguments(self) -> tuple[str, ...]:
        """What memhog is told."""
        return (f"MIB={self.mib}", f"CHILDREN={self.processes - 1}", f"DIRTY={self.dirty}", f"GROW={self.grow}")


def address(host: Host) -> Address:
    """Where clients find it, when it runs at ``host``."""
    return Address(host.address, pods.PORT if host.orchestrator == "kubernetes" else PORT, PORT)


def ask(host: Host, target: str = "/", timeout: float = SOON) -> dict[str, Any]:
    """What memhog at ``host`` answers. Raises OSError, ValueError or HTTPException when it does not."""
    where = address(host)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=timeout)
    try:
        connection.request("GET", target)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def prepare(host: Host) -> None:
    """What a host needs so that the service can come there from any other orchestrator."""
    put_umsui_inside(host)
    if host.orchestrator == "kubernetes":
        pods.publish(host, NAME, PORT)


def start(host: Host, load: Load) -> dict[str, Any]:
    """Run it plainly at ``host``; returns its first answer, which comes when its memory is full. Raises LabError."""
    if host.orchestrator == "kubernetes":
        pods.start(host, NAME, IMAGE, PORT, load.arguments, inside=False)
    else:
        run = [host.orchestrator, "run", "-d", "--name", NAME, "--label", f"app={NAME}", "--pull", "never"]
        hosts.run_in(host, [*run, "-p", f"{PORT}:{PORT}", IMAGE, *load.arguments])
    return first_answer(host)


def deploy(client: Client, ends: tuple[Host, Host], load: Load, approach: Approach) -> dict[str, Any]:
    """Run it at the first of these ends, as ``approach`` wants it; its first answer. Raises UmsuiError, LabError."""
    host, destination = ends
    if approach is Approach.SERVICE and host.orchestrator != "kubernetes":  # a cluster has it since ``prepare``
        put_umsui_inside(host)
    image = INSIDE if approach is Approach.SERVICE else IMAGE
    if approach is not Approach.CONTAINER and host.orchestrator == "kubernetes":
        pods.start(host, NAME, image, PORT, load.arguments, inside=image == INSIDE)
    else:
        archive = outer.build(lambda _: None) if approach is Approach.CONTAINER else Path()
        if host.orchestrator == "kubernetes":
            image = pods.in_registry(host, image)
        elif approach is Approach.CONTAINER and destination.orchestrator == "kubernetes":
            # The host runs what a kubelet can pull.
            image = nested.build(Reference.of(pods.in_registry(destination, image)), archive).image
        labels = {"app": NAME}
        spec = Specification(NAME, image, command=load.arguments, ports=(Port(PORT, PORT),), labels=labels)
        client.deploy(Deployment(spec, host.cluster, host.name, approach, str(archive)))
    return first_answer(host)


def put_umsui_inside(host: Host) -> None:
    """Make the image for service-level, where it is missing."""
    lab = host.lab
    ssh = adapters.load("transports", "ssh")
    transport = ssh(f"root@{host.address}", identity=lab.identity, known_hosts=lab.known_hosts)

    def run(argv: Sequence[str], stdin: bytes) -> Completed:
        done: Completed = transport.run(argv, stdin=stdin, timeout=inside.PATIENCE)
        return done

    try:
        if host.orchestrator == "kubernetes":
            pods.with_umsui_inside(run, host, IMAGE, INSIDE)
        elif run([host.orchestrator, "image", "inspect", INSIDE], b"").status:
            inside.build(run, host.orchestrator, IMAGE, INSIDE)
    finally:
        transport.close()


def first_answer(host: Host, within: float = READY, target: str = "/", timeout: float = SOON) -> dict[str, Any]:
    """What it answers as soon as it does, ``timeout`` seconds for each question. Raises LabError."""
    until = time.monotonic() + within
    while True:
        try:
            return ask(host, target, timeout)
        except (OSError, ValueError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                words = f"{NAME} does not answer at {host.name} within {within:g} s: {type(error).__name__} {error}"
                raise LabError(words, "Is this machine short of memory?") from error
        time.sleep(0.02)


def damage(host: Host, before: dict[str, Any]) -> str:
    """What is wrong with the service at ``host``, which answered ``before`` elsewhere; "" when all of it arrived."""
    try:
        # Patiently: the watcher uses up so many ports that one may still be that of a connection to somebody long gone.
        now = first_answer(host, ANSWER)
        whole = first_answer(host, ANSWER, "/checksum", CHECKSUM)
    except LabError as error:
        return f"{error.message} ({_state(host)})"
    if now["nonce"] != before["nonce"]:
        return "it was started afresh: another nonce"
    if now["count"] <= before["count"]:
        return f"its counter went from {before['count']} to {now['count']}"
    return "" if whole["ok"] else "the checksum of its memory is wrong"


def _state(host: Host) -> str:
    """What its processes are doing: state and where in the kernel."""
    try:
        found = hosts.run_in(host, ["ps", "-C", NAME, "-o", "stat=,wchan:32="])
    except LabError:
        return "no process of it is there"
    return ", ".join(" ".join(line.split()) for line in found.splitlines())


def remove(*where: Host) -> None:
    """Leave no container, no pod and no process of it at any of the hosts."""
    for host in where:
        if host.orchestrator == "kubernetes":
            pods.remove(host)
        else:
            hosts.run_in(host, ["sh", "-c", _REMOVE, "sh", host.orchestrator])
