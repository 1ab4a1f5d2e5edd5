"""What a lab consists of: its clusters, hosts, addresses and folders. Names only; nothing here touches the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from umsui import locations

PREFIX_LENGTH = 24
USER = "root"

# cluster, its provider, its hosts
CLUSTERS = (
    ("azure-lab", "azure", ("azure-1", "azure-2")),
    ("gcp-lab", "gcp", ("gcp-1",)),
    ("onprem-lab", "onprem", ("onprem-1",)),
    ("aks-lab", "azure", ("aks-1",)),
    ("gke-lab", "gcp", ("gke-1",)),
)

_ENGINES = {"azure-lab": "podman", "gcp-lab": "docker", "onprem-lab": "docker"}
_KUBERNETES = {"aks-lab": "kubernetes", "gke-lab": "kubernetes"}

# The labs that there are: the clusters of each, and what runs on them.
LABS: Mapping[str, Mapping[str, str]] = {
    "podman": dict.fromkeys(_ENGINES, "podman"),
    "docker": dict.fromkeys(_ENGINES, "docker"),
    "engines": _ENGINES,
    "kubernetes": _KUBERNETES,
    "mixed": {**_ENGINES, **_KUBERNETES},
}


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab of the many that a machine can have at once."""

    instance: int
    directory: Path

    @classmethod
    def selected(cls) -> Lab:
        """The lab that ``UMSUI_LAB_INSTANCE`` selects; raises BadInput."""
        instance = locations.lab_instance()
        return cls(instance, locations.lab_dir() / str(instance))

    @property
    def bridge(self) -> str:
        """The bridge that stands for the world between the clusters."""
        return f"umsui{self.instance}"

    @property
    def gateway(self) -> str:
        """This machine's own address in the lab."""
        return f"10.77.{self.instance}.1"

    @property
    def cgroup_prefix(self) -> str:
        """What the names of all its cgroups begin with."""
        return f"umsui-lab{self.instance}-"

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, in the order in which they are shown; before it is up, those of a lab with podman."""
        clusters = LABS[self.orchestrator or "podman"]
        named = [(name, cluster, provider) for cluster, provider, names in CLUSTERS for name in names]
        every = (Host(self, number, *which) for number, which in enumerate(named, start=1))
        return tuple(host for host in every if host.cluster in clusters)

    @property
    def identity(self) -> Path:
        """The private key that its hosts let in."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The keys of its hosts."""
        return self.directory / "known_hosts"

    @property
    def config(self) -> Path:
        """The config file that describes it to the coordinator."""
        return self.directory / "config.toml"

    @property
    def ready_mark(self) -> Path:
        """Exists once ``up`` came to its end."""
        return self.directory / "ready"

    @property
    def rate_file(self) -> Path:
        """Holds the rate that its links are shaped to, if they are."""
        return self.directory / "rate"

    @property
    def orchestrator_file(self) -> Path:
        """Holds which of ``LABS`` it is."""
        return self.directory / "orchestrator"

    @property
    def orchestrator(self) -> str:
        """Which of ``LABS`` it is; "" before it is up."""
        return self.orchestrator_file.read_text().strip() if self.orchestrator_file.is_file() else ""

    @property
    def lock_file(self) -> Path:
        """Held by whoever takes it up or down; outlives it."""
        return locations.cache_dir() / "lab" / f".lock-{self.instance}"


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab."""

    lab: Lab
    number: int
    name: str
    cluster: str
    provider: str

    @property
    def directory(self) -> Path:
        """Its state: overlay layers, container storage, pid, log."""
        return self.lab.directory / self.name

    @property
    def orchestrator(self) -> str:
        """What manages its containers: podman or docker, which is also the name of that program, or kubernetes."""
        return LABS[self.lab.orchestrator or "podman"][self.cluster]

    @property
    def pods(self) -> str:
        """The network of its pods, where it runs Kubernetes; of no other host of any lab."""
        return f"10.78.{8 * self.lab.instance + self.number}.0/24"

    @property
    def kubeconfig(self) -> Path:
        """What lets its cluster's administrator in, where it runs Kubernetes."""
        return self.lab.directory / f"{self.cluster}.kubeconfig"

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return f"10.77.{self.lab.instance}.{10 + self.number}"

    @property
    def link(self) -> str:
        """The outer end of its cable."""
        return f"{self.lab.bridge}-{self.number}"

    @property
    def cgroup(self) -> str:
        """The name of its cgroup in each hierarchy."""
        return self.lab.cgroup_prefix + self.name

    @property
    def ssh(self) -> str:
        """``user@address:port``."""
        return f"{USER}@{self.address}:22"
