"""Machines in Google's words (compute v1, container v1)."""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

from tests.clouds.machines import GOOGLE_SIZES, PROJECT_NUMBER, Machine, Managed
from tests.clouds.operations import Operation

JSON = dict[str, Any]
ROOT = "https://www.googleapis.com/compute/v1"
STATUS = {
    "running": "RUNNING",
    "stopped": "SUSPENDED",
    "deallocated": "TERMINATED",
    "starting": "STAGING",
    "stopping": "STOPPING",
}
CREATED = "2026-03-04T05:06:07.890-08:00"


def number(text: str) -> str:
    """A stable 64-bit id, as Google writes them: in quotes."""
    return str(1_000_000_000_000_000_000 + zlib.crc32(text.encode()) * 1009)


def zone_link(project: str, zone: str) -> str:
    """A zone's URL."""
    return f"{ROOT}/projects/{project}/zones/{zone}"


def instance_link(project: str, machine: Machine) -> str:
    """A machine's URL."""
    return f"{zone_link(project, machine.place)}/instances/{machine.name}"


def instance(project: str, machine: Machine) -> JSON:
    """As ``instances`` lists it."""
    zone = zone_link(project, machine.place)
    region = re.sub("-[a-z]$", "", machine.place)
    found: JSON = {
        "kind": "compute#instance",
        "id": number(instance_link(project, machine)),
        "creationTimestamp": CREATED,
        "name": machine.name,
        "description": "",
        "tags": {"items": ["ssh"], "fingerprint": "9Nxx2X3dYcA="},
        "machineType": f"{zone}/machineTypes/{machine.size}",
        "status": STATUS[machine.state],
        "zone": zone,
        "canIpForward": False,
        "networkInterfaces": [_interface(project, region, machine)],
        "disks": [_disk(zone, machine)],
        "metadata": {"kind": "compute#metadata", "fingerprint": "x7v9GUMp2Ls=", "items": []},
        "serviceAccounts": [
            {
                "email": f"{PROJECT_NUMBER}-compute@developer.gserviceaccount.com",
                "scopes": ["https://www.googleapis.com/auth/devstorage.read_only"],
            }
        ],
        "selfLink": instance_link(project, machine),
        "scheduling": {
            "onHostMaintenance": "TERMINATE" if machine.spot else "MIGRATE",
            "automaticRestart": not machine.spot,
            "preemptible": machine.spot,
            "provisioningModel": "SPOT" if machine.spot else "STANDARD",
        },
        "cpuPlatform": "Intel Ice Lake" if machine.state == "running" else "Unknown CPU Platform",
        "labelFingerprint": "42WmSpB8rSM=",
        "startRestricted": False,
        "deletionProtection": False,
        "shieldedInstanceConfig": {"enableSecureBoot": False, "enableVtpm": True, "enableIntegrityMonitoring": True},
        "fingerprint": "MGp3sLZ6HGs=",
        "lastStartTimestamp": CREATED,
    }
    if machine.tags is not None:
        found["labels"] = machine.tags
    return found


def _interface(project: str, region: str, machine: Machine) -> JSON:
    found: JSON = {
        "kind": "compute#networkInterface",
        "network": f"{ROOT}/projects/{project}/global/networks/default",
        "subnetwork": f"{ROOT}/projects/{project}/regions/{region}/subnetworks/default",
        "name": "nic0",
        "fingerprint": "Uq1lpXKAOS8=",
        "stackType": "IPV4_ONLY",
    }
    if machine.private is not None:
        found["networkIP"] = machine.private
    if machine.public is not None:
        access = {"kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "name": "External NAT"}
        address = {"natIP": machine.public} if machine.state == "running" else {}
        found["accessConfigs"] = [{**access, **address, "networkTier": "PREMIUM"}]
    return found


def _disk(zone: str, machine: Machine) -> JSON:
    return {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "source": f"{zone}/disks/{machine.name}",
        "deviceName": machine.name,
        "index": 0,
        "boot": True,
        "autoDelete": True,
        "licenses": [f"{ROOT}/projects/debian-cloud/global/licenses/debian-13-trixie"],
        "interface": "SCSI",
        "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}],
        "diskSizeGb": "10",
        "architecture": "X86_64",
    }


def machine_type(project: str, zone: str, name: str) -> JSON:
    """A size, as ``machineTypes`` lists it."""
    cores, memory = GOOGLE_SIZES[name]
    return {
        "kind": "compute#machineType",
        "id": number(name),
        "creationTimestamp": CREATED,
        "name": name,
        "description": f"{cores} vCPUs, {memory:g} GB RAM",
        "guestCpus": cores,
        "memoryMb": int(memory * 1024),
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
        "zone": zone,
        "selfLink": f"{zone_link(project, zone)}/machineTypes/{name}",
        "isSharedCpu": name.startswith("e2-m"),
        "architecture": "X86_64",
    }


def zone(project: str, name: str) -> JSON:
    """A zone."""
    region = re.sub("-[a-z]$", "", name)
    return {
        "kind": "compute#zone",
        "id": number(name),
        "creationTimestamp": CREATED,
        "name": name,
        "description": name,
        "status": "UP",
        "region": f"{ROOT}/projects/{project}/regions/{region}",
        "selfLink": zone_link(project, name),
    }


def operation(project: str, found: Operation) -> JSON:
    """A zone operation."""
    link = zone_link(project, found.machine.place)
    target = instance_link(project, found.machine)
    done = found.ended is not None
    shown: JSON = {
        "kind": "compute#operation",
        "id": number(found.id),
        "name": f"operation-{found.id}",
        "zone": link,
        "operationType": found.action,
        "targetLink": target,
        "targetId": number(target),
        "status": "DONE" if done else "RUNNING",
        "user": f"lab@{project}.iam.gserviceaccount.com",
        "progress": found.progress,
        "insertTime": CREATED,
        "startTime": CREATED,
        "selfLink": f"{link}/operations/operation-{found.id}",
    }
    if done:
        shown["endTime"] = CREATED
    if found.error:
        code, message = found.error
        shown["error"] = {"errors": [{"code": code, "message": message}]}
        shown |= {"httpErrorStatusCode": 503, "httpErrorMessage": "SERVICE UNAVAILABLE"}
    return shown


def cluster(project: str, found: Managed) -> JSON:
    """A GKE cluster."""
    authority = base64.b64encode(found.certificate.encode()).decode()
    link = f"https://container.googleapis.com/v1/projects/{project}/locations/{found.place}/clusters/{found.name}"
    return {
        "name": found.name,
        "location": found.place,
        "zone": found.place,
        "endpoint": found.endpoint,
        "status": "RUNNING" if found.state == "running" else "STOPPING",
        "currentMasterVersion": found.version,
        "initialClusterVersion": found.version,
        "currentNodeVersion": found.version,
        "currentNodeCount": found.nodes,
        "masterAuth": {"clusterCaCertificate": authority},
        "resourceLabels": found.tags,
        "selfLink": link,
        "network": "default",
        "nodePools": [
            {
                "name": "default-pool",
                "initialNodeCount": found.nodes,
                "config": {"machineType": found.size, "diskSizeGb": 100},
                "status": "RUNNING",
                "version": found.version,
            }
        ],
    }
