"""While a service moves, others keep their hands off it; who does not is noticed, and the move called off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, traces, umsui, wait_for_outcome, wait_for_step

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """The coordinator that commands start ends with the test."""
    yield
    umsui("coordinator", "stop", "--force")


def copying(lab: RunningLab) -> str:
    """The id of a migration of ``slow`` (40 MiB in a volume, at 4 MB/s) whose files are just being copied."""
    lab.sh("azure-1", "podman run -d --name slow -p 8010:8000 -v data:/data localhost/umsui/memhog:1 MIB=8")
    lab.sh("azure-1", "head -c 40M /dev/urandom > $(podman volume inspect -f '{{.Mountpoint}}' data)/big")
    umsui("services", "--refresh")
    options = ("--to", "gcp-lab", "--bandwidth", "4MB/s", "--detach", "--json", "--yes")
    migration = str(umsui("migrate", "azure-lab/slow", *options).document["id"])
    wait_for_step(migration, "copy-ahead")
    return migration


SOURCE = [
    ("podman pause slow", "paused"),
    ("podman stop -t 1 slow", "exited"),
    ("podman rename slow quick", "renamed to quick"),
    ("podman rm -f -t 0 slow", "removed"),
    ("podman restart -t 1 slow", "started anew"),
]
DESTINATION = [("podman rm -f -t 0 slow", "removed"), ("podman start slow", "running")]


@pytest.mark.parametrize(
    ("host", "command", "words"),
    [("azure-1", *each) for each in SOURCE] + [("gcp-1", *each) for each in DESTINATION],
)
def test_it_is_called_off(fresh_lab: RunningLab, host: str, command: str, words: str) -> None:
    migration = copying(fresh_lab)
    fresh_lab.sh(host, command)
    done = wait_for_outcome(migration)
    assert done["outcome"] == "rolled-back"
    assert done["error"]["code"] == "changed", done["error"]
    assert words in done["error"]["message"]
    assert "slow" not in containers(fresh_lab, "gcp-1")
    assert [traces(fresh_lab, each) for each in ("azure-1", "gcp-1")] == [[], []]
    if host == "gcp-1":
        assert memhog(fresh_lab, "azure-1", "/checksum", port=8010)["ok"] is True


def test_a_second_move_is_refused(fresh_lab: RunningLab) -> None:
    migration = copying(fresh_lab)
    for service, to in (("azure-lab/slow", "onprem-lab"), ("azure-lab/slow", "gcp-lab")):
        again = umsui("migrate", service, "--to", to, "--yes")
        assert again.code == 2
        assert migration in again.err
    assert umsui("cancel", migration).code == 0
    assert wait_for_outcome(migration)["outcome"] == "cancelled"
    assert memhog(fresh_lab, "azure-1", "/checksum", port=8010)["ok"] is True
