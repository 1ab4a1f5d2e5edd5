"""Kubernetes clusters, through their API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, cast
from urllib.parse import urlencode

from backends.orchestrators import kubernetes_manifests as manifests
from backends.orchestrators import kubernetes_pods as pods
from backends.orchestrators.kubernetes_api import Api, LogStream, NotFound
from backends.orchestrators.kubernetes_board import Board
from backends.orchestrators.kubernetes_moves import Pod, packed, unpacked
from backends.orchestrators.kubernetes_spec import elsewhere, manifest, specification
from backends.transports.kubernetes import KubernetesTransport
from umsui.adapters import Seen, Stream, Transport
from umsui.errors import BadInput, CommandFailed, NotLoggedIn
from umsui.model import ServiceState, Specification

RIGHTS = (
    ("get", "pods", ""),
    ("create", "pods", ""),
    ("patch", "pods", ""),
    ("delete", "pods", ""),
    ("get", "pods/exec", ""),
    ("list", "configmaps", ""),
    ("list", "secrets", ""),
    ("list", "persistentvolumeclaims", ""),
)
"""What a move asks for at both ends, beside what its owner and its volumes need."""
CHECKPOINTS = "nodes/proxy"  # the right that the kubelet's checkpoint asks for, in the whole cluster
REPLICAS = "umsuiReplicas"  # of its owners: added to a pod as the API has it

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class Kubernetes:
    """A cluster's API. Holds no state: one serves for all clusters."""

    name = "kubernetes"

    def follow(self, transport: Transport, cluster: str, tell: Callable[[Seen], None], stop: threading.Event) -> None:
        """Tell what there is, now and whenever it changes, until ``stop``. Raises Unreachable, BadInput."""
        way = _way(transport)
        try:
            Board(way.api, cluster, way.namespaces).follow(tell, stop)
        except NotLoggedIn:
            way.api.forget()  # whoever logs in anew is found by reading the kubeconfig again
            raise

    # -- what there is ----------------------------------------------------------------------------------------------

    def raw(self, transport: Transport, service: str) -> Mapping[str, Any]:
        """The pod as the API has it; its state in the words of container engines, too. Raises BadInput: none."""
        with _there(service):
            pod = self._pod(transport, service)
            found = pod.read()
            replicas = pod.replicas(found)
        state, words = pods.pod_state(found)
        return {
            **found,
            "State": {"Status": "running" if state is ServiceState.UP else words.lower()},
            REPLICAS: replicas,
        }

    def specification(self, transport: Transport, service: str) -> Specification:
        """What the service is made of. Raises BadInput when there is none of that name."""
        return specification(dict(self.raw(transport, service)), service)

    def particulars(self, transport: Transport, service: str) -> Sequence[str]:
        """The pod, its owners, and what it refers to, as the API has them: one text."""
        with _there(service):
            return packed(self._pod(transport, service).particulars())

    def unsupported(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """What of a pod another cluster cannot have, in words."""
        found = pods.obstacle(raw)
        words = tuple(manifests.unsupported(dict(raw)))
        if raw.get(REPLICAS, 1) > 1:
            owner = pods.owner(raw["metadata"])
            words += (f"it is one of {raw[REPLICAS]} pods of {owner}, which cannot be in two clusters: scale it to 1",)
        return (found, *words) if found and found not in words else words

    def elsewhere(self, transport: Transport, service: str) -> Sequence[tuple[bool, str]]:
        """What podman and docker have no counterpart for: whether that forbids a move to them, and in words."""
        with _there(service):
            return tuple(elsewhere(self._pod(transport, service).read()))

    def logs(self, transport: Transport, service: str, lines: int = 100) -> list[str]:
        """The last lines that it printed. Raises BadInput when there is none of that name."""
        with _there(service):
            pod = self._pod(transport, service)
            return _way(transport).api.text(f"{pod.path}/log", tailLines=lines).splitlines()

    def follow_logs(self, transport: Transport, service: str, lines: int) -> Stream:
        """The last lines that it printed, and then each new one. Raises BadInput when there is none of that name."""
        with _there(service):
            pod = self._pod(transport, service)
            pod.read()
            return LogStream(_way(transport).api, f"{pod.path}/log", lines)

    def shell_command(self, service: str) -> Sequence[str]:
        """kubectl's words for the best shell that is there."""
        namespace, name = pods.split(service, "")
        where = ["--namespace", namespace] if namespace else []
        shell = "command -v bash >/dev/null && exec bash || exec sh"
        return ["exec", "--stdin", "--tty", *where, name, "--", "sh", "-c", shell]

    def address(self, transport: Transport, service: str) -> str:
        """The pod's own address; "" while it has none."""
        with _there(service):
            return self._pod(transport, service).address()

    def node_facts(self, transport: Transport, node: str) -> Mapping[str, Any]:
        """What the API tells of a node, with the names of ``umsui.interface.facts.NodeFacts``."""
        api = _way(transport).api
        version = str(api.get("/version").get("gitVersion") or "")
        lacking = [
            f"{verb} {resource}" for verb, resource, group in RIGHTS if not self._may(api, verb, resource, group)
        ]
        facts: dict[str, Any] = {"orchestrator": self.name, "orchestrator_version": version.removeprefix("v")}
        facts["lacking_rights"] = lacking
        facts["checkpoints"] = api.may("create", CHECKPOINTS)
        try:
            found = api.get(f"/api/v1/nodes/{node}")
        except CommandFailed:
            return facts
        told, shown = found["status"]["nodeInfo"], pods.node(found, "", 0)
        facts |= {"kernel": told["kernelVersion"], "memory_free": shown.memory_free}
        facts["arch"] = _ARCHITECTURES.get(told["architecture"], told["architecture"])
        facts["images"] = [name for image in found["status"].get("images") or () for name in image.get("names") or ()]
        return facts

    def _may(self, api: Api, verb: str, resource: str, group: str) -> bool:
        return api.may(verb, resource, api.namespace, group)

    # -- inside -----------------------------------------------------------------------------------------------------

    def program(
        self, transport: Transport, service: str, argv: Sequence[str], *, framed: bool = False
    ) -> subprocess.Popen[bytes]:
        """A local program joined with a command in the pod; its three ends are pipes."""
        api = _way(transport).api
        query = urlencode({"command": argv, "stdin": "true", "stdout": "true", "stderr": "true"}, doseq=True)
        path = f"{self._pod(transport, service).path}/exec?{query}"
        told = {**api.access.connection(), "path": path, "framed": framed}
        reader, writer = os.pipe()
        with os.fdopen(writer, "w") as file:
            file.write(json.dumps(told))  # a few kilobytes: a pipe holds 64
        try:
            program = str(files("backends.orchestrators").joinpath("kubernetes_bridge.py"))
            bridge = [sys.executable, "-IS", program, str(reader)]
            pipe = subprocess.PIPE
            return subprocess.Popen(
                bridge, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=[reader], start_new_session=True
            )
        finally:
            os.close(reader)

    def deploy(
        self,
        transport: Transport,
        node: str,
        spec: Specification,
        requests: Mapping[str, float],
        ready: Callable[[], None],
    ) -> str:
        """Start a service, on ``node`` unless that is "", and wait until it is ``ready``; its uid."""
        pod, claims = manifest(spec)
        (container,) = pod["spec"]["containers"]
        container["resources"]["requests"] = {key: f"{each:.15g}" for key, each in requests.items()}
        container["terminationMessagePolicy"] = "FallbackToLogsOnError"  # so that the API tells why it ended
        if node:
            pod["spec"]["affinity"] = manifests.on_node(node)
        return self._pod(transport, spec.name).deploy(pod, claims, ready)

    # -- the steps of a move ----------------------------------------------------------------------------------------

    def identity(self, transport: Transport, service: str) -> Mapping[str, str]:
        """What must stay as it is while the pod is moved. Raises BadInput when it is gone."""
        with _there(service):
            return self._pod(transport, service).identity()

    def reserve(
        self,
        transport: Transport,
        node: str,
        spec: Specification,
        particulars: Sequence[str],
        migration: str,
        *,
        checkpoint: str = "",
    ) -> None:
        """Make the pod and what it needs; it waits, nobody is led to it. Raises Refused, CommandFailed."""
        if particulars:
            found = unpacked(particulars)
        else:
            pod, claims = manifest(spec)
            objects = {"persistentvolumeclaims": claims, "configmaps": [], "secrets": []}
            found = {"pod": pod, "owners": [], "objects": objects}
        self._pod(transport, spec.name).reserve(found, node, migration, checkpoint)

    def starts(self, transport: Transport, service: str) -> bool:
        """Whether the pod's container runs. Raises CommandFailed when it cannot be made."""
        return self._pod(transport, service).started()

    def note_address(self, transport: Transport, service: str, address: str) -> None:
        """What ``address`` answers while the kubelet does not tell."""
        self._pod(transport, service).note_address(address)

    def container(self, transport: Transport, service: str) -> str:
        """The id of the pod's container, as its node knows it. Raises BadInput."""
        with _there(service):
            return self._pod(transport, service).container()

    def checkpoint(self, transport: Transport, service: str, within: float) -> None:
        """Have the kubelet checkpoint the pod's container; returns when that is done."""
        with _there(service):
            self._pod(transport, service).checkpoint(within)

    def reserved(self, transport: Transport, service: str) -> str:
        """The migration that the pod was made for; "" when there is none."""
        return self._pod(transport, service).reserved()

    def discard(self, transport: Transport, service: str, migration: str) -> None:
        """Remove all that is marked as this migration's."""
        self._pod(transport, service).discard(migration)

    def lead(self, transport: Transport, service: str) -> None:
        """It has the labels by which Services find it."""
        self._pod(transport, service).lead()

    def settle(self, transport: Transport, service: str, particulars: Sequence[str]) -> None:
        """Make its owners, which take it over; take the marks away."""
        found = unpacked(particulars) if particulars else {"owners": [], "objects": {}}
        self._pod(transport, service).settle(found)

    def take_away(self, transport: Transport, service: str) -> None:
        """Remove it for good: its owners want none of it, then it goes, then they and its claims."""
        self._pod(transport, service).take_away()

    def _pod(self, transport: Transport, service: str) -> Pod:
        api = _way(transport).api
        return Pod(api, *pods.split(service, api.namespace))


class _there:
    """A pod that is not there is the operator's mistake."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotFound):
            words = f"there is no pod {self._service}: {error.message}"
            raise BadInput(words, "`umsui services` lists them", code="no-service") from error


def _way(transport: Transport) -> KubernetesTransport:
    return cast(KubernetesTransport, transport)
