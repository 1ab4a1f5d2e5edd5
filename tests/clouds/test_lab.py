"""The whole way: found through the clouds' APIs, dragged from one cloud to the other, its memory intact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.local import LocalCloud
from tests.clouds.machines import Machine
from tests.clouds.umsui import Umsui, azure_table, google_table
from tests.conftest import RunningLab
from tests.lab.terminal import Terminal
from tests.lab.test_terminal import ask
from umsui.model import Exit

pytestmark = pytest.mark.lab


def tables(cloud: LocalCloud, lab: RunningLab) -> list[dict[str, Any]]:
    """One cluster in each cloud: no node is named, only a tag, and how SSH logs in."""
    ssh = {"identity": str(lab.lab.identity), "known_hosts": str(lab.lab.known_hosts), "ssh_user": "root"}
    more = {**ssh, "address": "private", "watch": 10}
    return [azure_table(cloud, **more), google_table(cloud, **more)]


def machine(lab: RunningLab, host: str, name: str, place: str, size: str, **more: Any) -> Machine:
    """A cloud's machine that is a host of the lab."""
    return Machine(name, place, size, private=lab.host(host).address, tags={"umsui": "node"}, **more)


@pytest.fixture
def umsui(cloud: LocalCloud, fresh_lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Umsui]:
    """memhog's host in "Azure", among others; an empty one in "Google Cloud"."""
    others = [
        Machine(f"other-{number}", "eastus", "Standard_D2s_v5", private="10.0.0.9", tags={"umsui": "no"})
        for number in range(40)
    ]
    here = machine(fresh_lab, "azure-1", "worker-7", "westeurope", "Standard_D4s_v5", group="Prod", odd_case=True)
    cloud.fill("azure", [*others, here], page=20)
    cloud.fill("google", [machine(fresh_lab, "gcp-1", "batch-2", "europe-west4-b", "n2-standard-4")])
    found = Umsui(tmp_path, cloud.environment({}))
    found.configure(*tables(cloud, fresh_lab))
    for name, value in found.variables().items():
        if name.startswith("UMSUI_"):
            monkeypatch.setenv(name, value)  # the terminal inherits them
    yield found
    found.end()


def test_dragged_from_azure_to_google(fresh_lab: RunningLab, umsui: Umsui) -> None:
    before = ask(fresh_lab, "azure-1")
    console = Terminal()
    try:
        console.wait(lambda text: "memhog" in text and text.count("● live") == 2)
        console.drag(console.find("memhog"), (console.find("gcp-prod")[0] + 4, console.find("memhog")[1]))
        console.wait("predicted")
        assert "azure-prod → gcp-prod" in console.text
        console.keys("\r")
        console.wait("committed", 90)
    finally:
        console.end()
    after = ask(fresh_lab, "gcp-1")
    assert after["nonce"] == before["nonce"]
    assert after["count"] > before["count"]
    assert ask(fresh_lab, "gcp-1", "/checksum")["ok"] is True
    assert "memhog" not in fresh_lab.run("azure-1", "podman", "ps", "-a", "--format", "{{.Names}}")
    (migration,) = umsui.json("migrations")
    assert migration["source"] == {"cluster": "azure-prod", "node": "worker-7"}
    assert migration["destination"] == {"cluster": "gcp-prod", "node": "batch-2"}


def test_the_destination_is_started_first(cloud: LocalCloud, fresh_lab: RunningLab, umsui: Umsui) -> None:
    off = machine(fresh_lab, "gcp-1", "batch-2", "europe-west4-b", "n2-standard-4", state="deallocated")
    cloud.fill("google", [off])
    prices = [{"Standard_D4s_v5": 0.2}, {"n2-standard-4": 0.25}]
    umsui.configure(*({**table, "prices": each} for table, each in zip(tables(cloud, fresh_lab), prices, strict=True)))
    before = ask(fresh_lab, "azure-1")
    refused = umsui.run("plan", "memhog", "--to", "gcp-prod", "--json")
    first = json.loads(refused.stdout)["start_first"]
    assert refused.returncode == Exit.REFUSED
    assert first["node"] == {"cluster": "gcp-prod", "node": "batch-2"}
    assert first["predicted"][1] > 0
    assert first["hourly"] == pytest.approx(0.45)  # both, while both are up
    done = umsui.run("migrate", "memhog", "--to", "gcp-prod", "--start", "--yes", "--json", timeout=300)
    assert done.returncode == Exit.DONE, done.stderr
    assert json.loads(done.stdout)["outcome"] == "committed"
    assert ask(fresh_lab, "gcp-1")["nonce"] == before["nonce"]
    assert cloud.counts()["gce.instances.start"] == 1
