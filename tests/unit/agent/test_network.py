"""The network namespace that CRIU is started in, with real namespaces."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import waiting_for
from umsui.agent import namespaces, network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PORTS, LATER = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.conf.eth0.arp_ignore"


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A process in a network of its own."""
    argv = ["unshare", "--net", "sleep", "60"]
    with subprocess.Popen(argv) as process:
        waiting_for(lambda: not namespaces.same(process.pid, "net"))
        yield process.pid
        process.kill()


def bundle(folder: Path, *kinds: dict[str, Any], **sysctl: str) -> Path:
    linux = {"namespaces": list(kinds), "sysctl": sysctl}
    (folder / "config.json").write_text(json.dumps({"linux": linux}))
    return folder


def name(path: str = "/proc/self/ns/net") -> str:
    return str(Path(path).readlink())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def seen(home: network.Home, script: str) -> str:
    """What a program prints that is started in there."""
    return subprocess.check_output(["sh", "-c", script], preexec_fn=home.enter, text=True).strip()


def test_a_dump_is_made_in_the_services_own_network(elsewhere: int) -> None:
    home = network.of_dump(elsewhere)
    assert home is not None
    assert seen(home, "readlink /proc/self/ns/net") == name(f"/proc/{elsewhere}/ns/net")
    assert home.settle() == []
    home.close()


def test_the_nodes_own_needs_no_care(tmp_path: Path) -> None:
    assert network.of_dump(os.getpid()) is None
    assert network.of_restore(bundle(tmp_path, {"type": "pid"})) is None


def test_one_in_a_user_namespace_is_crius_matter(tmp_path: Path) -> None:
    assert network.of_restore(bundle(tmp_path, {"type": "network"}, {"type": "user"})) is None
    argv = ["unshare", "--net", "--user", "sleep", "60"]
    with subprocess.Popen(argv) as process:
        waiting_for(lambda: not namespaces.same(process.pid, "user") and not namespaces.same(process.pid, "net"))
        assert network.of_dump(process.pid) is None
        process.kill()


def test_a_restore_finds_the_one_that_its_engine_has_made(elsewhere: int, tmp_path: Path) -> None:
    own = name()
    there = {"type": "network", "path": f"/proc/{elsewhere}/ns/net"}
    home = network.of_restore(bundle(tmp_path, there, **{PORTS: "81", "kernel.domainname": "x"}))
    assert home is not None
    assert seen(home, "readlink /proc/self/ns/net") == name(there["path"])
    assert seen(home, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "81"
    assert name() == own
    home.close()
    there["path"] = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):  # never in the node's own instead
        network.of_restore(bundle(tmp_path, there))


def test_where_the_engine_makes_none_there_is_a_new_one(tmp_path: Path) -> None:
    """Its loopback is up; what needs an interface is set when that is there."""
    descriptors = open_descriptors()
    home = network.of_restore(bundle(tmp_path, {"type": "network"}, **{LATER: "1", PORTS: "82"}))
    assert home is not None
    assert seen(home, "readlink /proc/self/ns/net") != name()
    assert seen(home, "tail -n +3 /proc/net/dev | cut -d: -f1 | grep -c .; cat /proc/net/dev").startswith("1\n")
    assert "LOOPBACK,UP" in seen(home, "ip link show lo")
    assert seen(home, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "82"
    assert home.settle() == [f"{LATER}=1"]
    seen(home, "ip link add eth0 type veth peer name other")
    assert home.settle() == []
    assert seen(home, "cat /proc/sys/net/ipv4/conf/eth0/arp_ignore") == "1"
    home.close()
    assert open_descriptors() == descriptors
