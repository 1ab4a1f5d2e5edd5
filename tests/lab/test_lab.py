"""The lab itself: comes up and answers, goes down and leaves nothing, whatever happened to whoever started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningLab, claim_instance, leftovers, namespaces_of
from umsui import lab as lab_module
from umsui import locations
from umsui.errors import BadInput
from umsui.lab import cgroups, services
from umsui.lab.commands import LabError
from umsui.lab.host import pid, run_in
from umsui.lab.topology import Lab

INSTANCE: list[int] = []


def silent(line: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def other_lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A second lab, down at first, for tests that kill it."""
    if not INSTANCE:
        INSTANCE.append(claim_instance())
    monkeypatch.setenv("UMSUI_LAB_INSTANCE", str(INSTANCE[0]))
    lab_module.down(silent)
    yield Lab.selected()
    lab_module.down(silent)


@pytest.mark.lab
def test_up_answers_and_down_leaves_nothing(other_lab: Lab) -> None:
    lab_module.prepare(silent)
    mounts = Path("/proc/self/mounts").read_text().count(str(other_lab.directory))
    began = time.monotonic()
    status = lab_module.up("1gbit", "podman", silent)
    print(f"lab up from a warm cache, services answering: {time.monotonic() - began:.2f} s")
    assert status.up
    assert status.rate == "1gbit"
    assert [(h.name, h.cluster, h.services) for h in status.hosts] == [
        ("azure-1", "azure-lab", ("memhog",)),
        ("azure-2", "azure-lab", ("redis",)),
        ("gcp-1", "gcp-lab", ()),
        ("onprem-1", "onprem-lab", ("nginx",)),
    ]
    assert status.config == locations.lab_config()
    for host in other_lab.hosts:
        for sample in services.samples(host):
            assert services.answers(sample, host)
    assert leftovers(other_lab) != []
    again = lab_module.up(None, "podman", silent)
    assert [host.pid for host in again.hosts] == [host.pid for host in status.hosts]

    namespaces = namespaces_of(other_lab)
    lab_module.down(silent)
    assert leftovers(other_lab, namespaces) == []
    assert Path("/proc/self/mounts").read_text().count(str(other_lab.directory)) == mounts == 0
    assert locations.lab_config() is None
    status = lab_module.status()
    assert not status.up
    assert not any(host.up for host in status.hosts)
    lab_module.down(silent)


STARTER = """
import sys, time
from umsui import lab

def report(line, seen=[]):
    print(line, flush=True)
    seen.append(line)
    if len(seen) >= int(sys.argv[1]):
        time.sleep(60)

print("go", flush=True)
lab.up(None, "podman", report)
"""


@pytest.mark.lab
@pytest.mark.parametrize(
    ("line", "after"), [(0, 0.02), (0, 0.08), (1, 0.0), (2, 0.02), (4, 0.0), (4, 0.1), (5, 0.0), (6, 0.05)]
)
def test_a_killed_starter_leaves_what_down_finds(other_lab: Lab, line: int, after: float) -> None:
    """Killed this long after its ``line``-th word of progress, which it does not get past."""
    arguments = [sys.executable, "-c", STARTER, str(line or 1)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True) as starter:
        assert starter.stdout is not None
        for _ in range(line + 1):
            assert starter.stdout.readline()
        time.sleep(after)
        starter.kill()
    assert not other_lab.ready_mark.exists()
    namespaces = namespaces_of(other_lab)
    lab_module.down(silent)
    assert leftovers(other_lab, namespaces) == []


@pytest.mark.lab
def test_up_repairs_a_half_dead_lab(other_lab: Lab) -> None:
    first = lab_module.up(None, "podman", silent)
    assert first.hosts[2].pid is not None
    os.kill(first.hosts[2].pid, signal.SIGKILL)
    while pid(other_lab.hosts[2]) is not None:
        time.sleep(0.01)
    assert not lab_module.status().up
    second = lab_module.up(None, "podman", silent)
    assert second.up
    assert {host.pid for host in first.hosts}.isdisjoint({host.pid for host in second.hosts})


@pytest.mark.lab
def test_down_while_frozen(other_lab: Lab) -> None:
    lab_module.up(None, "podman", silent)
    run_in(other_lab.hosts[0], ["podman", "pause", "memhog"])
    namespaces = namespaces_of(other_lab)
    lab_module.down(silent)
    assert leftovers(other_lab, namespaces) == []


def _transfer(lab: RunningLab, mib: int) -> float:
    """Seconds that ``mib`` take from azure-1 to gcp-1."""
    sink = "import socket; s=socket.create_server(('',9)); c=s.accept()[0]\nwhile c.recv(1<<20): pass"
    source = (
        f"import socket,time; a=('{lab.host('gcp-1').address}',9); e=time.time()+5\n"
        "while time.time()<e:\n  try: c=socket.create_connection(a); break\n  except OSError: time.sleep(.01)\n"
        f"t=time.time(); c.sendall(bytes({mib}<<20)); c.shutdown(1); c.recv(1); print(time.time()-t)"
    )
    thread = threading.Thread(target=lab.run, args=("gcp-1", "python3", "-c", sink))
    thread.start()
    seconds = float(lab.run("azure-1", "python3", "-c", source))
    thread.join()
    return seconds


@pytest.mark.lab
def test_shape_limits_the_links(fresh_lab: RunningLab) -> None:
    lab_module.shape("100mbit")
    slow = _transfer(fresh_lab, 10)
    assert lab_module.status().rate == "100mbit"
    lab_module.shape("none")
    fast = _transfer(fresh_lab, 10)
    print(f"10 MiB at 100 Mbit/s: {slow:.2f} s; unshaped: {fast:.3f} s")
    assert 0.7 < slow < 2.0
    assert fast < slow / 2
    assert lab_module.status().rate is None


@pytest.mark.lab
def test_its_podman_is_a_normal_one(fresh_lab: RunningLab) -> None:
    seen = json.loads(fresh_lab.run("azure-1", "podman", "inspect", "memhog"))[0]
    assert seen["State"]["Status"] == "running"
    assert seen["Config"]["Labels"]["umsui.io/lab"] == "true"
    assert fresh_lab.run("azure-1", "podman", "rm", "-f", "memhog").strip() == "memhog"
    assert json.loads(fresh_lab.run("azure-1", "podman", "ps", "-a", "--format", "json")) == []
    fresh_lab.run("azure-1", "podman", "run", "-d", "--name", "again", "localhost/umsui/memhog:1", "MIB=1")
    assert "localhost/umsui/redis" in fresh_lab.run("gcp-1", "podman", "images")


@pytest.mark.lab
def test_hosts_are_apart(lab: RunningLab) -> None:
    assert lab.run("gcp-1", "hostname").strip() == "gcp-1"
    assert "unreachable default" in lab.run("gcp-1", "ip", "route")
    assert float(".".join(lab.run("gcp-1", "criu", "--version").split()[1].split(".")[:2])) >= 4.2
    assert lab.run("gcp-1", "stat", "-c", "%a", "/root/.ssh/authorized_keys").strip() == "600"
    assert lab.lab.identity.stat().st_mode & 0o777 == 0o600


@pytest.mark.lab
def test_sshd_has_the_key_on_record(lab: RunningLab) -> None:
    for host in lab.lab.hosts:
        known = next(line for line in lab.lab.known_hosts.read_text().splitlines() if line.startswith(host.address))
        scanned = lab.run("azure-1", "ssh-keyscan", "-t", "ed25519", host.address)
        assert known in scanned


@pytest.mark.lab
@pytest.mark.parametrize("settings", [[], ["DIRTY=200"], ["CHILDREN=3", "DIRTY=50"], ["GROW=40"]])
def test_memhog_keeps_its_sum(fresh_lab: RunningLab, settings: list[str]) -> None:
    run = ["podman", "run", "-d", "--name", "m", "-p", "8010:8000", "-e", "MIB=32", "localhost/umsui/memhog:1"]
    fresh_lab.run("gcp-1", *run, *settings)
    base = f"http://{fresh_lab.host('gcp-1').address}:8010"

    def get(path: str) -> dict[str, object]:
        with urllib.request.urlopen(base + path, timeout=5) as response:
            answer: dict[str, object] = json.load(response)
            return answer

    deadline = time.monotonic() + 5
    while True:
        try:
            before = get("/")
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    sums = [get("/checksum") for _ in range(3)]
    fresh_lab.run("gcp-1", "podman", "pause", "m")
    time.sleep(0.5)
    fresh_lab.run("gcp-1", "podman", "unpause", "m")
    sums.append(get("/checksum"))
    after = get("/")
    assert all(answer["ok"] is True for answer in sums)
    assert (len({answer["sum"] for answer in sums}) == 1) == (not settings)
    assert after["nonce"] == before["nonce"]
    assert isinstance(before["count"], int)
    assert isinstance(after["count"], int)
    assert after["count"] > before["count"]
    assert after["processes"] == (4 if "CHILDREN=3" in settings else 1)


@pytest.mark.parametrize("rate", ["", "5", "1 gbit", "0mbit", "-1gbit", "1Gbit", "fast", "101gbit", "1mbit; reboot"])
def test_a_wrong_rate_is_refused(rate: str) -> None:
    with pytest.raises(BadInput, match="no rate") as caught:
        lab_module.shape(rate)
    assert "gbit" in caught.value.fix


def test_a_wrong_instance_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("32", "x", "-1", "0.5"):
        monkeypatch.setenv("UMSUI_LAB_INSTANCE", wrong)
        with pytest.raises(BadInput, match="UMSUI_LAB_INSTANCE"):
            lab_module.status()


def test_what_the_lab_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="openshift") as unknown:
        lab_module.up(None, "openshift", silent)
    assert "kubernetes" in unknown.value.fix
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="root") as caught:
        lab_module.up(None, "podman", silent)
    assert "sudo" in caught.value.fix
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(LabError, match="Linux"):
        lab_module.down(silent)


def test_what_comes_into_a_dying_labs_group_late_does_not_keep_it() -> None:
    """It was on its way when all that were in it were killed."""
    name = f"umsui-test-{os.getpid()}"
    entrances = cgroups.create(name)
    with subprocess.Popen(["sleep", "60"]) as late:
        for each in entrances:
            each.write_text(str(late.pid))
        cgroups.remove(name, timeout=3.0)
        assert late.wait(3) == -signal.SIGKILL
    assert not cgroups.exist(name)
