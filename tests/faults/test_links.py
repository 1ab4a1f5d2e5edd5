"""The link between the nodes is cut in the middle of a migration, for a while or for good; a source that dies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.job import memhog, started, traces, umsui, wait_for_outcome, wait_for_step
from umsui.lab import network

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
SOURCE, DESTINATION = "azure-1", "gcp-1"
PORT = 8050
MIB = 192


@pytest.fixture(autouse=True)
def hog(fresh_lab: RunningLab) -> Iterator[None]:
    """A service that takes eight seconds to send; the coordinator goes before the lab does."""
    umsui("lab", "shape", "200mbit")
    run = ("podman", "run", "-d", "--name", "hog", "-p", f"{PORT}:8000", "localhost/umsui/memhog:1", f"MIB={MIB}")
    fresh_lab.run(SOURCE, *run)
    started(fresh_lab, SOURCE, PORT)
    yield
    umsui("coordinator", "stop", "--force")
    heal(fresh_lab)


def cut(lab: RunningLab) -> None:
    """Nothing that the destination sends reaches the source; both still hear the coordinator."""
    lab.run(DESTINATION, "ip", "route", "add", "blackhole", f"{lab.host(SOURCE).address}/32")


def heal(lab: RunningLab) -> None:
    """The link is as it was."""
    lab.sh(DESTINATION, f"ip route del blackhole {lab.host(SOURCE).address}/32 2>/dev/null || true")


def begin(strategy: str, *more: str) -> str:
    """Start to move it; the migration's id."""
    options = ("--to", "gcp-lab", "--strategy", strategy, "--json", "--yes", "--detach", *more)
    answer = umsui("migrate", "azure-lab/hog", *options)
    assert answer.code == 0, answer.err
    return str(answer.document["id"])


def is_whole(lab: RunningLab, host: str, nonce: str, count: int) -> None:
    """It runs there, with its memory, and nowhere else; no host has a trace of the migration."""
    other = DESTINATION if host == SOURCE else SOURCE
    after = started(lab, host, PORT)
    assert after["nonce"] == nonce
    assert after["count"] > count
    assert memhog(lab, host, "/checksum", PORT)["ok"] is True
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        memhog(lab, other, port=PORT)
    assert [traces(lab, each) for each in (SOURCE, DESTINATION)] == [[], []]


@pytest.mark.parametrize(("strategy", "step"), [("pre-copy", "copy-ahead"), ("stop-copy", "checkpoint")])
def test_a_link_cut_for_good_before_the_commit(fresh_lab: RunningLab, strategy: str, step: str) -> None:
    before = memhog(fresh_lab, SOURCE, port=PORT)
    migration = begin(strategy)
    wait_for_step(migration, step)
    time.sleep(1.0)
    cut(fresh_lab)
    was_cut = time.monotonic()
    ended = wait_for_outcome(migration, 120)
    print(f"undone {time.monotonic() - was_cut:.1f} s after the link was cut: {ended['error']}")
    assert ended["outcome"] == "rolled-back"
    is_whole(fresh_lab, SOURCE, before["nonce"], before["count"])


@pytest.mark.parametrize("strategy", ["hybrid", "post-copy"])
def test_a_link_cut_and_healed_while_draining(fresh_lab: RunningLab, strategy: str) -> None:
    before = memhog(fresh_lab, SOURCE, port=PORT)
    migration = begin(strategy)
    wait_for_step(migration, "drain" if strategy == "post-copy" else "commit")
    cut(fresh_lab)
    time.sleep(18)  # longer than ssh waits for its peer
    heal(fresh_lab)
    ended = wait_for_outcome(migration, 120)
    assert ended["outcome"] == "committed", ended["error"]
    is_whole(fresh_lab, DESTINATION, before["nonce"], before["count"])


def test_a_source_that_is_gone_for_long_is_waited_for_when_somebody_says_so(fresh_lab: RunningLab) -> None:
    before = memhog(fresh_lab, SOURCE, port=PORT)
    migration = begin("post-copy")
    wait_for_step(migration, "drain")
    cable = fresh_lab.host(SOURCE).link
    network.run(["ip", "link", "set", cable, "down"])
    try:
        ended = wait_for_outcome(migration, 200)
    finally:
        network.run(["ip", "link", "set", cable, "up"])
    assert ended["outcome"] == "unknown"
    assert ended["error"]["code"] == "source-gone"
    assert f"umsui resolve {migration}" in ended["error"]["fix"]
    assert umsui("resolve", migration, "--json").document["outcome"] == "committed"
    is_whole(fresh_lab, DESTINATION, before["nonce"], before["count"])


KILL = """
pid=$(podman inspect hog --format '{{.State.Pid}}')
kill -9 $pid
echo THAWED > /sys/fs/cgroup/freezer/$(grep :freezer: /proc/$pid/cgroup | cut -d: -f3)/freezer.state
"""
FORGET = """
for conf in /run/umsui/*.source/ssh.conf; do [ ! -f $conf ] || ssh -F $conf -O exit umsui 2>/dev/null; done
podman rm -f -a -t 0 >/dev/null
rm -rf /run/umsui /dev/shm/umsui
sed -i /umsui:/d /root/.ssh/authorized_keys
"""


def test_a_source_that_dies_while_draining_is_told_as_what_it_is(fresh_lab: RunningLab) -> None:
    migration = begin("post-copy")
    wait_for_step(migration, "drain")
    fresh_lab.sh(SOURCE, KILL)
    ended = wait_for_outcome(migration)
    umsui("coordinator", "stop", "--force")
    for host in (SOURCE, DESTINATION):
        fresh_lab.sh(host, FORGET)  # whatever it came to: nobody else would
    assert (ended["outcome"], ended["error"]["code"]) == ("unknown", "lost"), ended["error"]
    assert "pre-copy and stop-copy have no such risk" in ended["error"]["fix"]
