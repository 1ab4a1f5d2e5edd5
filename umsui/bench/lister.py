"""``python -m umsui.bench.lister ORDER``: list one fleet, in this process alone, and print what it took as JSON."""

from __future__ import annotations

import gc
import importlib
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from umsui.adapters import Listing
from umsui.config import ClusterConfig, Config, CoordinatorConfig
from umsui.coordinator.bus import Bus
from umsui.coordinator.fleet import Fleet
from umsui.coordinator.inventory import Inventory
from umsui.coordinator.quiet import Quiet

SETTLE = 2.5  # seconds after a list in which a publication would have come
TIMEOUT = 240.0


def main() -> None:
    """Read the order, measure, print."""
    order = json.loads(sys.argv[1])
    measures = {"umsui": ours, "again": again, "sdk": {"azure": azure, "gcp": gcp}[order["provider"]]}
    print(json.dumps(measures[order["what"]](order)))


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# -- the bare SDKs ----------------------------------------------------------------------------------------------------


def azure(order: dict[str, Any]) -> dict[str, Any]:
    """Machines and states, as the SDK lists them."""
    identity = importlib.import_module("azure.identity")
    compute = importlib.import_module("azure.mgmt.compute")
    credential = identity.DefaultAzureCredential(authority=order["url"], disable_instance_discovery=True)
    scopes = ["https://management.azure.com/.default"]
    client = compute.ComputeManagementClient(
        credential, _subscription(), base_url=order["url"], credential_scopes=scopes
    )
    began = time.perf_counter()
    machines, first = timed(client.virtual_machines.list_all(), began)
    states, _ = timed(client.virtual_machines.list_all(status_only="true"), began)
    seconds = time.perf_counter() - began
    assert len(states) == len(machines)
    return {"machines": len(machines), "seconds": seconds, "first_seconds": first, "rss_bytes": resident()}


def gcp(order: dict[str, Any]) -> dict[str, Any]:
    """The aggregated list, as the SDK gives it."""
    compute = importlib.import_module("google.cloud.compute_v1")
    client = compute.InstancesClient(client_options={"api_endpoint": order["url"]})
    request = compute.AggregatedListInstancesRequest(project=_project(), max_results=500)
    began = time.perf_counter()
    first, machines = None, []
    for _, scope in client.aggregated_list(request=request):
        machines += scope.instances
        first = first or (time.perf_counter() - began if machines else None)
    seconds = time.perf_counter() - began
    return {"machines": len(machines), "seconds": seconds, "first_seconds": first, "rss_bytes": resident()}


def timed(items: Any, began: float) -> tuple[list[Any], float]:
    """All of them, and seconds until the first was there."""
    found, first = [], 0.0
    for item in items:
        first = first or time.perf_counter() - began
        found.append(item)
    return found, first


def _subscription() -> str:
    return str(importlib.import_module("tests.clouds.machines").SUBSCRIPTION)


def _project() -> str:
    return str(importlib.import_module("tests.clouds.machines").PROJECT)


# -- ours -------------------------------------------------------------------------------------------------------------


class Listener(Bus):
    """Notes when clusters were published, and how many machines they had."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, int]] = []
        self._news = threading.Condition()

    def publish(self, name: str, data: Any) -> None:
        """A change."""
        if name == "cluster":
            with self._news:
                self.told.append((time.perf_counter(), len(data["nodes"]) + data["more"]))
                self._news.notify_all()

    def wait(self, fits: Callable[[int], bool]) -> float:
        """When the first publication came that fits."""

        def found() -> float:
            return next((at for at, count in self.told if fits(count)), 0.0)

        with self._news:
            self._news.wait_for(lambda: bool(found()), TIMEOUT)
        return found()


def config(order: dict[str, Any]) -> ClusterConfig:
    """The cluster, as a user would have it in the config file; nobody watches its machines over SSH."""
    own: dict[str, Any] = {
        "azure": {"subscription": _subscription(), "authority_host": order["url"]},
        "gcp": {"project": _project()},
    }[order["provider"]]
    return ClusterConfig(
        name="fleet",
        provider=order["provider"],
        orchestrator="podman",
        endpoint=order["url"],
        ca_file=Path(order["ca"]),
        watch=0,
        **own,
    )


def board(order: dict[str, Any]) -> tuple[Listener, Inventory, Fleet]:
    """The coordinator's inventory, not started, all imports done."""
    bus, cluster = Listener(), config(order)
    settings = CoordinatorConfig(poll_cloud=3600)
    inventory = Inventory(Config(clusters=(cluster,), coordinator=settings), bus, lambda: (), Quiet())
    fleet = inventory.fleet(cluster.name)
    _ = fleet.provider.client  # type: ignore[attr-defined]
    return bus, inventory, fleet


def whole(fleet: Fleet) -> None:
    """Wait for the list's end."""
    while not fleet.complete:
        time.sleep(0.002)


def ours(order: dict[str, Any]) -> dict[str, Any]:
    """The coordinator's inventory, from nothing to all machines on the board."""
    bus, inventory, fleet = board(order)
    pages = first_page(fleet.provider)
    began = time.perf_counter()
    inventory.start()
    whole(fleet)
    seconds = time.perf_counter() - began
    first = bus.wait(lambda count: count > 0) - began
    inventory.stop()
    found = {"machines": len(fleet.nodes), "seconds": seconds, "first_seconds": first, "rss_bytes": resident()}
    return {**found, "page_seconds": pages[0] - began}


def again(order: dict[str, Any]) -> dict[str, Any]:
    """A second list in which nothing has changed: what it takes, and what is published. Then what is held."""
    bus, inventory, fleet = board(order)
    inventory.start()
    whole(fleet)
    time.sleep(SETTLE)
    told, began = len(bus.told), time.perf_counter()
    fleet.wait(fleet.look(), TIMEOUT)
    seconds = time.perf_counter() - began
    time.sleep(SETTLE)
    events = len(bus.told) - told
    inventory.stop()
    held = held_by(fleet.config) / max(len(fleet.nodes), 1)
    return {"refresh_seconds": seconds, "refresh_events": events, "machine_bytes": held}


def first_page(provider: Any) -> list[float]:
    """Makes the provider note when its first listing was there; the list that it is noted in."""
    noted: list[float] = []
    listings = provider.listings

    def watched() -> Any:
        for listing in listings():
            noted.append(time.perf_counter())
            yield listing

    provider.listings = watched
    return noted


def held_by(cluster: ClusterConfig) -> int:
    """Bytes that a whole inventory holds, all else let go."""
    adapters = importlib.import_module("umsui.adapters")
    provider = adapters.load("providers", cluster.provider)(cluster)
    _ = provider.client
    gc.collect()
    tracemalloc.start()
    listing: Listing | None = None
    for listing in provider.listings():  # noqa: B007 - the last one is complete
        pass
    nodes = listing.nodes if listing else ()
    del listing
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used if nodes else 0


if __name__ == "__main__":
    main()
