"""Labs beside the one that all tests share, each on an instance of its own.

``mixed``: azure-lab runs podman, gcp-lab and onprem-lab run docker. ``kubernetes_lab``: these, and two clusters of
Kubernetes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab, claim_instance, leftovers, namespaces_of
from tests.lab import matrix
from tests.lab.job import umsui
from umsui import lab as lab_module
from umsui.lab.topology import Lab

SELECTED = "UMSUI_LAB_INSTANCE"


@pytest.fixture(scope="session")
def mixed_lab() -> Iterator[RunningLab]:
    """It is up for the whole session, beside the other one; ``mixed`` selects it for one test."""
    yield from _another_lab("engines")


@pytest.fixture(scope="session")
def kubernetes_lab() -> Iterator[RunningLab]:
    """A lab with podman, docker and two Kubernetes clusters for the whole session; ``select`` makes it umsui's."""
    yield from _another_lab("mixed")


@pytest.fixture(scope="session")
def cluster_lab() -> Iterator[RunningLab]:
    """A lab with nothing but two Kubernetes clusters for the whole session; ``cluster_module`` selects it."""
    yield from _another_lab("kubernetes")


@pytest.fixture(scope="module")
def cluster_module(cluster_lab: RunningLab) -> Iterator[RunningLab]:
    """The two clusters for a module whose tests tidy up after themselves; its coordinator ends with the module."""
    before = os.environ.get(SELECTED)
    cluster_lab.select()
    yield cluster_lab
    umsui("coordinator", "stop", "--force")
    _select(before)


def _another_lab(orchestrator: str) -> Iterator[RunningLab]:
    before = os.environ.get(SELECTED)
    os.environ[SELECTED] = str(claim_instance())
    selected = Lab.selected()
    lab_module.down(lambda line: None)
    running = RunningLab(selected)
    lab_module.up(None, orchestrator, running.lines.append)
    namespaces = namespaces_of(selected)
    _select(before)
    yield running
    os.environ[SELECTED] = str(selected.instance)
    lab_module.down(running.lines.append)
    _select(before)
    assert leftovers(selected, namespaces) == []


def _select(instance: str | None) -> None:
    if instance is None:
        os.environ.pop(SELECTED, None)
    else:
        os.environ[SELECTED] = instance


@pytest.fixture(scope="module")
def mixed_module(mixed_lab: RunningLab) -> Iterator[RunningLab]:
    """The mixed lab for a module whose tests tidy up after themselves; its coordinator ends with the module."""
    before = os.environ.get(SELECTED)
    mixed_lab.select()
    mixed_lab.reset()
    yield mixed_lab
    umsui("coordinator", "stop", "--force")
    _select(before)


@pytest.fixture
def mixed(mixed_module: RunningLab) -> RunningLab:
    """The mixed lab with its sample services started anew."""
    mixed_module.select()
    mixed_module.reset()
    return mixed_module


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrix prints itself."""
    if matrix.RESULTS:
        terminalreporter.section("each approach, each engine: there and back")
        terminalreporter.write_line(matrix.table())
