"""The service that is moved: memhog, started for one run and one approach; and whether all of it has arrived."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umsui import adapters
from umsui.adapters import Completed
from umsui.coordinator.client import Client
from umsui.images import outer
from umsui.inside import build as inside
from umsui.lab import LabError
from umsui.lab import host as hosts
from umsui.lab.topology import Host
from umsui.model import Approach, Deployment, Port, Specification

NAME = "memhog"
IMAGE = "localhost/umsui/memhog:1"
PORT = 8000
READY = 60.0  # seconds that it may take to fill its memory
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


def ask(host: Host, target: str = "/", timeout: float = 2.0) -> dict[str, Any]:
    """What memhog at ``host`` answers. Raises OSError, ValueError or HTTPException when it does not."""
    connection = http.client.HTTPConnection(host.address, PORT, timeout=timeout)
    try:
        connection.request("GET", target)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def start(host: Host, load: Load) -> dict[str, Any]:
    """Run it plainly at ``host``; returns its first answer, which comes when its memory is full. Raises LabError."""
    run = ["podman", "run", "-d", "--name", NAME, "--pull", "never", "-p", f"{PORT}:{PORT}", IMAGE, *load.arguments]
    hosts.run_in(host, run)
    return _first_answer(host)


def deploy(client: Client, host: Host, load: Load, approach: Approach) -> dict[str, Any]:
    """Run it at ``host`` as ``approach`` wants it; its first answer. Raises UmsuiError, LabError."""
    image = _with_umsui_inside(host) if approach is Approach.SERVICE else IMAGE
    archive = str(outer.build(lambda _: None)) if approach is Approach.CONTAINER else ""
    spec = Specification(NAME, image, command=load.arguments, ports=(Port(PORT, PORT),))
    client.deploy(Deployment(spec, host.cluster, host.name, approach, archive))
    return _first_answer(host)


def _with_umsui_inside(host: Host) -> str:
    """The image for service-level, made where it is missing."""
    tag = inside.default_tag(IMAGE)
    lab = host.lab
    ssh = adapters.load("transports", "ssh")
    transport = ssh(f"root@{host.address}", identity=lab.identity, known_hosts=lab.known_hosts)

    def run(argv: Sequence[str], stdin: bytes) -> Completed:
        done: Completed = transport.run(argv, stdin=stdin, timeout=inside.PATIENCE)
        return done

    try:
        if run(["podman", "image", "exists", tag], b"").status:
            inside.build(run, "podman", IMAGE, tag)
    finally:
        transport.close()
    return tag


def _first_answer(host: Host) -> dict[str, Any]:
    until = time.monotonic() + READY
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            return ask(host)
        time.sleep(0.02)
    raise LabError(f"{NAME} does not answer at {host.name} within {READY:g} s", "Is this machine short of memory?")


def damage(host: Host, before: dict[str, Any]) -> str:
    """What is wrong with the service at ``host``, which answered ``before`` elsewhere; "" when all of it arrived."""
    try:
        now = ask(host, timeout=ANSWER)
        whole = ask(host, "/checksum", CHECKSUM)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"it does not answer: {type(error).__name__} {error} ({_state(host)})"
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
    """Leave no container at any of the hosts."""
    for host in where:
        hosts.run_in(host, ["sh", "-c", "podman rm -f -a -t 0 >/dev/null; rm -f /dev/shm/umsui-bench*"])
