"""Intra-system coordination: one module per approach, all behind ``umsui.interface.protocol.Move``."""

from collections.abc import Mapping

from umsui.interface.orchestrator_level import OrchestratorLevel
from umsui.interface.protocol import MoveFactory
from umsui.model import Approach, Strategy

APPROACHES: Mapping[tuple[Approach, Strategy, str, str], MoveFactory] = {
    (Approach.ORCHESTRATOR, Strategy.STOP_COPY, "podman", "podman"): OrchestratorLevel,
    (Approach.ORCHESTRATOR, Strategy.POST_COPY, "podman", "podman"): OrchestratorLevel,
}
"""What can be done: (approach, strategy, source orchestrator, destination orchestrator) -> how."""

__all__ = ["APPROACHES"]
