"""Machines in Azure's words (Microsoft.Compute, Microsoft.Network, Microsoft.ContainerService)."""

from __future__ import annotations

import base64
import uuid
from typing import Any

from tests.clouds.machines import AZURE_SIZES, TENANT, Machine, Managed

JSON = dict[str, Any]
KEY = uuid.UUID("5f2c1f34-62f1-4f0c-a7c6-0d8a7f6d0001")
POWER = {
    "running": "VM running",
    "stopped": "VM stopped",
    "deallocated": "VM deallocated",
    "starting": "VM starting",
    "stopping": "VM stopping",
    "deallocating": "VM deallocating",
}
CREATED = "2026-03-04T05:06:07.1234567+00:00"


def resource(subscription: str, group: str, kind: str, name: str) -> str:
    """A resource's id."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"


def recased(identity: str, how: str) -> str:
    """An id as one of ARM's lists spells it: groups in capitals here, everything in small letters there."""
    if how == "group":
        before, mark, rest = identity.partition("/resourceGroups/")
        group, slash, tail = rest.partition("/")
        return before + mark + group.upper() + slash + tail
    return identity.lower()


def _id(subscription: str, machine: Machine, kind: str, suffix: str = "", how: str = "") -> str:
    identity = resource(subscription, machine.group, kind, machine.name + suffix)
    return recased(identity, how) if machine.odd_case and how else identity


def vm_id(subscription: str, machine: Machine, how: str = "group") -> str:
    """A machine's id as the list has it."""
    return _id(subscription, machine, "Microsoft.Compute/virtualMachines", "", how)


def _key(subscription: str, machine: Machine) -> str:
    return str(uuid.uuid5(KEY, f"{subscription}/{machine.group}/{machine.name}"))


def vm(subscription: str, machine: Machine) -> JSON:
    """As ``virtualMachines`` lists it."""
    found: JSON = {
        "name": machine.name,
        "id": vm_id(subscription, machine),
        "type": "Microsoft.Compute/virtualMachines",
        "location": machine.place,
        "properties": {
            "hardwareProfile": {"vmSize": machine.size},
            "provisioningState": "Updating"
            if machine.state in ("starting", "stopping", "deallocating")
            else "Succeeded",
            "vmId": _key(subscription, machine),
            "storageProfile": _storage(subscription, machine),
            "osProfile": {
                "computerName": machine.name[:15],
                "adminUsername": "ops",
                "linuxConfiguration": {
                    "disablePasswordAuthentication": True,
                    "ssh": {"publicKeys": [{"path": "/home/ops/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]},
                    "provisionVMAgent": True,
                    "patchSettings": {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"},
                },
                "secrets": [],
                "allowExtensionOperations": True,
                "requireGuestProvisionSignal": True,
            },
            "securityProfile": {
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
                "securityType": "TrustedLaunch",
            },
            "networkProfile": {
                "networkInterfaces": [
                    {
                        "id": _id(subscription, machine, "Microsoft.Network/networkInterfaces", "-nic", "group"),
                        "properties": {"deleteOption": "Detach", "primary": True},
                    }
                ]
            },
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
            "timeCreated": CREATED,
        },
        "etag": '"1"',
    }
    if machine.zone:
        found["zones"] = [machine.zone]
    if machine.tags is not None:
        found["tags"] = machine.tags
    if machine.spot:
        found["properties"] |= {
            "priority": "Spot",
            "evictionPolicy": "Deallocate",
            "billingProfile": {"maxPrice": -1.0},
        }
    return found


def _storage(subscription: str, machine: Machine) -> JSON:
    return {
        "imageReference": {
            "publisher": "Debian",
            "offer": "debian-13",
            "sku": "13-gen2",
            "version": "latest",
            "exactVersion": "0.20260301.2038",
        },
        "osDisk": {
            "osType": "Linux",
            "name": f"{machine.name}-os",
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "managedDisk": {
                "storageAccountType": "Premium_LRS",
                "id": _id(subscription, machine, "Microsoft.Compute/disks", "-os"),
            },
            "deleteOption": "Delete",
            "diskSizeGB": 30,
        },
        "dataDisks": [],
        "diskControllerType": "SCSI",
    }


def status(subscription: str, machine: Machine) -> JSON:
    """As ``virtualMachines?statusOnly=true`` lists it."""
    return {
        "name": machine.name,
        "id": vm_id(subscription, machine, "lower"),
        "type": "Microsoft.Compute/virtualMachines",
        "location": machine.place,
        "properties": {
            "provisioningState": "Succeeded",
            "vmId": _key(subscription, machine),
            "instanceView": instance_view(machine),
        },
    }


def instance_view(machine: Machine) -> JSON:
    """Its statuses."""
    return {
        "statuses": [
            {
                "code": "ProvisioningState/succeeded",
                "level": "Info",
                "displayStatus": "Provisioning succeeded",
                "time": CREATED,
            },
            {"code": f"PowerState/{machine.state}", "level": "Info", "displayStatus": POWER[machine.state]},
        ]
    }


def interface(subscription: str, machine: Machine) -> JSON:
    """Its network interface."""
    kind = "Microsoft.Network/networkInterfaces"
    inside: JSON = {
        "provisioningState": "Succeeded",
        "privateIPAllocationMethod": "Dynamic",
        "subnet": {"id": resource(subscription, machine.group, "Microsoft.Network/virtualNetworks", "net/subnets/a")},
        "primary": True,
        "privateIPAddressVersion": "IPv4",
    }
    if machine.private is not None:
        inside["privateIPAddress"] = machine.private
    if machine.public is not None:
        inside["publicIPAddress"] = {
            "id": _id(subscription, machine, "Microsoft.Network/publicIPAddresses", "-ip", "group")
        }
    identity = _id(subscription, machine, kind, "-nic", "lower")
    return {
        "name": f"{machine.name}-nic",
        "id": identity,
        "etag": 'W/"1"',
        "type": kind,
        "location": machine.place,
        "properties": {
            "provisioningState": "Succeeded",
            "resourceGuid": _key(subscription, machine),
            "ipConfigurations": [
                {
                    "name": "ipconfig1",
                    "id": f"{identity}/ipConfigurations/ipconfig1",
                    "etag": 'W/"1"',
                    "type": f"{kind}/ipConfigurations",
                    "properties": inside,
                }
            ],
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
            "enableAcceleratedNetworking": True,
            "enableIPForwarding": False,
            "primary": True,
            "virtualMachine": {"id": vm_id(subscription, machine, "lower")},
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": "Standard",
        },
    }


def address(subscription: str, machine: Machine) -> JSON:
    """Its public address (for a machine that has one)."""
    nic = _id(subscription, machine, "Microsoft.Network/networkInterfaces", "-nic", "lower")
    return {
        "name": f"{machine.name}-ip",
        "id": _id(subscription, machine, "Microsoft.Network/publicIPAddresses", "-ip", "lower"),
        "etag": 'W/"1"',
        "type": "Microsoft.Network/publicIPAddresses",
        "location": machine.place,
        "sku": {"name": "Standard", "tier": "Regional"},
        "properties": {
            "provisioningState": "Succeeded",
            "resourceGuid": _key(subscription, machine),
            "ipAddress": machine.public,
            "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": "Static",
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
            "ipConfiguration": {"id": f"{nic}/ipConfigurations/ipconfig1"},
        },
    }


def sku(name: str, location: str) -> JSON:
    """A size, as ``skus`` lists it."""
    cores, memory = AZURE_SIZES[name]
    capabilities = {
        "vCPUs": str(cores),
        "MemoryGB": f"{memory:g}",
        "CpuArchitectureType": "x64",
        "MaxDataDiskCount": "8",
    }
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "size": name.removeprefix("Standard_"),
        "family": f"standard{name[9]}Family",
        "locations": [location],
        "locationInfo": [{"location": location, "zones": ["1", "2", "3"], "zoneDetails": []}],
        "capabilities": [{"name": key, "value": value} for key, value in capabilities.items()],
        "restrictions": [],
    }


def size(name: str) -> JSON:
    """A size, as ``vmSizes`` lists it."""
    cores, memory = AZURE_SIZES[name]
    return {
        "name": name,
        "numberOfCores": cores,
        "osDiskSizeInMB": 1047552,
        "resourceDiskSizeInMB": 0,
        "memoryInMB": int(memory * 1024),
        "maxDataDiskCount": 8,
    }


def group(subscription: str, name: str, location: str) -> JSON:
    """A resource group."""
    return {
        "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    }


def managed_cluster(subscription: str, cluster: Managed) -> JSON:
    """An AKS cluster."""
    return {
        "id": recased(resource(subscription, cluster.group, AKS, cluster.name), "lower"),
        "name": cluster.name,
        "type": AKS,
        "location": cluster.place,
        "tags": cluster.tags,
        "properties": {
            "provisioningState": "Succeeded",
            "powerState": {"code": cluster.state.capitalize()},
            "kubernetesVersion": cluster.version,
            "currentKubernetesVersion": cluster.version,
            "dnsPrefix": cluster.name,
            "fqdn": cluster.endpoint,
            "agentPoolProfiles": [
                {
                    "name": "pool1",
                    "count": cluster.nodes,
                    "vmSize": cluster.size,
                    "osType": "Linux",
                    "mode": "System",
                    "powerState": {"code": cluster.state.capitalize()},
                    "provisioningState": "Succeeded",
                }
            ],
            "enableRBAC": True,
            "nodeResourceGroup": f"MC_{cluster.group}_{cluster.name}_{cluster.place}",
            "networkProfile": {"networkPlugin": "azure", "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10"},
        },
        "sku": {"name": "Base", "tier": "Free"},
        "identity": {"type": "SystemAssigned", "tenantId": TENANT},
    }


AKS = "Microsoft.ContainerService/managedClusters"


def kubeconfig(cluster: Managed, user: str) -> JSON:
    """What ``listClusterUserCredential`` gives: a kubeconfig, base64."""
    server = cluster.endpoint if "://" in cluster.endpoint else f"https://{cluster.endpoint}:443"
    authority = base64.b64encode(cluster.certificate.encode()).decode()
    text = (
        "apiVersion: v1\nkind: Config\npreferences: {}\n"
        f"clusters:\n- name: {cluster.name}\n  cluster:\n"
        f"    server: {server}\n    certificate-authority-data: {authority}\n"
        f"users:\n- name: {user}_{cluster.group}_{cluster.name}\n  user: {cluster.client or '{}'}\n"
        f"contexts:\n- name: {cluster.name}\n  context:\n"
        f"    cluster: {cluster.name}\n    user: {user}_{cluster.group}_{cluster.name}\n"
        f"current-context: {cluster.name}\n"
    )
    return {"kubeconfigs": [{"name": user, "value": base64.b64encode(text.encode()).decode()}]}
