"""What a node and a service are made of, read from the node itself; nothing is changed.

The shapes are those of ``umsui.interface.facts``: sets travel as lists.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Set, Tuple

from umsui.agent.host import IMAGES, Trouble, environment, run

TOOLS = ("ssh", "ssh-keygen", "rsync", "tar", "python3", "nft", "podman", "docker", "criu", "crun", "runc")
USUAL_DEVICES = (
    "/dev/pts",
    "/dev/shm",  # noqa: S108 - a name to compare with
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
)
CAP_NAMES = {40: "CHECKPOINT_RESTORE", 21: "SYS_ADMIN", 19: "SYS_PTRACE", 8: "SETPCAP", 12: "NET_ADMIN"}


def attempt(argv: List[str], timeout: float = 10.0) -> str:
    """The output of a command, errors included; "" when the program is not there."""
    try:
        done = subprocess.run(
            argv, capture_output=True, timeout=timeout, env=environment(), stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).decode(errors="replace")


def version(text: str) -> str:
    """The first thing in a text that looks like a version."""
    found = re.search(r"\d+\.\d+(?:\.\d+)*", text)
    return found.group(0) if found else ""


def node() -> Dict[str, Any]:
    """NodeFacts of this node."""
    cpu = Path("/proc/cpuinfo").read_text()
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    tools = {tool: shutil.which(tool, path=environment()["PATH"]) is not None for tool in TOOLS}
    criu = version(attempt(["criu", "--version"]))
    kernel = os.uname().release
    info = podman_info() if tools["podman"] else {}
    store = str(info.get("store", {}).get("graphRoot", "/var/lib"))
    return {
        "kernel": kernel,
        "arch": os.uname().machine,
        "cpu_flags": sorted(set(line(cpu, "flags").split())),
        "cpu_model": line(cpu, "model name"),
        "criu": [int(part) for part in criu.split(".")] if criu else None,
        "criu_check": criu_check() if tools["criu"] else "criu is not installed",
        "criu_needs": [4, 2] if kernel_version(kernel) >= (6, 16) else [3, 15],
        "runtimes": {name: version(attempt([name, "--version"])) for name in ("crun", "runc") if tools[name]},
        "orchestrator_version": str(info.get("version", {}).get("Version", "")),
        "root": os.geteuid() == 0,
        "memory_free": int(memory["MemAvailable"]) * 1024,
        "run_free": free(str(IMAGES.parent)),
        "disk_free": free(store),
        "cgroup": cgroup_mode(),
        "tools": tools,
        "listening_ports": sorted(listening()),
        "soft_dirty": kernel_config("CONFIG_MEM_SOFT_DIRTY"),
        "userfaultfd": Path("/dev/userfaultfd").exists() or kernel_config("CONFIG_USERFAULTFD"),
        "lsm": read("/sys/kernel/security/lsm"),
        "images": images() if tools["podman"] else [],
        "container_names": names() if tools["podman"] else [],
        "boot_time": float(re.findall(r"btime (\d+)", Path("/proc/stat").read_text())[0]),
        "clock": time.time(),
        "hostname": socket.gethostname(),
    }


def line(text: str, key: str) -> str:
    """The value of ``key : value`` in a /proc file; "" when it is not there."""
    found = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def read(path: str) -> str:
    """A file's text, stripped; "" when it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def kernel_version(release: str) -> Tuple[int, int]:
    """``(6, 18)`` of ``6.18.44-…``."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def kernel_config(option: str) -> bool:
    """Whether the running kernel was built with an option; False when it does not tell."""
    try:
        with gzip.open("/proc/config.gz", "rt") as config:
            return f"{option}=y" in config.read().splitlines()
    except OSError:
        return f"{option}=y" in read(f"/boot/config-{os.uname().release}").splitlines()


def free(path: str) -> int:
    """Bytes free in the file system of ``path`` (or of its nearest parent that is there)."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def cgroup_mode() -> str:
    """``v1``, ``v2`` or ``hybrid``."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "v2"
    return "hybrid" if Path("/sys/fs/cgroup/unified/cgroup.controllers").exists() else "v1"


def criu_check() -> str:
    """What ``criu check`` complains of; "" when it is content."""
    words = attempt(["criu", "check"])
    errors = [text.split("Error ", 1)[1] for text in words.splitlines() if "Error " in text and "RLIMIT" not in text]
    return "" if "Looks good" in words else "; ".join(errors[:3]) or words.strip()[-200:] or "it did not answer"


def podman_info() -> Dict[str, Any]:
    """``podman info``; {} when it fails."""
    try:
        found: Dict[str, Any] = json.loads(run(["podman", "info", "--format", "json"]))
    except (Trouble, ValueError):
        return {}
    return found


def images() -> List[str]:
    """The ids of all images."""
    return [text.replace("sha256:", "") for text in attempt(["podman", "images", "-aq", "--no-trunc"]).split()]


def names() -> List[str]:
    """The names of all containers."""
    return attempt(["podman", "ps", "-a", "--format", "{{.Names}}"]).split()


def sockets(kind: str, root: str = "/proc/self") -> Iterable[List[str]]:
    """The fields of ``/proc/net/{kind}``, without its heading."""
    try:
        return [row.split() for row in Path(f"{root}/net/{kind}").read_text().splitlines()[1:]]
    except OSError:
        return []


def listening() -> Set[Tuple[str, int]]:
    """Ports that are taken on this node: sockets, and those that containers publish (they have no socket)."""
    taken = {
        ("tcp", int(row[1].rsplit(":", 1)[1], 16))
        for kind in ("tcp", "tcp6")
        for row in sockets(kind)
        if row[3] == "0A"
    }
    taken |= {("udp", int(row[1].rsplit(":", 1)[1], 16)) for kind in ("udp", "udp6") for row in sockets(kind)}
    try:
        listed = json.loads(attempt(["podman", "ps", "--format", "json"]) or "[]")
    except ValueError:
        listed = []
    for container in listed:
        for port in container.get("Ports") or []:
            taken |= {(port["protocol"], port["host_port"] + extra) for extra in range(port.get("range", 1))}
    return taken


# -- a service ------------------------------------------------------------------------------------------------------


def service(container: str) -> Dict[str, Any]:
    """ServiceFacts of a running podman container. Raises Trouble when it does not run."""
    found = json.loads(run(["podman", "inspect", "--type", "container", container], code="no-such-service"))[0]
    pid = found["State"]["Pid"]
    if not pid:
        raise Trouble("not-running", f"the service is {found['State']['Status']}", f"podman start {container}")
    pids = processes(pid)
    open_files = [target for each in pids for target in descriptors(each)]
    graph = found.get("GraphDriver", {}).get("Data", {})
    volumes = {
        m["Destination"]: tree_size(m["Source"]) for m in found.get("Mounts", []) if m.get("Type") in ("volume", "bind")
    }
    return {
        "container": found["Id"],
        "pid": pid,
        "processes": len(pids),
        "threads": sum(len(os.listdir(f"/proc/{each}/task")) for each in pids),
        "memory": sum(private_memory(each) for each in pids),
        "writable_shared_maps": sorted(shared_files(pids)),
        "established": established(pid),
        "unix_external": [],
        "tty": bool(found["Config"].get("Tty")),
        "io_uring": any("io_uring" in target for target in open_files),
        "devices": sorted({t for t in open_files if t.startswith("/dev/") and not t.startswith(USUAL_DEVICES)}),
        "inotify": any("inotify" in target for target in open_files),
        "ptraced": any(line(read(f"/proc/{each}/status"), "TracerPid") not in ("", "0") for each in pids),
        "rootfs_bytes": tree_size(graph.get("UpperDir", "")),
        "volume_bytes": volumes,
        "runtime": os.path.basename(found.get("OCIRuntime", "crun")),
        "seccomp": line(read(f"/proc/{pid}/status"), "Seccomp"),
        "caps": capabilities(pid),
        "user_ns": read(f"/proc/{pid}/uid_map").split() != read("/proc/self/uid_map").split(),
        "dirty_rate": None,  # needs soft-dirty or two passes over the pages: the hybrid strategy measures it
        "pids": pids,
        "upper": graph.get("UpperDir", ""),
        "lower": [part for part in graph.get("LowerDir", "").split(":") if part],
        "merged": graph.get("MergedDir", ""),
        "image": found["Image"],
    }


def processes(root: int) -> List[int]:
    """The process ``root`` and all its descendants."""
    found, stack = [], [root]
    while stack:
        pid = stack.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            stack += [int(child) for child in read(str(task)).split()]
    return found


def descriptors(pid: int) -> List[str]:
    """What the descriptors of a process lead to."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue  # closed meanwhile
    return found


def private_memory(pid: int) -> int:
    """Bytes that a checkpoint of the process has to carry: its anonymous pages."""
    return int((line(read(f"/proc/{pid}/smaps_rollup"), "Anonymous") or "0 kB").split()[0]) * 1024


def shared_files(pids: List[int]) -> Set[str]:
    """Files that are mapped shared and writable."""
    found = set()
    for pid in pids:
        for text in read(f"/proc/{pid}/maps").splitlines():
            parts = text.split(None, 5)
            if len(parts) == 6 and "w" in parts[1] and parts[1].endswith("s") and parts[5].startswith("/"):
                found.add(parts[5])
    return found


def established(pid: int) -> List[str]:
    """The remote ends of the service's open TCP connections."""
    if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
        return []  # the host's own network: its connections cannot be told apart from here
    return [address(row[2]) for kind in ("tcp", "tcp6") for row in sockets(kind, f"/proc/{pid}") if row[3] == "01"]


def address(text: str) -> str:
    """``0A00000A:1F90`` as ``10.0.0.10:8080``."""
    host, _, port = text.partition(":")
    words = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    family = socket.AF_INET if len(words) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, words)}:{int(port, 16)}"


def capabilities(pid: int) -> List[str]:
    """The effective capabilities that matter for checkpointing."""
    mask = int(line(read(f"/proc/{pid}/status"), "CapEff") or "0", 16)
    return [name for bit, name in CAP_NAMES.items() if mask & (1 << bit)]


def tree_size(root: str) -> int:
    """Bytes on disk below a folder."""
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue  # removed meanwhile
    return total
