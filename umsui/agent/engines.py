"""The container engines that the agent knows."""

from __future__ import annotations

from typing import Dict, Type

from umsui.agent.containerd import Containerd
from umsui.agent.docker import Docker
from umsui.agent.engine import Engine
from umsui.agent.host import Folder, Trouble
from umsui.agent.nested_engine import Nested
from umsui.agent.podman import Podman

ENGINES: Dict[str, Type[Engine]] = {engine.name: engine for engine in (Podman, Docker, Containerd, Nested)}


def named(name: str) -> Engine:
    """The engine of that name. Raises Trouble."""
    if name not in ENGINES:
        raise Trouble("bad-input", f"there is no container engine {name!r}")
    return ENGINES[name]()


def of(folder: Folder) -> Engine:
    """The engine that this end of a migration was opened with."""
    return named(folder.engine)
