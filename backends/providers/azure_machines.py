"""Azure's lists as nodes: machines, their states, network interfaces and public addresses, merged by id.

Ids are compared without regard to case: Azure spells the same one differently in each list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backends.providers.naming import clean, ssh_target
from umsui.config import ClusterConfig
from umsui.model import ClusterState, Machine, ManagedCluster, Node, Power

POWER = {
    "running": Power.RUNNING,
    "starting": Power.STARTING,
    "stopping": Power.STOPPING,
    "deallocating": Power.STOPPING,
    "stopped": Power.STOPPED,
    "deallocated": Power.DEALLOCATED,
}

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interface:
    """Addresses of a network interface; ``public`` are the ids of public addresses."""

    private: tuple[str, ...]
    public: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A machine of the list, and the ids of its network interfaces, the primary one first."""

    node: Node
    interfaces: tuple[str, ...]


def found(document: Document, config: ClusterConfig) -> Found:
    """One virtual machine of a list, its state and addresses not known yet."""
    properties = document.get("properties") or {}
    links = (properties.get("networkProfile") or {}).get("networkInterfaces") or []
    links = sorted(links, key=lambda link: not (link.get("properties") or {}).get("primary", False))
    zones = document.get("zones") or []
    spot = str(properties.get("priority") or "").lower() in ("spot", "low")
    machine = Machine(
        id=document["id"],
        region=sys.intern(str(document.get("location") or "")),
        zone=sys.intern(str(zones[0])) if zones else "",
        size=sys.intern(str((properties.get("hardwareProfile") or {}).get("vmSize") or "")),
        price="spot" if spot else "regular",
    )
    node = Node(config.name, clean(str(document.get("name") or "")), "", ClusterState.LISTED, machine=machine)
    return Found(node, tuple(str(link["id"]).lower() for link in links if link.get("id")))


def power(document: Document) -> Power:
    """The state of a machine of the list of states."""
    view = (document.get("properties") or {}).get("instanceView") or {}
    for status in view.get("statuses") or []:
        kind, _, word = str(status.get("code") or "").partition("/")
        if kind == "PowerState":
            return POWER.get(word, Power.UNKNOWN)
    return Power.UNKNOWN


def interface(document: Document) -> Interface:
    """One network interface of a list."""
    settings = (document.get("properties") or {}).get("ipConfigurations") or []
    parts = [each.get("properties") or {} for each in settings]
    parts.sort(key=lambda each: not each.get("primary", False))
    private = tuple(str(each["privateIPAddress"]) for each in parts if each.get("privateIPAddress"))
    public = tuple(str(each["publicIPAddress"]["id"]).lower() for each in parts if each.get("publicIPAddress"))
    return Interface(private, public)


def public_address(document: Document) -> str:
    """One public address of a list; "" while it has none."""
    return str((document.get("properties") or {}).get("ipAddress") or "")


def by_id(documents: Iterable[Document]) -> Iterable[tuple[str, Document]]:
    """With the id as it is compared."""
    return ((str(each["id"]).lower(), each) for each in documents)


@dataclass(frozen=True, slots=True)
class Lists:
    """What is told of machines in lists beside theirs, by id in lower case."""

    powers: Mapping[str, Power]
    interfaces: Mapping[str, Interface]
    public: Mapping[str, str]  # addresses
    sizes: Mapping[tuple[str, str], tuple[int, int]]  # cores and bytes, by region and size in lower case


def merged(machines: Iterable[Found], lists: Lists, config: ClusterConfig) -> list[Node]:
    """Machines with all that is known of them."""
    nodes = []
    for each in machines:
        machine = each.node.machine
        assert machine is not None
        links = [lists.interfaces[link] for link in each.interfaces if link in lists.interfaces]
        outer = [lists.public[one] for link in links for one in link.public if lists.public.get(one)]
        inner = [one for link in links for one in link.private]
        cores, memory = lists.sizes.get((machine.region.lower(), machine.size.lower()), (0, 0))
        known = replace(machine, power=lists.powers.get(machine.id.lower(), Power.UNKNOWN), addresses=(*outer, *inner))
        ssh = ssh_target(config, outer, inner)
        nodes.append(replace(each.node, ssh=ssh, cores=cores, memory=memory, machine=known))
    return nodes


def resource_group(identity: str) -> str:
    """``rg`` of ``/subscriptions/…/resourceGroups/rg/providers/…``; "" where there is none."""
    parts = identity.split("/")
    return next((parts[at + 1] for at, part in enumerate(parts[:-1]) if part.lower() == "resourcegroups"), "")


def managed(document: Document) -> ManagedCluster:
    """One AKS cluster of a list."""
    properties = document.get("properties") or {}
    pools = properties.get("agentPoolProfiles") or []
    return ManagedCluster(
        id=document["id"],
        name=clean(str(document.get("name") or "")),
        region=str(document.get("location") or ""),
        version=str(properties.get("currentKubernetesVersion") or properties.get("kubernetesVersion") or ""),
        nodes=sum(int(pool.get("count") or 0) for pool in pools),
        state=str((properties.get("powerState") or {}).get("code") or properties.get("provisioningState") or "unknown"),
    )
