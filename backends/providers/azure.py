"""Azure: the virtual machines of a subscription or resource group by tag, and its AKS clusters.

Four lists, read at the same time, whatever the number of machines: machines, their states, network interfaces, public
addresses; and once for each region the sizes that it has.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from backends.providers import azure_machines as machines
from backends.providers.azure_client import AzureClient
from backends.providers.naming import distinct, wanted
from umsui.adapters import Change, Listing
from umsui.config import ClusterConfig
from umsui.errors import CommandFailed
from umsui.model import ManagedCluster, Node

T = TypeVar("T")

COMPUTE, NETWORK, CONTAINERS = "2024-11-01", "2024-05-01", "2025-05-01"
"""Versions of the resource manager's API: those whose answers we have read."""
POLL = 2.0  # seconds between two looks at a change, where Azure does not say how many


class Azure:
    """A ``umsui.adapters.Provider``."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._client: AzureClient | None = None
        self._sizes: dict[tuple[str, str], tuple[int, int]] = {}
        self._regions: set[str] = set()  # whose sizes are known

    @property
    def client(self) -> AzureClient:
        """Made when it is first needed: the SDK takes half a second to import."""
        with self._lock:
            if self._client is None:
                self._client = AzureClient(self._config)
            return self._client

    def _url(self, kind: str, version: str, *, everywhere: bool = False, **more: str) -> str:
        group = self._config.resource_group
        within = f"/resourceGroups/{group}" if group and not everywhere else ""
        query = "".join(f"&{name}={value}" for name, value in more.items())
        return (
            f"{self.client.base}/subscriptions/{self._config.subscription}{within}/providers/{kind}"
            f"?api-version={version}{query}"
        )

    def _pages(self, url: str) -> Iterator[list[dict[str, Any]]]:
        for document in self.client.rest.pages(url, lambda page: str(page.get("nextLink") or "")):
            yield document.get("value") or []

    def _by_id(self, url: str, read: Callable[[machines.Document], T]) -> Mapping[str, T]:
        return {key: read(each) for page in self._pages(url) for key, each in machines.by_id(page)}

    def listings(self) -> Iterator[Listing]:
        """Machines page by page; at the end all, with states and addresses."""
        kind = "Microsoft.Compute/virtualMachines"
        # Azure lists states of a whole subscription only.
        states = self._url(kind, COMPUTE, everywhere=True, statusOnly="true")
        with ThreadPoolExecutor(3, thread_name_prefix="azure") as pool:
            powers = pool.submit(self._by_id, states, machines.power)
            # A machine's interface may well be in another resource group than the machine.
            interfaces = self._url("Microsoft.Network/networkInterfaces", NETWORK, everywhere=True)
            links = pool.submit(self._by_id, interfaces, machines.interface)
            addresses = self._url("Microsoft.Network/publicIPAddresses", NETWORK, everywhere=True)
            public = pool.submit(self._by_id, addresses, machines.public_address)
            found: list[machines.Found] = []
            for page in self._pages(self._url(kind, COMPUTE)):
                chosen = (each for each in page if wanted(each.get("tags"), self._config.tags))
                found += [machines.found(each, self._config) for each in chosen]
                yield Listing(self._named([each.node for each in found]), complete=False)
            self._learn_sizes(found)
            lists = machines.Lists(powers.result(), links.result(), public.result(), self._sizes)
        merged = machines.merged(found, lists, self._config)
        yield Listing(self._named(merged), complete=True)

    @staticmethod
    def _named(nodes: list[Node]) -> tuple[Node, ...]:
        return distinct(nodes, lambda node: machines.resource_group(node.machine.id if node.machine else ""))

    def _learn_sizes(self, found: list[machines.Found]) -> None:
        """Cores and memory of each region's sizes; a region where they are not told leaves them unknown (0)."""
        regions = {each.node.machine.region.lower() for each in found if each.node.machine}
        for region in sorted(regions - self._regions):
            url = self._url(f"Microsoft.Compute/locations/{region}/vmSizes", COMPUTE, everywhere=True)
            for page in self._pages(url):
                for size in page:
                    key = (region, str(size["name"]).lower())
                    self._sizes[key] = (int(size["numberOfCores"]), int(size["memoryInMB"]) << 20)
            self._regions.add(region)

    def managed(self) -> list[ManagedCluster]:
        """The AKS clusters with the config's tags."""
        url = self._url("Microsoft.ContainerService/managedClusters", CONTAINERS)
        tags = self._config.tags
        return [machines.managed(each) for page in self._pages(url) for each in page if wanted(each.get("tags"), tags)]

    def kubeconfig(self, managed: str) -> str:
        """The user's credentials for an AKS cluster."""
        # Put together anew: AKS writes "resourcegroups" into its ids.
        group, name = machines.resource_group(managed), managed.rpartition("/")[2]
        what = f"managedClusters/{name}/listClusterUserCredential?api-version={CONTAINERS}"
        within = f"/subscriptions/{self._config.subscription}/resourceGroups/{group}"
        url = f"{self.client.base}{within}/providers/Microsoft.ContainerService/{what}"
        document, _ = self.client.rest.call("POST", url)
        for each in (document or {}).get("kubeconfigs") or []:
            return base64.b64decode(each["value"]).decode()
        raise CommandFailed("Azure gave no credentials for the cluster", "az aks get-credentials")

    def start(self, node: Node) -> Change:
        """Start it."""
        return self._change(node, self.client.sdk.virtual_machines.begin_start)

    def stop(self, node: Node) -> Change:
        """Deallocate it: a machine that is only stopped is still paid for."""
        return self._change(node, self.client.sdk.virtual_machines.begin_deallocate)

    def _change(self, node: Node, begin: Callable[..., Any]) -> Change:
        assert node.machine is not None
        identity = node.machine.id
        try:
            poller = begin(
                machines.resource_group(identity), identity.rpartition("/")[2], polling_interval=POLL, retry_total=3
            )
        except self.client.errors.AzureError as error:
            raise self.client.translated(error) from error
        return AzureChange(poller, self.client)


class AzureChange:
    """A ``umsui.adapters.Change`` over the SDK's poller, which asks from a thread of its own."""

    def __init__(self, poller: Any, client: AzureClient) -> None:
        self._poller = poller
        self._client = client

    def poll(self) -> tuple[bool, str, float | None]:
        """Whether it is done, and Azure's word for its state."""
        if not self._poller.done():
            return False, str(self._poller.status()), None
        try:
            self._poller.result()
        except self._client.errors.AzureError as error:
            raise self._client.translated(error) from error
        return True, str(self._poller.status()), 1.0
