"""A service of three containers with two volumes moves at one commit: whole, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, traces, umsui

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

PLACES = ("azure-1", "gcp-1")
LABEL = "--label umsui.io/service=shop"
# Writes into both volumes for as long as it runs, and deletes, truncates, links and renames meanwhile.
WRITER = r"""
n=0
while :; do
  n=$((n+1))
  echo "$n" > /one/.dot; echo "$n" >> /one/grows; echo "$n" > /two/count
  echo x > /two/gone-$n; rm -f /two/gone-$((n-1))
  ln -f /one/hard /one/hard-again; mv -f /two/a /two/b 2>/dev/null || mv -f /two/b /two/a
  echo short > /two/truncated
done
"""
QUIET = "! -name .dot ! -name grows ! -name count ! -name 'gone-*' ! -name truncated ! -name a ! -name b ! -path ."
SUMMARY = (
    f"cd {{0}} && find . {QUIET} -printf '%p %y %m %U %G %s %n %l\\n' | sort && "
    f"find . {QUIET} -type f -exec sha256sum {{{{}}}} + | sort && du -k sparse 2>/dev/null; "
    "python3 -c \"import os; print([(n, os.getxattr(n, k)) for n in ('big', '.set') if os.path.exists(n) "
    'for k in os.listxattr(n)])"'
)


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """The coordinator that commands start ends with the test."""
    yield
    umsui("coordinator", "stop", "--force")


@pytest.fixture
def shop(fresh_lab: RunningLab) -> RunningLab:
    """Front (memhog with memory), writer (redis's shell, both volumes), cache (redis, on the first volume, too)."""
    fresh_lab.sh(
        "azure-1",
        "podman volume create one >/dev/null && podman volume create two >/dev/null && "
        "cd $(podman volume inspect -f '{{.Mountpoint}}' one) && echo hard > hard && echo h > .hidden && "
        "truncate -s 20M sparse && "
        "echo x | dd of=sparse seek=1000 conv=notrunc 2>/dev/null && head -c 3M /dev/urandom > big && "
        "python3 -c \"import os; os.setxattr('big', 'user.mark', b'kept')\" && "
        "cd $(podman volume inspect -f '{{.Mountpoint}}' two) && echo a > a && head -c 1M /dev/urandom > truncated && "
        "echo old > deleted",
    )
    run = f"podman run -d {LABEL} --name"
    fresh_lab.sh("azure-1", f"{run} front -p 8030:8000 localhost/umsui/memhog:1 MIB=32 CHILDREN=2")
    fresh_lab.run("azure-1", *f"{run} writer -v one:/one -v two:/two localhost/umsui/redis:1 sh -c".split(), WRITER)
    fresh_lab.sh("azure-1", f"{run} cache -p 6390:6379 -v one:/shared localhost/umsui/redis:1 redis-server --save ''")
    fresh_lab.sh("azure-1", "rm $(podman volume inspect -f '{{.Mountpoint}}' two)/deleted")
    umsui("services", "--refresh")
    return fresh_lab


def volumes(lab: RunningLab, host: str) -> list[str]:
    """What in both volumes is not written all the time, as one text each."""
    paths = [lab.sh(host, f"podman volume inspect -f '{{{{.Mountpoint}}}}' {name}").strip() for name in ("one", "two")]
    return [lab.sh(host, SUMMARY.format(path)) for path in paths]


def test_it_is_one_service(shop: RunningLab) -> None:
    found = {each["name"]: each for each in umsui("services", "--json").document if each["cluster"] == "azure-lab"}
    assert "shop" in found
    assert not {"front", "writer", "cache"} & set(found)
    planned = umsui("plan", "shop", "--to", "gcp-lab", "--json")
    assert planned.code == 0, planned.err
    assert planned.document["approach"] == "orchestrator"
    assert planned.document["processes"] >= 5
    assert planned.document["bytes"]["memory"] > 32 << 20


def test_three_containers_and_two_volumes(shop: RunningLab) -> None:
    before, files = memhog(shop, "azure-1", port=8030), volumes(shop, "azure-1")
    assert "sparse" in files[0]
    assert "kept" in files[0]
    shop.sh("azure-1", "podman exec cache redis-cli set k v")
    done = umsui("migrate", "shop", "--to", "gcp-lab", "--json", "--yes")
    assert done.code == 0, done.err
    assert done.document["outcome"] == "committed"
    assert {"front", "writer", "cache"} <= set(containers(shop, "gcp-1"))
    assert not {"front", "writer", "cache"} & set(containers(shop, "azure-1"))
    after = memhog(shop, "gcp-1", port=8030)
    assert (after["nonce"], after["processes"], after["count"] > before["count"]) == (before["nonce"], 3, True)
    assert memhog(shop, "gcp-1", "/checksum", port=8030)["ok"] is True
    assert shop.sh("gcp-1", "podman exec cache redis-cli get k").strip() == "v"
    assert volumes(shop, "gcp-1") == files
    assert shop.sh("azure-1", "podman volume ls -q").split() == []
    assert [traces(shop, host) for host in PLACES] == [[], []]
    # The writer goes on where it was: what it had written is there, and it is the same process that adds to it.
    path = shop.sh("gcp-1", "podman volume inspect -f '{{.Mountpoint}}' one").strip()
    first = int(shop.sh("gcp-1", f"tail -n 1 {path}/grows"))
    time.sleep(0.5)
    numbers = [int(word) for word in shop.sh("gcp-1", f"cat {path}/grows").split()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > first
    two = shop.sh("gcp-1", "ls $(podman volume inspect -f '{{.Mountpoint}}' two)").split()
    assert len([name for name in two if name.startswith("gone-")]) <= 2
    assert "deleted" not in two


KILL_RELAY = """
python3 -c 'import glob, json; print(json.load(open(glob.glob("/run/umsui/*-1.destination/state.json")[0]))["relay"])' |
xargs kill -KILL
"""


SLOWLY = ("--strategy", "stop-copy", "--bandwidth", "6MB/s", "--detach")


def test_one_that_cannot_undoes_all(shop: RunningLab) -> None:
    """The restore of one container dies while all stand still: all go on at the source."""
    before = memhog(shop, "azure-1", port=8030)
    started = umsui("migrate", "shop", "--to", "gcp-lab", *SLOWLY, "--json", "--yes")
    migration = started.document["id"]
    end = time.monotonic() + 180
    while json.loads(umsui("migrations", migration, "--json").out)["outcome"] is None:
        frozen = shop.sh("azure-1", "cat /run/umsui/*.source/state.json 2>/dev/null || true").count('"frozen"')
        if frozen == 3:
            shop.sh("gcp-1", KILL_RELAY)
            break
        assert time.monotonic() < end
        time.sleep(0.05)
    while (found := umsui("migrations", migration, "--json").document)["outcome"] is None:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert found["outcome"] == "rolled-back", found
    assert {"front", "writer", "cache"} <= set(containers(shop, "azure-1"))
    assert not {"front", "writer", "cache"} & set(containers(shop, "gcp-1"))
    after = memhog(shop, "azure-1", port=8030)
    assert (after["nonce"], after["count"] > before["count"]) == (before["nonce"], True)
    assert shop.sh("azure-1", "podman exec cache redis-cli ping").strip() == "PONG"
    assert [traces(shop, host) for host in PLACES] == [[], []]
