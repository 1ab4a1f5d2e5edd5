"""What probes find out about nodes, services and links; preflight, doctor and the cost model judge it.

Plain facts without judgement: whoever fills them in does not decide what they mean. Sizes are bytes, times seconds,
rates bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node, as an agent on it sees it."""

    hostname: str = ""
    kernel: str = ""  # uname -r
    arch: str = ""  # uname -m
    cpu_flags: frozenset[str] = frozenset()
    cpu_model: str = ""
    criu: tuple[int, ...] | None = None  # None: not installed
    criu_check: str = ""  # what `criu check` complained about; "" when it is content
    criu_needs: tuple[int, ...] = ()  # the least version for this kernel; () when any will do
    runtimes: Mapping[str, str] = field(default_factory=dict)  # {"crun": "1.21", "runc": "1.1.15"}
    orchestrator: str = "podman"
    orchestrator_version: str = ""  # "" when the orchestrator is not installed
    storage_driver: str = ""  # docker: how it keeps root file systems; "" when it is not told
    experimental: bool = True  # docker: whether it has its experimental features, which a restore is one of
    root: bool = False
    memory_free: int = 0
    run_free: int = 0  # free in the tmpfs that images are kept in
    disk_free: int = 0  # free where containers are stored
    cgroup: str = ""  # "v1" | "v2" | "hybrid"
    tools: Mapping[str, bool] = field(default_factory=dict)  # ssh, rsync, python3, tar, nft
    listening_ports: frozenset[tuple[str, int]] = frozenset()  # ("tcp", 8000)
    tracks_writes: bool = False  # the kernel tells which pages were written (PAGEMAP_SCAN, Linux 6.7)
    userfaultfd: bool = False
    lsm: str = ""  # the loaded security modules, as the kernel lists them: "lockdown,capability,yama,apparmor"
    images: frozenset[str] = frozenset()  # image ids
    layers: frozenset[str] = frozenset()  # what its images are made of: digests of the unpacked layers
    volumes: frozenset[str] = frozenset()  # names of volumes
    networks: frozenset[str] = frozenset()  # names of networks
    sys_resource: bool = True  # root has CAP_SYS_RESOURCE there
    seccomp: bool = True  # the kernel has seccomp filters
    time_ns: bool = True  # the kernel has time namespaces
    pids: frozenset[int] = frozenset()  # process ids in use
    container_names: frozenset[str] = frozenset()
    lacking_rights: frozenset[str] = frozenset()  # what the API does not let us do: "create pods"
    checkpoints: bool = True  # the API lets us ask its node for a checkpoint
    unreached: str = ""  # why no agent can be on the node; "" when one can
    containerd: str = ""  # the version of what runs pods there
    boot_time: float = 0.0  # Unix time
    clock: float = 0.0  # Unix time there, at the moment at which the probes of a plan began


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One running service, as an agent on its node sees it."""

    processes: int = 1
    threads: int = 1
    pids: tuple[int, ...] = ()  # inside the service's own PID namespace
    memory: int = 0  # resident private bytes: what a checkpoint has to carry
    dirty_rate: float | None = None  # bytes/s written; None when not measured
    pid_host: bool = False  # it lives in the node's own PID namespace
    time_ns: bool = False  # it has a time namespace of its own
    uids: tuple[int, ...] = ()  # all user ids of its processes, as the node sees them
    gids: tuple[int, ...] = ()  # and all group ids
    tmpfs_bytes: int = 0  # in its own in-memory file systems: they travel with the checkpoint
    writable_shared_maps: tuple[str, ...] = ()  # paths of files mapped shared and writable
    established: tuple[str, ...] = ()  # remote "address:port" of open TCP connections
    unix_external: tuple[str, ...] = ()  # Unix sockets connected to something outside the service
    tty: bool = False
    io_uring: bool = False
    devices: tuple[str, ...] = ()  # beyond null, zero, full, random, urandom, tty, ptmx, pts
    inotify: bool = False
    ptraced: bool = False
    rootfs_bytes: int = 0  # what the service changed in its root file system
    volume_bytes: Mapping[str, int] = field(default_factory=dict)  # by mount destination
    image_bytes: int = 0  # what transferring the whole image would cost
    layer_bytes: Mapping[str, int] = field(default_factory=dict)  # of each layer of the image, by its digest
    runtime: str = ""  # "crun" | "runc"
    log_format: str = ""  # "k8s-file", "json-file"; "" when its log is in no file
    seccomp: str = ""  # "", "unconfined" or the profile
    caps: tuple[str, ...] = ()
    user_ns: bool = False
    elsewhere: tuple[tuple[bool, str], ...] = ()  # what other orchestrators have not; whether that forbids the move
    inside: Mapping[str, Any] = field(default_factory=dict)  # what umsui inside the container tells; {}: it has none


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The way from the source node to the destination node."""

    reachable: bool = True
    error: str = ""
    rtt: float = 0.0
    bandwidth: float | None = None  # bytes/s; None when it could not be measured
