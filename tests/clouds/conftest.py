"""One local cloud for all tests here, as new for each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.clouds.local import CREDENTIALS, LocalCloud, running

SERVED: Counter[str] = Counter()
AREAS = {
    "Azure's resource manager": ("arm",),
    "Google's compute": ("gce",),
    "Google's Kubernetes": ("gke",),
    "logins": ("entra", "google", "imds", "metadata"),
}


@pytest.fixture(scope="session")
def clouds() -> Iterator[LocalCloud]:
    """The server."""
    with running() as found:
        yield found
        SERVED.update(found.served())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the local clouds did."""
    if SERVED:
        parts = [f"{area} {sum(SERVED[each] for each in kinds):,}" for area, kinds in AREAS.items()]
        total = sum(count for kind, count in SERVED.items() if kind != "faults")
        line = (
            f"local clouds: {total:,} requests served ({', '.join(parts)}), {SERVED['faults']:,} of them with a fault"
        )
        terminalreporter.write_line(line)


@pytest.fixture
def cloud(clouds: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """The server as new; the SDKs in this process find its CA and its credentials, and none of the machine's own."""
    clouds.reset()
    for name in [name for name in os.environ if name.startswith(CREDENTIALS)]:
        monkeypatch.delenv(name)
    for name, value in clouds.environment({}).items():
        monkeypatch.setenv(name, value)
    return clouds
