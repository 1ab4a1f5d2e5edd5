"""What probes find out about nodes, services and links; preflight, doctor and the cost model judge it.

Plain facts without judgement: whoever fills them in does not decide what they mean. Sizes are bytes, times seconds,
rates bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    orchestrator_version: str = ""  # "" when the orchestrator is not installed
    root: bool = False
    memory_free: int = 0
    run_free: int = 0  # free in the tmpfs that images are kept in
    disk_free: int = 0  # free where containers are stored
    cgroup: str = ""  # "v1" | "v2" | "hybrid"
    tools: Mapping[str, bool] = field(default_factory=dict)  # ssh, rsync, python3, tar, nft
    listening_ports: frozenset[tuple[str, int]] = frozenset()  # ("tcp", 8000)
    soft_dirty: bool = False  # the kernel can track written pages (CONFIG_MEM_SOFT_DIRTY)
    userfaultfd: bool = False
    lsm: str = ""  # the loaded security modules, as the kernel lists them: "lockdown,capability,yama,apparmor"
    images: frozenset[str] = frozenset()  # image ids
    container_names: frozenset[str] = frozenset()
    boot_time: float = 0.0  # Unix time
    clock: float = 0.0  # Unix time there, at the moment of the probe


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One running service, as an agent on its node sees it."""

    processes: int = 1
    threads: int = 1
    pids: tuple[int, ...] = ()  # inside the service's own PID namespace
    memory: int = 0  # resident private bytes: what a checkpoint has to carry
    dirty_rate: float | None = None  # bytes/s written; None when not measured
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
    runtime: str = ""  # "crun" | "runc"
    seccomp: str = ""  # "", "unconfined" or the profile
    caps: tuple[str, ...] = ()
    user_ns: bool = False


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The way from the source node to the destination node."""

    reachable: bool = True
    error: str = ""
    rtt: float = 0.0
    bandwidth: float | None = None  # bytes/s; None when it could not be measured
