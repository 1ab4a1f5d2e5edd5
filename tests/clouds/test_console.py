"""The board in a real terminal, over the local clouds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clouds.local import LocalCloud
from tests.clouds.machines import PROJECT
from tests.clouds.umsui import Umsui, azure_table, google_table
from tests.lab.terminal import Terminal


@pytest.fixture
def umsui(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Umsui]:
    found = Umsui(tmp_path, cloud.environment({}))
    for name, value in found.variables().items():
        if name.startswith("UMSUI_"):
            monkeypatch.setenv(name, value)
    yield found
    found.end()


def test_trouble_on_the_board(cloud: LocalCloud, umsui: Umsui) -> None:
    """A cloud that forbids, one that is throttled, and one that is well; then the permission is given."""
    cloud.fill("azure", "odd", 30)
    second = f"{PROJECT}-two"
    for account in (PROJECT, second):
        cloud.fill("google", "plain", 30, account=account)
    cloud.trouble("arm.vms.list", status=403, count=None)
    cloud.trouble("gce.*", status=429, retry_after="600", account=second, count=None)
    umsui.configure(azure_table(cloud, tags={}), google_table(cloud), google_table(cloud, "gcp-busy", project=second))
    console = Terminal()
    try:
        console.wait(lambda text: all(word in text for word in ("forbidden", "throttled", "live")), 60)
        cloud.mend()
        console.wait(lambda text: "forbidden" not in text and "throttled" in text, 60)
        assert "\x07" not in console.text  # some of the machines have such names
    finally:
        console.end()
