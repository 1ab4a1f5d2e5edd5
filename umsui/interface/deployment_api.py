"""Starting a service in a cluster that only its API leads to: nested in an outer pod."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from umsui.adapters import ApiOrchestrator
from umsui.agent import nested
from umsui.errors import BadInput, CommandFailed
from umsui.images import nested as nested_image
from umsui.inside.registry import Reference
from umsui.interface.deployment import APPROACH_LABEL, outer_specification, wait_for_nested
from umsui.interface.outer_ends import as_pod, within
from umsui.interface.protocol import End
from umsui.model import Approach, Deployment, Specification

NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
EVERYTHING = -1  # a mask of capabilities: as many as nodes usually have
WITHOUT = ~(1 << nested.NUMBERS["SYS_RESOURCE"])  # and what they have in a container themselves, like the lab's


def deploy(end: End, deployment: Deployment) -> str:
    """Start the service in an outer pod; its id. Raises BadInput, CommandFailed, Refused, Unreachable."""
    spec = deployment.specification
    if deployment.approach is not Approach.CONTAINER:
        fix = "kubectl apply, and docs/kubernetes.md; or --approach container, which nests it in an outer pod"
        raise BadInput(f"`umsui deploy` makes no pods for {deployment.approach.value}-level", fix)
    unknown = next(impossible(spec), "")
    if unknown:
        raise BadInput(f"a pod cannot have {unknown}", "leave it out of the file", code="service-file")
    image = nested_image.build(Reference.of(spec.image), Path(deployment.archive))
    labels = {**spec.labels, APPROACH_LABEL: deployment.approach.value}
    spec = replace(spec, labels=labels)
    orchestrator, node = cast(ApiOrchestrator, end.orchestrator), deployment.node or ""
    wanted = {"memory": float(spec.memory_limit), "cpu": spec.cpu_limit}
    requests = {name: value for name, value in wanted.items() if value}

    def start(bounding: int) -> str:
        made = outer_pod(spec, image.config, image.image, bounding)
        return orchestrator.deploy(
            end.transport, node, made, requests, lambda: wait_for_nested(end, spec.name, within(end, spec.name))
        )

    try:
        return start(EVERYTHING)
    except CommandFailed as error:
        if "unable to apply caps" not in error.message:
            raise
        return start(WITHOUT)


def impossible(spec: Specification) -> Iterator[str]:
    """What of a service file a pod has no word for."""
    if not re.fullmatch(NAME, spec.name):
        yield f"the name {spec.name}: small letters, digits and - only"
    if spec.network not in ("", "bridge"):
        yield f"the network {spec.network}"
    if spec.stop_signal:
        yield "a stop signal of its own: it is its image's"
    if spec.pids_limit:
        yield "a limit of processes: it is its node's"
    if spec.health:
        yield "a health check: a pod's probes are another thing"


def outer_pod(spec: Specification, config: Mapping[str, Any], image: str, bounding: int) -> Specification:
    """What the pod is made of; ``config`` is the service's image's own."""
    return as_pod(replace(outer_specification(spec, {"Config": config}, bounding), image=image))
