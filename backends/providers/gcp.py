"""Google Cloud: the instances of a project by label, and its GKE clusters.

One list over all zones, whatever the number of instances; and once for each machine type its cores and memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from backends.providers import gcp_machines as machines
from backends.providers.gcp_client import GoogleClient
from backends.providers.naming import distinct, wanted
from umsui.adapters import Change, Listing
from umsui.config import ClusterConfig
from umsui.errors import CommandFailed, Unreachable
from umsui.model import ManagedCluster, Node

log = logging.getLogger(__name__)

COMPUTE, CONTAINERS = "https://compute.googleapis.com", "https://container.googleapis.com"
PAGE = 500  # instances; more is not allowed
FIELDS = (
    "nextPageToken,unreachables,items/*/warning/code,items/*/instances(name,zone,machineType,status,labels,"
    "scheduling(provisioningModel,preemptible),networkInterfaces(networkIP,accessConfigs/natIP))"
)
"""What is read of an answer; the rest need not travel."""


class GoogleCloud:
    """A ``umsui.adapters.Provider``."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._client: GoogleClient | None = None
        self._sizes: dict[str, tuple[int, int]] = {}
        self._base = f"{config.endpoint or COMPUTE}/compute/v1/projects/{config.project}"
        self._containers = f"{config.container_endpoint or CONTAINERS}/v1"

    @property
    def client(self) -> GoogleClient:
        """Made when it is first needed. Raises NotLoggedIn, TimedOut."""
        with self._lock:
            if self._client is None:
                self._client = GoogleClient(self._config)
            return self._client

    def listings(self) -> Iterator[Listing]:
        """Instances page by page; at the end all, with cores and memory.

        Raises Unreachable at the end, when zones did not answer: what they have is not known then.
        """
        query = {"maxResults": str(PAGE), "returnPartialSuccess": "true", "fields": FIELDS}
        first = f"{self._base}/aggregated/instances?{urlencode(query)}"

        def following(page: Any) -> str:
            token = page.get("nextPageToken")
            return f"{first}&pageToken={quote(token, safe='')}" if token else ""

        found: list[Node] = []
        silent: set[str] = set()
        for page in self.client.rest.pages(first, following):
            found += [machines.node(each, self._config) for each in machines.instances(page) if self._wants(each)]
            silent |= {zone for zone in machines.silent(page) if self._has(zone)}
            yield Listing(_named(found), complete=False)
        self._learn_sizes(found)
        yield Listing(_named([self._sized(node) for node in found]), complete=not silent)
        if silent:
            raise Unreachable(f"no answer from {', '.join(sorted(silent))}", "https://status.cloud.google.com")

    def _wants(self, instance: machines.Document) -> bool:
        return self._has(machines.zone(instance)) and wanted(instance.get("labels"), self._config.labels)

    def _has(self, zone: str) -> bool:
        return not self._config.zones or zone in self._config.zones

    def _learn_sizes(self, found: list[Node]) -> None:
        """Cores and memory of each machine type; one that is not there any more leaves them unknown (0)."""
        for machine in (node.machine for node in found):
            if machine is None or machine.size in self._sizes or not machine.size:
                continue
            size = machines.custom(machine.size)
            if size is None:
                url = f"{self._base}/zones/{machine.zone}/machineTypes/{machine.size}?fields=guestCpus,memoryMb"
                try:
                    document, _ = self.client.rest.call("GET", url)
                    size = int(document["guestCpus"]), int(document["memoryMb"]) << 20
                except Unreachable as error:
                    if error.code != "not-found":
                        raise
                    log.warning("machine type %s: %s", machine.size, error.message)
                    size = 0, 0
            self._sizes[machine.size] = size

    def _sized(self, node: Node) -> Node:
        cores, memory = self._sizes.get(node.machine.size if node.machine else "", (0, 0))
        return replace(node, cores=cores, memory=memory)

    def managed(self) -> list[ManagedCluster]:
        """The GKE clusters with the config's labels."""
        url = f"{self._containers}/projects/{self._config.project}/locations/-/clusters"
        document, _ = self.client.rest.call("GET", url)
        every = (document or {}).get("clusters") or []
        return [machines.managed(each) for each in every if wanted(each.get("resourceLabels"), self._config.labels)]

    def kubeconfig(self, managed: str) -> str:
        """A kubeconfig with a token of the next hour at most."""
        document, _ = self.client.rest.call("GET", f"{self._containers}/{managed}")
        endpoint = (document or {}).get("endpoint")
        if not endpoint:
            raise CommandFailed("the cluster has no endpoint yet", "try again when it is running")
        return kubeconfig(
            str(document["name"]),
            str(endpoint),
            str(document["masterAuth"]["clusterCaCertificate"]),
            self.client.token(),
        )

    def start(self, node: Node) -> Change:
        """Start it."""
        return self._change(node, "start")

    def stop(self, node: Node) -> Change:
        """Stop it: only its disks are paid for then."""
        return self._change(node, "stop")

    def _change(self, node: Node, action: str) -> Change:
        assert node.machine is not None
        where, _, name = node.machine.id.partition("/zones/")[2].partition("/instances/")
        zone = f"{self._base}/zones/{where}"
        document, _ = self.client.rest.call("POST", f"{zone}/instances/{quote(name, safe='')}/{action}")
        return GoogleChange(self.client, f"{zone}/operations/{document['name']}", document)


class GoogleChange:
    """A ``umsui.adapters.Change`` over an operation of a zone."""

    def __init__(self, client: GoogleClient, url: str, document: dict[str, Any]) -> None:
        self._client = client
        self._url = url
        self._document = document

    def poll(self) -> tuple[bool, str, float | None]:
        """Ask once; Google counts up to 100 %, though mostly in one step."""
        if self._document.get("status") != "DONE":
            self._document, _ = self._client.rest.call("GET", self._url)
        document = self._document
        for error in (document.get("error") or {}).get("errors") or []:
            fix = "try another zone, or later" if "STOCKOUT" in str(error) or "EXHAUSTED" in str(error) else ""
            raise CommandFailed(f"Google Cloud: {error.get('code')}: {error.get('message')}", fix)
        done = document.get("status") == "DONE"
        return done, str(document.get("status")), float(document.get("progress") or 0) / 100


def _named(nodes: list[Node]) -> tuple[Node, ...]:
    return distinct(nodes, lambda node: node.machine.zone if node.machine else "")


def kubeconfig(name: str, endpoint: str, authority: str, token: str) -> str:
    """A kubeconfig in memory; ``authority`` is the CA's certificate in base64."""
    import yaml  # noqa: PLC0415 - 20 ms that nobody else needs

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{endpoint}", "certificate-authority-data": authority}}
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return str(yaml.safe_dump(document, sort_keys=False))
