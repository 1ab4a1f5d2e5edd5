"""Service-level migration: from inside the service's own container, with three capabilities."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, traces, umsui, wait_for_outcome
from umsui.lab.commands import LabError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

BASE = "localhost/umsui/memhog:1"
IMAGE = f"{BASE}-umsui"
RUN = (
    *("--cap-drop", "all", "--cap-add", "CHECKPOINT_RESTORE,SYS_PTRACE,SETPCAP"),
    *("--security-opt", "seccomp=unconfined", "-p", "8100:8000", "--name", "inside"),
)


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """An image with umsui inside on azure-1; the coordinator that commands start ends with the test."""
    built = umsui("image", "build", "--approach", "service", BASE, "--node", "azure-lab/azure-1", "--json")
    assert built.code == 0, built.err
    assert built.document["image"] == IMAGE
    yield
    umsui("coordinator", "stop", "--force")
    for host in ("azure-1", "azure-2", "gcp-1"):
        assert traces(fresh_lab, host) == []


def start(lab: RunningLab, *options: str, image: str = IMAGE, command: tuple[str, ...] = ()) -> None:
    """Run the service on azure-1 and wait until it answers."""
    lab.run("azure-1", "podman", "run", "-d", *RUN, *options, image, *command)
    wait_for_answer(lab, "azure-1")


def wait_for_answer(lab: RunningLab, host: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while True:
        try:
            return memhog(lab, host, port=8100)
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.02)


def move(to: str, *more: str) -> dict[str, Any]:
    done = umsui("migrate", "inside", "--to", to, "--approach", "service", "--json", "--yes", *more)
    assert done.code == 0, f"{done.err}{done.out}"
    document: dict[str, Any] = done.document
    assert document["outcome"] == "committed"
    assert document["approach"] == "service"
    return document


@pytest.mark.parametrize(
    ("user", "settings"),
    [*product(("root", "1000"), ("MIB=64", "MIB=64 CHILDREN=7")), ("root", "MIB=96 DIRTY=20")],
)
def test_there_and_back(fresh_lab: RunningLab, user: str, settings: str) -> None:
    """Nonce, counter, process numbers and checksum hold; memory goes ahead, also what is written all the time, and not
    twice; the log goes on; the source is gone. Sizes, and without memory ahead: the matrix."""
    start(fresh_lab, "--user", user, command=tuple(settings.split()))
    before, place = memhog(fresh_lab, "azure-1", port=8100), "azure-1"
    for to in ("gcp-lab", "azure-lab"):
        document = move(to, "--strategy", "pre-copy")  # a slow machine might choose another
        moved = document["bytes"]["memory"] >> 20
        print(f"{settings}: {document['downtime']} s, {moved} MiB")
        assert before["mib"] // 2 < moved < 2 * before["mib"]
        assert "inside" not in containers(fresh_lab, place)
        place = document["destination"]["node"]
        now = memhog(fresh_lab, place, port=8100)
        same = ("nonce", "pid", "mib", "processes")
        assert [now[key] for key in same] == [before[key] for key in same]
        assert now["count"] > before["count"]
        assert memhog(fresh_lab, place, "/checksum", port=8100)["ok"] is True
        before = now
    lines = [int(line) for line in fresh_lab.run(place, "podman", "logs", "inside").split()]
    assert lines == sorted(lines)
    assert 100 <= lines[0] < 200  # what it printed at the first place has come along


def test_files_and_volumes_arrive(fresh_lab: RunningLab) -> None:
    """Changed, removed, linked, sparse, hidden, with attributes; in the root file system, a volume and in memory."""
    base = "localhost/umsui/redis:1"
    assert umsui("image", "build", "--approach", "service", base, "--node", "azure-1", "--tag", "mine").code == 0
    script = """
    cd /data && echo one >a && ln a b && echo hidden >.c && dd if=/dev/zero of=sparse bs=1 count=1 seek=5000000
    mkdir -p /var/deep && echo new >/var/deep/file && ln -s file /var/deep/link && rm /usr/bin/dd && : >/etc/group
    echo shared >/dev/shm/shared; chmod 640 /var/deep/file; touch /tmp/ready
    """
    server = "redis-server --dir /data --appendonly yes --save '' --protected-mode no --daemonize no"
    fresh_lab.run(
        *("azure-1", "podman", "run", "-d", *RUN, "-v", "vol:/data", "mine"),
        *("sh", "-c", f"{script}exec {server}"),
    )
    look = """
    cd /data && cat a b .c && stat -c '%h %s %a' a b && stat -c '%s' sparse; ls /usr/bin/dd; ls /etc /var/deep
    [ "$(stat -c %b sparse)" -lt 100 ] && echo sparse; cat /var/deep/link /dev/shm/shared
    stat -c '%n %s %a %Y' /etc/group /var/deep/file /tmp/ready
    """
    wait_for_file(fresh_lab, "azure-1", "/tmp/ready")
    time.sleep(0.5)
    before = fresh_lab.run("azure-1", "podman", "exec", "inside", "sh", "-c", f"exec 2>&1; {look}true")
    fresh_lab.run("azure-1", "podman", "exec", "inside", "redis-cli", "set", "key", "value")
    move("gcp-lab")
    assert fresh_lab.run("gcp-1", "podman", "exec", "inside", "sh", "-c", f"exec 2>&1; {look}true") == before
    assert fresh_lab.run("gcp-1", "podman", "exec", "inside", "redis-cli", "get", "key").strip() == "value"
    assert fresh_lab.run("gcp-1", "podman", "volume", "ls", "-q").split() == ["vol"]
    assert "vol" not in fresh_lab.run("azure-1", "podman", "volume", "ls", "-q").split()
    fresh_lab.run("gcp-1", "podman", "restart", "-t", "5", "inside")  # started anew, not passive
    end = time.monotonic() + 10
    while fresh_lab.run("gcp-1", "podman", "exec", "inside", "redis-cli", "get", "key").strip() != "value":
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_file(lab: RunningLab, host: str, path: str) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            lab.run(host, "podman", "exec", "inside", "cat", path)
        except LabError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def test_what_is_missing_is_named(fresh_lab: RunningLab) -> None:
    """No agent, no capabilities, a seccomp filter: refused before anything is touched, with what mends it."""
    plan = umsui("plan", "azure-lab/memhog", "--to", "gcp-lab", "--approach", "service", "--json").document
    verdict = next(each for each in plan["verdicts"] if each["approach"] == "service")
    assert not verdict["feasible"]
    assert "no umsui agent" in verdict["reason"]
    assert f"umsui image build --approach service {BASE}" in verdict["fix"]
    for options, words in ((("--cap-drop", "all"), "SYS_PTRACE"), ((), "CHECKPOINT_RESTORE")):
        fresh_lab.run("azure-1", "podman", "run", "-d", "--name", "inside", *options, IMAGE)
        umsui("services", "--refresh")
        refused = umsui("migrate", "azure-lab/inside", "--to", "gcp-lab", "--approach", "service", "--json", "--yes")
        assert refused.code == 3
        assert words in refused.out
        assert fresh_lab.run("gcp-1", "podman", "ps", "-aq").split() == []
        fresh_lab.run("azure-1", "podman", "rm", "-f", "-t", "0", "inside")
    caps = ("--cap-add", "CHECKPOINT_RESTORE,SYS_PTRACE,SETPCAP")
    fresh_lab.run("azure-1", "podman", "run", "-d", "--name", "inside", *caps, IMAGE)
    umsui("services", "--refresh")
    plan = umsui("plan", "azure-lab/inside", "--to", "gcp-lab", "--approach", "service", "--json").document
    verdict = next(each for each in plan["verdicts"] if each["approach"] == "service")
    assert "seccomp" in verdict["reason"]


def criu(lab: RunningLab, host: str) -> list[str]:
    """The host's numbers of the processes that are CRIU inside a container."""
    return lab.sh(host, "grep -ls '/umsui/criu$' /proc/[0-9]*/maps | cut -d/ -f3").split()


@pytest.mark.parametrize(("strategy", "rate"), [("stop-copy", "100mbit"), ("pre-copy", "400mbit")])
@pytest.mark.parametrize("host", ["azure-1", "gcp-1"])
def test_the_agent_inside_is_killed(fresh_lab: RunningLab, host: str, strategy: str, rate: str) -> None:
    """CRIU dies in the middle, at either end: the source goes on with its memory, and nothing is left."""
    start(fresh_lab, "-e", "MIB=256")
    before = memhog(fresh_lab, "azure-1", port=8100)
    over = threading.Event()
    killed: list[str] = []

    def kill() -> None:
        while not over.is_set():
            for pid in criu(fresh_lab, host):
                fresh_lab.sh(host, f"kill -9 {pid} 2>/dev/null; true")
                killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    to = ("--to", "gcp-lab", "--approach", "service", "--json", "--yes", "--bandwidth", rate)
    done = umsui("migrate", "inside", *to, "--strategy", strategy)
    over.set()
    thread.join()
    assert killed, done.err
    assert done.code == 1, done.out
    assert done.document["outcome"] == "rolled-back"
    assert "inside" not in containers(fresh_lab, "gcp-1")
    now = wait_for_answer(fresh_lab, "azure-1")
    assert now["nonce"] == before["nonce"]
    assert memhog(fresh_lab, "azure-1", "/checksum", port=8100)["ok"] is True
    move("gcp-lab")  # and it can be moved afterwards
    assert memhog(fresh_lab, "gcp-1", port=8100)["nonce"] == before["nonce"]


@pytest.mark.parametrize(("strategy", "step"), [("stop-copy", "checkpoint"), ("pre-copy", "arm")])
def test_cancelled_before_the_commit(fresh_lab: RunningLab, strategy: str, step: str) -> None:
    """While memory is on its way, frozen or not: called off, and the source goes on."""
    start(fresh_lab, "-e", "MIB=64")
    before = memhog(fresh_lab, "azure-1", port=8100)
    how = ("--approach", "service", "--strategy", strategy, "--bandwidth", "20mbit")
    begun = umsui("migrate", "inside", "--to", "gcp-lab", *how, "--json", "--yes", "--detach")
    assert begun.code == 0, begun.err
    migration = begun.document["id"]
    end = time.monotonic() + 60
    while umsui("migrations", migration, "--json").document["step"] != step:
        assert time.monotonic() < end
    assert umsui("cancel", migration).code == 0
    assert wait_for_outcome(migration)["outcome"] == "cancelled"
    now = wait_for_answer(fresh_lab, "azure-1")
    assert now["nonce"] == before["nonce"]
    assert memhog(fresh_lab, "azure-1", "/checksum", port=8100)["ok"] is True
    assert "inside" not in containers(fresh_lab, "gcp-1")
