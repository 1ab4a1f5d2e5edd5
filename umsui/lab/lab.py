"""The lab as a whole: up, down, status, shape. Real hosts on this machine, for trying umsui and for testing it."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from umsui.errors import BadInput
from umsui.lab import cgroups, docker_store, images, keys, network, services
from umsui.lab import host as hosts
from umsui.lab.artifacts import Artifacts, locked
from umsui.lab.commands import RUNNING, LabError, Report, require_root_on_linux, require_tools
from umsui.lab.kubernetes import build as kubernetes
from umsui.lab.kubernetes import cluster
from umsui.lab.topology import LABS, Host, Lab

ORCHESTRATORS = tuple(LABS)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host as ``status`` found it. ``pid`` is that of its first process, as this machine knows it."""

    name: str
    cluster: str
    address: str
    pid: int | None
    up: bool
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The lab as a whole. ``rate`` as tc writes it, None when unshaped; ``config`` is there only while it is up.

    ``kubernetes`` says what its Kubernetes is, where it has one.
    """

    instance: int
    up: bool
    hosts: tuple[HostStatus, ...]
    rate: str | None
    config: Path | None
    kubernetes: str | None


def _on_each(work: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Do ``work`` on all at once; raises the first error when all have ended."""
    with ThreadPoolExecutor(max_workers=max(1, len(things))) as pool:
        return list(pool.map(work, things))


def prepare(report: Report, orchestrator: str = "engines") -> None:
    """Make all that is slow and kept in the cache: tools, root file system, images. Does nothing where it is there.

    For the lab called ``orchestrator``; compiling Kubernetes is by far the longest of it.
    Raises LabError: no root, no Linux, no mirror, no space.
    """
    require_root_on_linux()
    require_tools(RUNNING, report)
    _make(orchestrator, report)


def _make(orchestrator: str, report: Report) -> Artifacts:
    made, needed = images.make_artifacts(report), set(LABS[orchestrator].values())
    if "docker" in needed:
        made = replace(made, docker=docker_store.make(made, report))
    if "kubernetes" in needed:
        layer = kubernetes.layer(made.rootfs, report)
        made = replace(made, kubernetes=layer, registry=kubernetes.registry(made, layer, report))
    return made


def up(rate: str | None, orchestrator: str, report: Report) -> Status:
    """Bring the lab up, sample services answering; where it is up already, shape it if ``rate`` says so.

    Raises BadInput for a wrong rate or orchestrator, LabError when it cannot be done.
    """
    if orchestrator not in ORCHESTRATORS:
        raise BadInput(f"The lab has no {orchestrator!r} hosts", f"Choose one of: {', '.join(ORCHESTRATORS)}.")
    wanted = network.parse_rate(rate)
    lab = Lab.selected()
    require_root_on_linux()
    require_tools(RUNNING, report)
    made = _make(orchestrator, report)
    with locked(lab.lock_file):
        if _whole(lab):
            if lab.orchestrator != orchestrator:
                raise BadInput(f"The lab is up already, with {lab.orchestrator} hosts", "umsui lab down first")
            report("the lab is up already")
        else:
            if _anything_left(lab):
                report("removing what is left of an earlier lab")
                _remove(lab)
            with contextlib.ExitStack() as undo:
                undo.callback(_remove, lab)
                _start(lab, orchestrator, made, report)
                undo.pop_all()
        if rate is not None:
            _shape(lab, wanted)
            report(f"links: {wanted or 'unshaped'}")
    return status()


def down(report: Report) -> None:
    """Remove the lab and everything it made, whatever state it is in; raises LabError when something stays."""
    require_root_on_linux()
    lab = Lab.selected()
    with locked(lab.lock_file):
        if not _anything_left(lab):
            report("the lab is down")
            return
        _remove(lab)
    report("the lab is down; nothing of it is left")


def status() -> Status:
    """What is up now; asks each host that is."""
    lab = Lab.selected()
    found = tuple(_on_each(_host_status, lab.hosts))
    rate = lab.rate_file.read_text().strip() if lab.rate_file.is_file() else None
    config = lab.config if lab.config.is_file() else None
    note = cluster.NOTE if any(host.orchestrator == "kubernetes" for host in lab.hosts) else None
    whole = all(host.up for host in found) and lab.ready_mark.exists()
    return Status(lab.instance, whole, found, rate, config, note)


def shape(rate: str | None) -> None:
    """Limit what each host sends, e.g. to "100mbit"; None or "none" for no limit. Raises BadInput, LabError."""
    wanted = network.parse_rate(rate)
    require_root_on_linux()
    lab = Lab.selected()
    with locked(lab.lock_file):
        _shape(lab, wanted)


def reset(report: Report) -> None:
    """Bring the sample services of a lab that is up back to where and how they started; removes all others."""
    require_root_on_linux()
    lab = Lab.selected()
    report("starting the sample services anew")

    def renew(host: Host) -> None:
        services.remove_all(host)
        _run_samples(host)

    with locked(lab.lock_file):
        _on_each(renew, lab.hosts)


def _host_status(host: Host) -> HostStatus:
    pid = hosts.pid(host)
    running: tuple[str, ...] = ()
    if pid is not None:
        try:
            running = services.running(host)
        except LabError:
            # It may be going down this moment; a host whose podman fails is still shown.
            pid = hosts.pid(host)
    return HostStatus(host.name, host.cluster, host.address, pid, pid is not None, running)


def _whole(lab: Lab) -> bool:
    return lab.ready_mark.exists() and all(hosts.pid(host) is not None for host in lab.hosts)


def _anything_left(lab: Lab) -> bool:
    return lab.directory.exists() or bool(network.own_links(lab)) or cgroups.exist(lab.cgroup_prefix)


def _remove(lab: Lab) -> None:
    other = network.owner(lab)
    if other not in {None, lab.directory} and other is not None and other.exists():
        raise LabError(
            f"The lab {lab.instance} is up already, from the folder {other}",
            "Take it down with the UMSUI_CACHE_DIR it was made with, or set UMSUI_LAB_INSTANCE to another number.",
            code="instance-taken",
        )
    hosts.stop_all(lab)
    network.remove(lab)
    # Its mounts were in the namespaces of its processes and went with them.
    for _ in range(3):
        if lab.directory.exists():
            shutil.rmtree(lab.directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        lab.directory.parent.rmdir()  # if this was the last lab
    if lab.directory.exists():
        raise LabError(f"{lab.directory} cannot be removed", f"rm -rf {lab.directory}, and see what it says.")


def _start(lab: Lab, orchestrator: str, made: Artifacts, report: Report) -> None:
    network.check_free(lab)
    lab.directory.mkdir(parents=True, mode=0o700)
    lab.orchestrator_file.write_text(orchestrator)
    login = keys.make(f"umsui-lab-{lab.instance}")
    lab.identity.touch(mode=0o600)
    lab.identity.write_text(login.private)
    identities = {host.name: keys.make(host.name) for host in lab.hosts}
    known = "".join(f"{h.address} {identities[h.name].public.rpartition(' ')[0]}\n" for h in lab.hosts)
    lab.known_hosts.touch(mode=0o600)
    lab.known_hosts.write_text(known)
    network.make_bridge(lab)

    def begin(host: Host) -> None:
        if host.orchestrator == "docker" and made.docker is not None:
            docker_store.copy(made.docker, host.directory / "docker")
        hosts.fill(host, login, identities[host.name])
        cluster.trust_registries(host)
        if host.orchestrator == "kubernetes" and made.registry is not None:
            cluster.fill(host, made.registry)
        pid = hosts.start(host, made)
        network.connect(host, pid)
        hosts.wait_for_sshd(host)
        (host.directory / "starting").unlink()
        report(f"{host.name}: up at {host.address}")
        if host.orchestrator == "kubernetes":
            _start_cluster(host, report)
        for name in _run_samples(host):
            report(f"{host.name}: {name} answers")

    _on_each(begin, lab.hosts)
    lab.config.write_text("".join(_config(lab)))
    lab.ready_mark.touch()


def _start_cluster(host: Host, report: Report) -> None:
    """The steps of a Kubernetes cluster, each with the seconds that it took."""
    steps: tuple[tuple[str, Callable[[Host], None]], ...] = (
        ("the API server answers", cluster.wait_for_api),
        ("storage class and registry are known", cluster.prepare),
        ("the node is ready", cluster.wait_for_node),
    )
    for name, step in steps:
        began = time.monotonic()
        step(host)
        report(f"{host.name}: {name} ({time.monotonic() - began:.1f} s)")


def _run_samples(host: Host) -> list[str]:
    services.start(host)
    services.wait_until_answering(host)
    return [sample.name for sample in services.samples(host)]


def _shape(lab: Lab, rate: str | None) -> None:
    pids = [pid for host in lab.hosts if (pid := hosts.pid(host)) is not None]
    if len(pids) < len(lab.hosts):
        raise LabError("The lab is not up", "umsui lab up")
    network.shape(pids, rate)
    if rate is None:
        lab.rate_file.unlink(missing_ok=True)
    else:
        lab.rate_file.write_text(rate + "\n")


def _config(lab: Lab) -> Iterator[str]:
    """The lab in the words of the config file. JSON's strings are TOML's."""
    yield "# Made by `umsui lab up`; gone with `umsui lab down`.\n"
    for name, members in groupby(lab.hosts, key=lambda host: host.cluster):
        inside = list(members)
        yield f"\n[[clusters]]\nname = {json.dumps(name)}\nprovider = {json.dumps(inside[0].provider)}\n"
        yield f'orchestrator = "{inside[0].orchestrator}"\nauthority = "full"\nlab = true\n'
        if inside[0].orchestrator == "kubernetes":
            yield f"kubeconfig = {json.dumps(str(inside[0].kubeconfig))}\ncontext = {json.dumps(name)}\n"
        yield f"identity = {json.dumps(str(lab.identity))}\n"
        yield f"known_hosts = {json.dumps(str(lab.known_hosts))}\nnodes = [\n"
        for host in inside:
            yield f"    {{ name = {json.dumps(host.name)}, ssh = {json.dumps(host.ssh)} }},\n"
        yield "]\n"
