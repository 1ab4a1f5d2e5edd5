from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators.kubernetes import Kubernetes
from backends.transports.kubernetes import KubernetesTransport
from backends.transports.ssh import SshTransport
from tests.kubernetes.control_plane import ControlPlane, programs, until
from umsui.config import ClusterConfig
from umsui.coordinator.api_cluster import ApiCluster


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of the module's own."""
    where = programs()
    if where is None:
        pytest.skip("no Kubernetes here: `umsui lab up --orchestrator kubernetes` builds it")
    found = ControlPlane(tmp_path_factory.mktemp("kubernetes"), where)
    try:
        found.start()
        yield found
    finally:
        found.stop()


class Followed:
    """A cluster as the coordinator follows it."""

    def __init__(self, kubeconfig: Path, namespaces: tuple[str, ...] = ()) -> None:
        config = ClusterConfig(
            name="k", provider="onprem", orchestrator="kubernetes", kubeconfig=kubeconfig, namespaces=namespaces
        )
        self.changes = 0
        self.cluster = ApiCluster(config, Kubernetes(), KubernetesTransport, SshTransport, self._changed)
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self.cluster.run, args=(self.stop,), daemon=True)
        self._thread.start()

    def _changed(self) -> None:
        self.changes += 1

    @property
    def names(self) -> set[str]:
        return {service.name for service in self.cluster.services}

    def state(self) -> str:
        return self.cluster.condition()[0].value

    def until(self, state: str) -> None:
        until(lambda: self.state() == state, 30)

    def end(self) -> None:
        self.stop.set()
        self.cluster.look()
        self._thread.join(20)


@pytest.fixture
def follow() -> Iterator[Any]:
    """Follows clusters, until the test ends."""
    followed: list[Followed] = []

    def begin(*arguments: Any) -> Followed:
        followed.append(Followed(*arguments))
        return followed[-1]

    yield begin
    for each in followed:
        each.end()
