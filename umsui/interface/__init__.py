"""Intra-system coordination: one module per approach, all behind ``umsui.interface.protocol.Move``."""

from collections.abc import Mapping

from umsui.interface.container_api import ContainerThroughApi
from umsui.interface.container_level import ContainerLevel
from umsui.interface.orchestrator_level import OrchestratorLevel
from umsui.interface.pod_level import PodLevel
from umsui.interface.protocol import MoveFactory
from umsui.interface.service_api import ServiceThroughApi
from umsui.interface.service_level import ServiceLevel
from umsui.interface.together import Together
from umsui.model import Approach, Strategy

FROM_INSIDE = (Strategy.STOP_COPY, Strategy.PRE_COPY)  # CRIU inside restores from what has arrived

APPROACHES: Mapping[tuple[Approach, Strategy, str, str], MoveFactory] = {
    **{
        (Approach.ORCHESTRATOR, strategy, source, destination): OrchestratorLevel
        for strategy in Strategy
        for source in ("podman", "docker")
        for destination in ("podman", "docker")
    },
    **{(Approach.ORCHESTRATOR, strategy, "kubernetes", "kubernetes"): PodLevel for strategy in Strategy},
    **{
        (Approach.CONTAINER, strategy, source, destination): ContainerLevel
        for strategy in Strategy
        for source in ("podman", "docker")
        for destination in ("podman", "docker")
    },
    **{
        (Approach.CONTAINER, strategy, source, destination): ContainerThroughApi
        for strategy in Strategy
        for source in ("podman", "docker", "kubernetes")
        for destination in ("podman", "docker", "kubernetes")
        if "kubernetes" in (source, destination)
    },
    **{
        (Approach.SERVICE, strategy, source, destination): ServiceLevel
        for strategy in FROM_INSIDE
        for source in ("podman", "docker")
        for destination in ("podman", "docker")
    },
    **{
        (Approach.SERVICE, strategy, source, destination): ServiceThroughApi
        for strategy in FROM_INSIDE
        for source in ("podman", "docker", "kubernetes")
        for destination in ("podman", "docker", "kubernetes")
        if "kubernetes" in (source, destination)
    },
}
"""What can be done: (approach, strategy, source orchestrator, destination orchestrator) -> how."""

__all__ = ["APPROACHES", "Together"]
