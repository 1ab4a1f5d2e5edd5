"""The survey's output, recorded on podman 5.4, taken apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.orchestrators import survey as surveys
from backends.orchestrators.podman_survey import services_of
from backends.orchestrators.survey import Survey, node_of
from umsui.errors import CommandFailed
from umsui.model import ClusterState, Node, Port, ServiceState

RECORDED = Path(__file__).parent / "recorded"
NODE = Node("c", "n", "root@n:22", software={"podman": "4.0", "kept": "yes"})
ID = "ab" * 32


def parse(output: bytes, errors: bytes, host: str) -> Survey:
    return surveys.parse(output, errors, host, "podman")


def output(containers: object = (), cgroups: str = "", memory: str = "", end: int = 0) -> bytes:
    node = "4\n1.50\n6.1.0\nMemTotal: 1000\nMemAvailable: 500\n"
    parts = f"\x1enode\n{node}\x1ecgroups\n{cgroups}\x1ememory\n{memory}\x1econtainers\n{json.dumps(containers)}\n"
    return f"{parts}\x1eend {end}\n".encode()


def test_recorded_survey() -> None:
    survey = parse((RECORDED / "survey-5.4-cgroup1.bin").read_bytes(), b"", "h")
    node = node_of(survey, NODE)
    assert node.state is ClusterState.LIVE
    assert node.cores == 2
    assert node.memory > node.memory_free > 1 << 30
    assert node.software["podman"] == "5.4.2"
    assert node.software["criu"] == "4.2.1"
    assert node.software["crun"] == "1.21"
    assert node.software["architecture"] == "x86_64"
    assert node.software["kernel"].startswith("6.")
    assert node.software["kept"] == "yes"
    services = {service.name: service for service in services_of(survey, "c", "n")}
    plain = services["t-plain"]
    assert plain.state is ServiceState.UP
    assert plain.processes == 1
    assert 1 << 20 <= plain.memory < 3 << 20
    assert plain.started > 1.7e9
    assert plain.obstacle == ""
    assert plain.key == "c/t-plain"
    full = services["t-full"]
    assert (full.state, full.obstacle, full.started) == (ServiceState.STOPPED, "stopped", 0.0)
    assert full.ports == (
        Port(8101, 8000, "tcp", "127.0.0.1"),
        Port(8102, 9002, "udp"),
        Port(8103, 9003, "udp"),
        Port(8104, 9004, "udp"),
    )
    assert full.labels == {"l1": "v1", "weird": "a=b c"}
    assert services["t-inpod"].obstacle == "part of pod t-pod: moving pods is not supported yet"
    assert not any("infra" in name for name in services)


def test_cgroup2_and_processes_below_the_container() -> None:
    path = f"/machine.slice/libpod-{ID}.scope"
    cgroups = f"0::{path}/container\n0::{path}/container/init\n0::{path}/container\n"
    memory = f"/sys/fs/cgroup{path}/memory.stat:anon 4096\n/sys/fs/cgroup{path}/memory.stat:shmem 1024\n"
    survey = parse(output([{"Id": ID, "Names": ["x"], "State": "running"}], cgroups, memory), b"", "h")
    (service,) = services_of(survey, "c", "n")
    assert (service.processes, service.memory) == (3, 5120)


def test_hybrid_hierarchies_are_not_added_up() -> None:
    cgroups = f"4:memory:/libpod_parent/libpod-{ID}\n0::/libpod_parent/libpod-{ID}\n" * 2
    memory = "".join(f"/m/libpod-{ID}/memory.stat:{fact}\n" for fact in ("total_rss 10", "total_shmem 5", "shmem 5"))
    survey = parse(output([{"Id": ID}], cgroups, memory), b"", "h")
    (service,) = services_of(survey, "c", "n")
    assert (service.processes, service.memory, service.name) == (2, 15, ID[:12])


@pytest.mark.parametrize(
    ("word", "state", "obstacle"),
    [
        ("running", ServiceState.UP, ""),
        ("paused", ServiceState.PAUSED, "paused: resume it first"),
        *((word, ServiceState.STOPPED, "stopped") for word in ("created", "exited", "dead", "configured", "")),
    ],
)
def test_states(word: str, state: ServiceState, obstacle: str) -> None:
    survey = parse(output([{"Id": ID, "Names": ["x"], "State": word, "StartedAt": -62135596800}]), b"", "h")
    (service,) = services_of(survey, "c", "n")
    assert (service.state, service.obstacle, service.started) == (state, obstacle, 0.0)


def test_no_age_where_the_start_is_unknown() -> None:
    """Podman counts from the year 1 for a container that was restored from docker."""
    known = {"Id": ID, "Names": ["x"], "State": "running", "Status": "Up 3 hours", "StartedAt": 1795509238}
    unknown = known | {"Id": "cd" * 32, "Status": "Up 292 years", "StartedAt": -62135596800}
    survey = parse(output([known, unknown]), b"", "h")
    assert [service.status for service in services_of(survey, "c", "n")] == ["Up 3 hours", "Up"]


def test_odd_text_survives() -> None:
    labels = {"a=b": "line\nline", "ctrl": "\x1b[31m\x1e", "uni": "päth ✓"}
    survey = parse(output([{"Id": ID, "Names": ["x"], "Labels": labels}]), b"", "h")
    assert services_of(survey, "c", "n")[0].labels == labels


def test_an_empty_host() -> None:
    survey = parse(output(None), b"", "h")
    assert services_of(survey, "c", "n") == ()
    assert node_of(survey, NODE).load == 1.5


@pytest.mark.parametrize(
    ("stdout", "stderr", "words", "code"),
    [
        (output(end=127), b"sh: podman: not found", "there is no podman on h", "no-podman"),
        (output(end=125), b"x\nError: database is locked", "database is locked", "command-failed"),
        (output()[:-12], b"", "cut short", "command-failed"),
        (b"", b"", "cut short", "command-failed"),
        (output().replace(b"[]", b"{not"), b"", "no JSON", "command-failed"),
    ],
)
def test_failures(stdout: bytes, stderr: bytes, words: str, code: str) -> None:
    with pytest.raises(CommandFailed, match=words) as caught:
        parse(stdout, stderr, "h")
    assert caught.value.code == code
