"""The coordinator is killed at a step of a real migration: afterwards the service runs at exactly one place."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.job import memhog, traces, umsui, wait_for_outcome, wait_for_step
from umsui import locations

pytestmark = pytest.mark.lab
PLACES = ("azure-1", "gcp-1")


@pytest.fixture(autouse=True)
def slow_link(fresh_lab: RunningLab) -> Iterator[None]:
    """So slow that a step can be hit; the coordinator goes before the lab does."""
    umsui("lab", "shape", "200mbit")
    yield
    umsui("coordinator", "stop")


def start_until(step: str) -> str:
    """Start a migration of memhog and return its id when ``step`` has started."""
    options = ("--to", "gcp-lab", "--strategy", "stop-copy", "--json", "--yes", "--detach")
    migration = str(umsui("migrate", "azure-lab/memhog", *options).document["id"])
    wait_for_step(migration, step)
    return migration


def where(lab: RunningLab) -> list[str]:
    """The hosts that run memhog."""
    return [host for host in PLACES if "memhog" in lab.run(host, "podman", "ps", "--format", "{{.Names}}").split()]


@pytest.mark.parametrize("step", ["connect", "reserve", "freeze"])
def test_the_coordinator_is_killed(fresh_lab: RunningLab, step: str) -> None:
    before = memhog(fresh_lab, "azure-1")
    migration = start_until(step)
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    assert wait_for_outcome(migration)["outcome"] in ("rolled-back", "committed")
    (place,) = where(fresh_lab)
    after = memhog(fresh_lab, place)
    assert after["nonce"] == before["nonce"]
    assert after["count"] > before["count"]
    assert memhog(fresh_lab, place, "/checksum")["ok"]
    assert [traces(fresh_lab, host) for host in PLACES] == [[], []]
