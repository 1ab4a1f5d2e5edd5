"""The main job, without a terminal: services arrive with memory, files and volumes; and what goes wrong has a name."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, traces, umsui, wait_for_step
from umsui.model import Strategy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

KEYS = {
    "id", "service", "source", "destination", "approach", "strategy", "reason", "outcome", "downtime",
    "downtime_source", "overhead", "predicted", "bytes", "processes", "endpoint", "error",
}  # fmt: skip


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """The coordinator that commands start ends with the test."""
    yield
    umsui("coordinator", "stop", "--force")


@pytest.mark.parametrize("strategy", list(Strategy))
def test_there_and_back(fresh_lab: RunningLab, strategy: str) -> None:
    """Ten moves by each strategy that is chosen by itself, four by others: nonce, counter and checksum hold."""
    rounds = 5 if strategy in (Strategy.STOP_COPY, Strategy.PRE_COPY) else 2
    before = memhog(fresh_lab, "azure-1")
    start = "azure-1"
    for to, host in [("gcp-lab", "gcp-1"), ("azure-lab", None)] * rounds:
        done = umsui("migrate", "memhog", "--to", to, "--strategy", strategy, "--json", "--yes")
        assert done.code == 0, done.err
        assert set(done.document) >= KEYS
        assert done.document["outcome"] == "committed"
        assert done.document["downtime_source"] == "client"
        place = done.document["destination"]["node"]
        assert host in (None, place)
        assert done.document["endpoint"] == f"{fresh_lab.host(place).address}:8000"
        now = memhog(fresh_lab, place)
        assert (now["nonce"], now["mib"]) == (before["nonce"], 64)
        assert now["count"] > before["count"]
        assert memhog(fresh_lab, place, "/checksum")["ok"] is True
        assert "memhog" not in containers(fresh_lab, start)
        before, start = now, place
    for host in ("azure-1", "azure-2", "gcp-1"):
        assert traces(fresh_lab, host) == []
    assert "Up" in fresh_lab.run(start, "podman", "ps", "--format", "{{.Names}} {{.Status}}")
    assert fresh_lab.run(start, "podman", "logs", "memhog").split()
    fresh_lab.run(start, "podman", "stop", "-t", "1", "memhog")
    fresh_lab.run(start, "podman", "rm", "memhog")


class Writer(threading.Thread):
    """Writes numbered keys into redis, wherever it answers, and remembers which were acknowledged."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(daemon=True)
        self.addresses = addresses
        self.acknowledged: list[int] = []
        self.going = True

    def run(self) -> None:
        """Until told to stop."""
        number = 0
        while self.going:
            number += 1
            while self.going and not any(self._write(address, number) for address in self.addresses):
                time.sleep(0.002)

    def _write(self, address: str, number: int) -> bool:
        try:
            with socket.create_connection((address, 6379), timeout=0.5) as stream:
                stream.sendall(f"SET key{number} {number}\r\n".encode())
                if stream.recv(64).startswith(b"+OK"):
                    self.acknowledged.append(number)
                    return True
        except OSError:
            pass  # not there (yet, or any more): the other address is next
        return False


def test_redis_loses_no_acknowledged_write(fresh_lab: RunningLab) -> None:
    addresses = [fresh_lab.host(name).address for name in ("azure-2", "gcp-1")]
    writer = Writer(addresses)
    writer.start()
    time.sleep(0.5)
    done = umsui("migrate", "redis", "--to", "gcp-lab", "--json", "--yes")
    time.sleep(0.5)
    writer.going = False
    writer.join()
    assert done.code == 0, done.err
    assert len(writer.acknowledged) > 100
    with socket.create_connection((addresses[1], 6379), timeout=5) as stream:
        reader = stream.makefile("rb")
        for number in writer.acknowledged:
            stream.sendall(f"GET key{number}\r\n".encode())
            assert reader.readline().startswith(b"$"), number
            assert reader.readline() == f"{number}\r\n".encode()
    assert fresh_lab.run("azure-2", "podman", "volume", "ls", "-q").split() == []


def test_several_processes_and_files(fresh_lab: RunningLab) -> None:
    """Eight processes; in the volume dotfiles, a deleted, a sparse, a hard-linked file and one with xattrs."""
    run = "podman run -d --name eight -p 8010:8000 -v data:/data localhost/umsui/memhog:1 MIB=64 CHILDREN=7"
    fresh_lab.sh("azure-1", run)
    volume = fresh_lab.sh("azure-1", "podman volume inspect -f '{{.Mountpoint}}' data").strip()
    fresh_lab.sh(
        "azure-1",
        f"cd {volume} && echo one > .hidden && mkdir -p 'a b/c' && head -c 3000000 /dev/urandom > 'a b/c/big' && "
        "ln 'a b/c/big' linked && truncate -s 50M sparse && "
        "echo x | dd of=sparse seek=1000 conv=notrunc 2>/dev/null && "
        "ln -s .hidden link && echo gone > gone && echo '#' > '#odd' && chmod 600 .hidden && chown 12:34 linked && "
        "python3 -c \"import os; os.setxattr('.hidden', 'user.mark', b'kept')\"",
    )
    summary = (
        "cd {0} && rm -f gone && find . -printf '%p %y %m %U %G %s %n %l\\n' | sort && "
        "find . -type f -exec sha256sum {{}} + | sort && du -k sparse | cut -f1 && "
        "python3 -c \"import os; print(os.getxattr('.hidden', 'user.mark'))\""
    )
    before = memhog(fresh_lab, "azure-1", port=8010)
    there = fresh_lab.sh("azure-1", summary.format(volume))
    done = umsui("migrate", "eight", "--to", "onprem-lab", "--json", "--yes")
    assert done.code == 0, done.err
    assert done.document["processes"] == 8
    assert fresh_lab.sh("onprem-1", summary.format(volume)) == there
    after = memhog(fresh_lab, "onprem-1", port=8010)
    assert (after["nonce"], after["processes"]) == (before["nonce"], 8)
    assert memhog(fresh_lab, "onprem-1", "/checksum", port=8010)["ok"] is True


def wait_until_live(patience: float = 30.0) -> None:
    """Until every node answers."""
    end = time.monotonic() + patience
    while any(node["state"] != "live" for node in umsui("nodes", "--refresh", "--json").document):
        assert time.monotonic() < end, umsui("nodes").out


def refuse(lab: RunningLab, arguments: list[str], code: int, words: str) -> None:
    """A request that is refused with this exit code and these words, the service going on untouched."""
    before = memhog(lab, "azure-1")
    done = umsui("migrate", *arguments, "--yes")
    assert done.code == code, done.err
    assert words in done.err
    assert "fix:" in done.err
    after = memhog(lab, "azure-1")
    assert after["nonce"] == before["nonce"]
    assert after["count"] > before["count"]
    assert traces(lab, "azure-1") == []


def test_what_cannot_be_meant(fresh_lab: RunningLab) -> None:
    refuse(fresh_lab, ["azure-lab/memhg", "--to", "gcp-lab"], 2, "memhog")
    refuse(fresh_lab, ["memhog", "--to", "gcp-lap"], 2, "gcp-lab")
    refuse(fresh_lab, ["memhog", "--to", "azure-lab", "--node", "azure-1"], 2, "already")


def test_what_preflight_refuses(fresh_lab: RunningLab) -> None:
    fresh_lab.sh("gcp-1", "podman run -d --name other -p 8000:8000 localhost/umsui/memhog:1 MIB=1")
    refuse(fresh_lab, ["azure-lab/memhog", "--to", "gcp-lab"], 3, "8000")
    fresh_lab.sh("gcp-1", "podman rm -f -t 0 other; podman create --name memhog localhost/umsui/memhog:1")
    refuse(fresh_lab, ["azure-lab/memhog", "--to", "gcp-lab"], 3, "memhog")
    fresh_lab.sh("gcp-1", "podman rm memhog; mv /usr/sbin/criu /usr/sbin/criu.away")
    try:
        refuse(fresh_lab, ["azure-lab/memhog", "--to", "gcp-lab"], 3, "CRIU")
    finally:
        fresh_lab.sh("gcp-1", "mv /usr/sbin/criu.away /usr/sbin/criu")
    refuse(fresh_lab, ["azure-lab/memhog", "--to", "gcp-lab", "--max-downtime", "0.001"], 3, "downtime")


def test_a_taken_volume_is_left_alone(fresh_lab: RunningLab) -> None:
    volume = fresh_lab.sh("azure-2", "podman volume ls -q").split()[0]
    path = f"$(podman volume inspect -f '{{{{.Mountpoint}}}}' {volume})/mine"
    fresh_lab.sh("gcp-1", f"podman volume create {volume} && echo mine > {path}")
    done = umsui("migrate", "redis", "--to", "gcp-lab", "--yes")
    assert done.code in (1, 3)
    assert volume in done.err
    assert "mine" in fresh_lab.sh("gcp-1", f"cat {path}")
    assert "redis" in containers(fresh_lab, "azure-2")
    assert "redis" not in containers(fresh_lab, "gcp-1")


def test_an_unreachable_node(fresh_lab: RunningLab) -> None:
    assert umsui("clusters").code == 0
    sshd = fresh_lab.sh("gcp-1", "cat /run/sshd.pid").strip()
    fresh_lab.sh("gcp-1", f"kill -STOP {sshd}; pkill -KILL -P {sshd} || true")
    try:
        refuse(fresh_lab, ["memhog", "--to", "gcp-lab"], 4, "gcp-lab")
    finally:
        fresh_lab.sh("gcp-1", f"kill -CONT {sshd}")
    wait_until_live()


def test_cancel_before_the_commit(fresh_lab: RunningLab) -> None:
    before = memhog(fresh_lab, "azure-1")
    started = umsui(
        "migrate",
        "azure-lab/memhog",
        "--to",
        "gcp-lab",
        "--strategy",
        "stop-copy",
        "--bandwidth",
        "5MB/s",
        "--detach",
        "--yes",
    )
    assert started.code == 0, started.err
    migration = started.out.split()[-1]
    wait_for_step(migration, "checkpoint")
    time.sleep(1.0)  # at 5 MB/s the switch takes 13 s: this is in its middle
    assert umsui("cancel", migration).code == 0
    done = umsui("watch", migration)
    assert done.code == 130, done.err
    found = umsui("migrations", migration, "--json").document
    print(f"cancelled one second after the freeze, clients had no reply for {found['downtime']:.2f} s")
    assert found["downtime"] > 0
    steps = {each["step"] for each in umsui("migrations", migration, "--trace", "--json").document["steps"]}
    assert "checkpoint" in steps
    assert "transfer" not in steps  # it did not wait for the rest of the memory
    assert found["endpoint"] == ""  # it is not there
    after = memhog(fresh_lab, "azure-1")
    assert after["nonce"] == before["nonce"]
    assert memhog(fresh_lab, "azure-1", "/checksum")["ok"] is True
    assert "memhog" not in containers(fresh_lab, "gcp-1")
    assert traces(fresh_lab, "azure-1") == traces(fresh_lab, "gcp-1") == []
