"""What the local clouds are made of, in words that are neither Azure's nor Google's."""

from __future__ import annotations

from dataclasses import dataclass, field

TENANT = "7f7d7b3a-5a3c-4a52-9f7e-3f6f5a7e0001"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-111122223333"
PROJECT = "lab-project-314159"
PROJECT_NUMBER = "314159265358"

AZURE_SIZES = {
    "Standard_B2ts_v2": (2, 1.0),
    "Standard_D2s_v5": (2, 8.0),
    "Standard_D4s_v5": (4, 16.0),
    "Standard_E8s_v5": (8, 64.0),
    "Standard_F16s_v2": (16, 32.0),
}
"""Name -> cores, memory in GiB."""

GOOGLE_SIZES = {
    "e2-medium": (2, 4.0),
    "n2-standard-4": (4, 16.0),
    "n2-highmem-8": (8, 64.0),
    "c3-standard-22": (22, 88.0),
    "n2-custom-6-20480": (6, 20.0),
}
"""Name -> cores, memory in GiB. Google lists no custom types: their name says it."""

AZURE_LOCATIONS = ("westeurope", "northeurope", "eastus", "eastus2", "swedencentral", "japaneast")
GOOGLE_ZONES = tuple(
    f"{region}-{zone}"
    for region in ("europe-west1", "europe-west4", "us-central1", "us-east1", "asia-northeast1")
    for zone in "bcd"
)


@dataclass
class Machine:
    """A virtual machine. ``state``: running, stopped (still paid for), deallocated, or on the way: starting, …"""

    name: str
    place: str  # Azure: the location; Google: the zone
    size: str
    group: str = "fleet"  # Azure's resource group
    zone: str = ""  # Azure's availability zone
    state: str = "running"
    private: str | None = None
    public: str | None = None
    tags: dict[str, str] | None = None
    spot: bool = False
    odd_case: bool = False  # its ids are cased differently in each list


@dataclass
class Managed:
    """A managed Kubernetes cluster."""

    name: str
    place: str
    group: str = "fleet"
    endpoint: str = "10.0.0.1"
    version: str = "1.33.1"
    nodes: int = 3
    size: str = "Standard_D4s_v5"
    state: str = "running"
    tags: dict[str, str] = field(default_factory=dict)
    certificate: str = ""  # PEM of its CA
    client: str = ""  # the kubeconfig's user, as JSON (AKS only)
