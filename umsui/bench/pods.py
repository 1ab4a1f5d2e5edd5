"""The service as a pod of the lab's Kubernetes clusters; clients reach it at a port of the node, as by any Service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from umsui.inside import registry
from umsui.inside.build import Run
from umsui.lab import host as hosts
from umsui.lab.kubernetes import cluster
from umsui.lab.topology import Host

PORT = 30808  # of each node
CAPABILITIES = {"drop": ["ALL"], "add": ["CHECKPOINT_RESTORE", "SYS_PTRACE", "SETPCAP"]}  # what service-level needs


def publish(host: Host, name: str, port: int) -> None:
    """Let clients in to whichever pod is called ``name``."""
    spec = {"type": "NodePort", "selector": {"app": name}, "ports": [{"port": port, "nodePort": PORT}]}
    _apply(host, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


def start(host: Host, name: str, image: str, port: int, arguments: Sequence[str], *, inside: bool) -> None:
    """Run it; ``inside``: from an image with umsui inside. Raises LabError."""
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "args": list(arguments),
        "ports": [{"containerPort": port}],
    }
    if inside:
        container["securityContext"] = {"capabilities": CAPABILITIES}
    meta = {"name": name, "labels": {"app": name}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    _apply(host, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def remove(host: Host) -> None:
    """Leave no pod, nor what would make one again."""
    kinds = "deployments,statefulsets,pods"
    hosts.run_in(host, ["kubectl", "delete", kinds, "--all", "--grace-period=0", "--force"])


def in_registry(host: Host, image: str) -> str:
    """What an image of the lab is called where the cluster's registry is spoken to from elsewhere."""
    return f"{cluster.registry(host)}/{image.removeprefix('localhost/')}"


def with_umsui_inside(run: Run, host: Host, base: str, tag: str) -> None:
    """Put the image together in the cluster's registry."""
    registry.build(run, *(registry.Reference.of(in_registry(host, name)) for name in (base, tag)))


def _apply(host: Host, manifest: dict[str, Any]) -> None:
    hosts.run_in(host, ["kubectl", "apply", "-f", "-"], stdin=json.dumps(manifest))
