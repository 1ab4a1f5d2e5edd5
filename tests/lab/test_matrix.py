"""Each approach x engine x processes x size: there and back, the memory intact. Prints itself at the end."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningLab
from tests.lab.job import memhog, started, traces, umsui
from tests.lab.matrix import ENDS, RESULTS, ROWS, Result, Row

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

IMAGE = "localhost/umsui/memhog:1"
PORT = 8011


@functools.cache
def with_umsui_inside(node: str) -> str:
    """The image that the service-level approach runs, made on its node."""
    built = umsui("image", "build", "--approach", "service", IMAGE, "--node", node, "--json")
    assert built.code == 0, built.err
    return str(built.document["image"])


@pytest.fixture
def place(mixed_module: RunningLab) -> Iterator[RunningLab]:
    """The mixed lab; what a row has started is gone after it."""
    yield mixed_module
    for host in mixed_module.lab.hosts:
        mixed_module.run(host.name, "sh", "-c", f"{host.orchestrator} rm -f moved >/dev/null 2>&1; true")


def deployed(row: Row, folder: Path) -> None:
    """Start the row's service at its first end."""
    cluster, node = ENDS[row.engines][0]
    image = with_umsui_inside(f"{cluster}/{node}") if row.approach == "service" else IMAGE
    command = [f"MIB={row.mib}", f"CHILDREN={row.processes - 1}"]
    file = folder / "m.toml"
    words = "".join(f'"{word}", ' for word in command)
    file.write_text(f'name = "moved"\nimage = "{image}"\nports = ["{PORT}:8000"]\ncommand = [{words}]\n')
    done = umsui("deploy", str(file), "--cluster", cluster, "--node", node, "--approach", row.approach)
    assert done.code == 0, done.err


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_there_and_back(place: RunningLab, row: Row, tmp_path: Path) -> None:
    result = Result(row, failed="did not come so far")
    RESULTS.append(result)
    deployed(row, tmp_path)
    here, there = ENDS[row.engines]
    before = started(place, here[1], PORT)
    downtimes, totals = [], []
    for source, destination in ((here, there), (there, here)):
        to = ("--to", destination[0], "--node", destination[1], "--approach", row.approach)
        done = umsui("migrate", f"{source[0]}/moved", *to, "--strategy", "stop-copy", "--json", "--yes")
        assert done.code == 0, done.err
        assert done.document["approach"] == row.approach
        now = memhog(place, destination[1], port=PORT)
        assert (now["nonce"], now["mib"], now["processes"]) == (before["nonce"], row.mib, row.processes)
        assert now["count"] > before["count"]
        assert memhog(place, destination[1], "/checksum", port=PORT)["ok"] is True
        assert [traces(place, node) for _, node in (here, there)] == [[], []]
        downtimes.append(done.document["downtime"])
        totals.append(done.document["overhead"]["total"])
        before = now
    RESULTS[-1] = Result(row, downtimes, totals)
