"""An unknown outcome, taken up again: finished or undone by what had been decided, with the service's memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, traces, umsui, wait_for_outcome

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
PLACES = ("azure-1", "gcp-1")
BROKEN = "/usr/local/sbin/podman"  # where agents find it first


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """The coordinator that commands start ends with the test; podman is whole again."""
    yield
    umsui("coordinator", "stop", "--force")
    for host in PLACES:
        fresh_lab.sh(host, f"rm -f {BROKEN}")


def break_podman(lab: RunningLab, host: str) -> None:
    """It cannot remove containers any more."""
    script = (
        '#!/bin/sh\\ncase "$1" in rm) echo "the store is damaged" >&2; exit 1;; esac\\nexec /usr/bin/podman "$@"\\n'
    )
    lab.sh(host, f"printf '{script}' > {BROKEN} && chmod +x {BROKEN}")


def test_it_is_finished(fresh_lab: RunningLab) -> None:
    before = memhog(fresh_lab, "azure-1")
    break_podman(fresh_lab, "azure-1")
    done = umsui("migrate", "azure-lab/memhog", "--to", "gcp-lab", "--json", "--yes")
    assert done.code == 5, done.err
    assert f"umsui resolve {done.document['id']}" in done.document["error"]["fix"]
    still = umsui("resolve", "last", "--json")
    assert still.code == 5  # nothing is mended
    fresh_lab.sh("azure-1", f"rm {BROKEN}")
    found = umsui("resolve", "last", "--json")
    assert found.code == 0, found.err
    assert (found.document["outcome"], found.document["error"]) == ("committed", None)
    assert "commit had been decided" in found.err
    after = memhog(fresh_lab, "gcp-1")
    assert (after["nonce"], after["count"] > before["count"]) == (before["nonce"], True)
    assert "memhog" not in containers(fresh_lab, "azure-1")
    assert [traces(fresh_lab, host) for host in PLACES] == [[], []]
    assert umsui("resolve", "last").code == 2


def test_it_is_undone(fresh_lab: RunningLab) -> None:
    before = memhog(fresh_lab, "azure-1")
    break_podman(fresh_lab, "gcp-1")
    options = ("--to", "gcp-lab", "--bandwidth", "5MB/s", "--strategy", "stop-copy", "--detach", "--json", "--yes")
    migration = str(umsui("migrate", "azure-lab/memhog", *options).document["id"])
    while "memhog" not in containers(fresh_lab, "gcp-1"):
        time.sleep(0.1)
    assert umsui("cancel", migration).code == 0
    assert wait_for_outcome(migration)["outcome"] == "unknown"
    assert memhog(fresh_lab, "azure-1", "/checksum")["ok"] is True  # it is not kept waiting for that
    fresh_lab.sh("gcp-1", f"rm {BROKEN}")
    found = umsui("resolve", migration, "--json")
    assert found.document["outcome"] in ("rolled-back", "cancelled")
    after = memhog(fresh_lab, "azure-1")
    assert (after["nonce"], after["count"] > before["count"]) == (before["nonce"], True)
    assert "memhog" not in containers(fresh_lab, "gcp-1")
    assert [traces(fresh_lab, host) for host in PLACES] == [[], []]
