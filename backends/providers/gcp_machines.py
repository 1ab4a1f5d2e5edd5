"""Google Cloud's lists as nodes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from backends.providers.naming import clean, ssh_target
from umsui.config import ClusterConfig
from umsui.model import ClusterState, Machine, ManagedCluster, Node, Power

POWER = {
    "PROVISIONING": Power.STARTING,
    "STAGING": Power.STARTING,
    "RUNNING": Power.RUNNING,
    "STOPPING": Power.STOPPING,
    "PENDING_STOP": Power.STOPPING,
    "SUSPENDING": Power.STOPPING,
    "SUSPENDED": Power.DEALLOCATED,
    "TERMINATED": Power.DEALLOCATED,
}
CUSTOM = re.compile(r"(?:\w+-)?custom-(?:\w+-)?(\d+)-(\d+)(?:-ext)?")

Document = Mapping[str, Any]


def instances(page: Document) -> Iterator[Document]:
    """The instances of a page of an aggregated list, of all zones."""
    for scope in (page.get("items") or {}).values():
        yield from scope.get("instances") or []


def silent(page: Document) -> Iterator[str]:
    """Zones that did not answer: an aggregated list goes on without them."""
    for scope, items in (page.get("items") or {}).items():
        if (items.get("warning") or {}).get("code") == "UNREACHABLE":
            yield scope.rpartition("/")[2]
    yield from (str(each).rpartition("/")[2] for each in page.get("unreachables") or [])


def last(url: object) -> str:
    """The last part of a resource's address: its name."""
    return str(url or "").rpartition("/")[2]


def zone(document: Document) -> str:
    """The zone of an instance."""
    return sys.intern(last(document.get("zone")))


def node(document: Document, config: ClusterConfig) -> Node:
    """One instance, cores and memory not known yet."""
    links = document.get("networkInterfaces") or []
    inner = [str(each["networkIP"]) for each in links if each.get("networkIP")]
    accesses = [access for each in links for access in each.get("accessConfigs") or []]
    outer = [str(access["natIP"]) for access in accesses if access.get("natIP")]
    plan = document.get("scheduling") or {}
    spot = plan.get("provisioningModel") == "SPOT" or bool(plan.get("preemptible"))
    where = zone(document)
    name = str(document.get("name") or "")
    machine = Machine(
        id=f"projects/{config.project}/zones/{where}/instances/{name}",
        region=sys.intern(where.rpartition("-")[0]),
        zone=where,
        size=sys.intern(last(document.get("machineType"))),
        power=POWER.get(str(document.get("status")), Power.UNKNOWN),
        price="spot" if spot else "regular",
        addresses=(*outer, *inner),
    )
    ssh = ssh_target(config, outer, inner)
    return Node(config.name, clean(name), ssh, ClusterState.LISTED, machine=machine)


def custom(size: str) -> tuple[int, int] | None:
    """Cores and bytes of a custom machine type, which its name tells: ``n2-custom-6-20480``."""
    match = CUSTOM.fullmatch(size)
    return (int(match[1]), int(match[2]) << 20) if match else None


def managed(document: Document) -> ManagedCluster:
    """One GKE cluster of a list."""
    name, location = str(document.get("name") or ""), str(document.get("location") or "")
    return ManagedCluster(
        id=last_parts(str(document.get("selfLink") or "")) or f"locations/{location}/clusters/{name}",
        name=clean(name),
        region=location,
        version=str(document.get("currentMasterVersion") or ""),
        nodes=int(document.get("currentNodeCount") or 0),
        state=str(document.get("status") or "unknown").lower(),
    )


def last_parts(link: str) -> str:
    """``projects/…/clusters/NAME`` of a link; a zonal one says ``zones``, where the API wants ``locations``."""
    at = link.find("projects/")
    return link[at:].replace("/zones/", "/locations/", 1) if at >= 0 else ""
