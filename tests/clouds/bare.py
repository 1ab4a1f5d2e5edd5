"""The bare SDK clients, pointed at the local clouds: what tests and benchmarks compare ours with."""

from __future__ import annotations

from typing import Any

from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.network import NetworkManagementClient
from google.cloud import compute_v1, container_v1

from tests.clouds.local import LocalCloud
from tests.clouds.machines import SUBSCRIPTION

SCOPES = ["https://management.azure.com/.default"]


def azure_credential(cloud: LocalCloud) -> DefaultAzureCredential:
    """From the environment."""
    return DefaultAzureCredential(authority=cloud.url, disable_instance_discovery=True)


def azure(cloud: LocalCloud, kind: type[Any], subscription: str = SUBSCRIPTION, **more: Any) -> Any:
    """A management client of Azure's."""
    return kind(azure_credential(cloud), subscription, base_url=cloud.url, credential_scopes=SCOPES, **more)


def compute(cloud: LocalCloud, **more: Any) -> ComputeManagementClient:
    """Virtual machines."""
    found: ComputeManagementClient = azure(cloud, ComputeManagementClient, **more)
    return found


def network(cloud: LocalCloud, **more: Any) -> NetworkManagementClient:
    """Their addresses."""
    found: NetworkManagementClient = azure(cloud, NetworkManagementClient, **more)
    return found


def aks(cloud: LocalCloud, **more: Any) -> ContainerServiceClient:
    """Managed clusters."""
    found: ContainerServiceClient = azure(cloud, ContainerServiceClient, **more)
    return found


def google(cloud: LocalCloud, kind: type[Any]) -> Any:
    """A compute client of Google's; credentials from the environment."""
    return kind(client_options={"api_endpoint": cloud.url})


def instances(cloud: LocalCloud) -> compute_v1.InstancesClient:
    """Virtual machines."""
    found: compute_v1.InstancesClient = google(cloud, compute_v1.InstancesClient)
    return found


def gke(cloud: LocalCloud) -> container_v1.ClusterManagerClient:
    """Managed clusters, over HTTP."""
    return container_v1.ClusterManagerClient(transport="rest", client_options={"api_endpoint": cloud.url})
