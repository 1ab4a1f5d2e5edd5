"""What preflight refuses, on real services: named before anything is touched, with what mends it (exit code 3, 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab import obstacles
from tests.lab.job import containers, memhog, traces, umsui
from tests.lab.obstacles import OBSTACLES
from umsui.lab.topology import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """The coordinator that commands start ends with the test."""
    yield
    umsui("coordinator", "stop", "--force")


@pytest.fixture
def here(fresh_lab: RunningLab) -> Iterator[Host]:
    """A host full of services that cannot move."""
    host = fresh_lab.host("azure-1")
    obstacles.start(host)
    yield host
    obstacles.stop(host)


def pids(lab: RunningLab) -> dict[str, str]:
    """The first process of each service."""
    listed = lab.sh("azure-1", "podman inspect $(podman ps -q) --format '{{.Name}} {{.State.Pid}} {{.State.Status}}'")
    return {line.split()[0]: line for line in listed.splitlines()}


def test_each_is_named_and_nothing_is_touched(fresh_lab: RunningLab, here: Host) -> None:
    umsui("services", "--refresh")
    before = pids(fresh_lab)
    assert {each.name for each in OBSTACLES} <= set(before)
    for each in OBSTACLES:
        planned = umsui("plan", f"azure-lab/{each.name}", "--to", "gcp-lab", "--json")
        blocking = [f for f in planned.document["findings"] if f["blocking"] and not f["ok"]]
        assert [f["check"] for f in blocking] == [each.check], (each.name, blocking)
        assert each.words in blocking[0]["what"]
        assert blocking[0]["why"]
        assert blocking[0]["fix"]
        done = umsui("migrate", f"azure-lab/{each.name}", "--to", "gcp-lab", "--yes")
        assert done.code == 3, (each.name, done.err)
        assert each.words in done.err
    assert pids(fresh_lab) == before
    assert not {each.name for each in OBSTACLES} & set(containers(fresh_lab, "gcp-1"))
    assert [traces(fresh_lab, host) for host in ("azure-1", "gcp-1")] == [[], []]


def test_no_room_at_the_destination(fresh_lab: RunningLab) -> None:
    """The checkpoint of 64 MiB does not fit; the node alone is told to have too little, too."""
    fresh_lab.sh("gcp-1", "mount -o remount,size=40m /dev/shm")
    try:
        done = umsui("migrate", "azure-lab/memhog", "--to", "gcp-lab", "--yes")
        assert done.code == 3, done.err
        assert "tmpfs" in done.err
        doctor = umsui("doctor", "gcp-lab/gcp-1", "--json")
        assert doctor.code == 3
        assert [f["check"] for f in json.loads(doctor.out) if f["blocking"] and not f["ok"]] == ["tmpfs"]
    finally:
        fresh_lab.sh("gcp-1", "mount -o remount,size=8g /dev/shm")
    assert memhog(fresh_lab, "azure-1", "/checksum")["ok"] is True
    assert umsui("doctor", "gcp-lab/gcp-1").code == 0


def test_a_host_key_that_is_not_the_one_on_record(fresh_lab: RunningLab) -> None:
    known = fresh_lab.lab.known_hosts
    text = known.read_text()
    lines = text.splitlines()
    address = fresh_lab.host("gcp-1").address
    other = next(line.split(" ", 1)[1] for line in lines if not line.startswith(f"{address} "))
    known.write_text(
        "".join(f"{address} {other}\n" if line.startswith(f"{address} ") else f"{line}\n" for line in lines)
    )
    try:
        done = umsui("migrate", "azure-lab/memhog", "--to", "gcp-lab", "--yes")
        assert done.code == 4, done.err
        assert "key" in done.err
        assert "fix:" in done.err
    finally:
        known.write_text(text)
    assert memhog(fresh_lab, "azure-1", "/checksum")["ok"] is True
    assert traces(fresh_lab, "azure-1") == []
