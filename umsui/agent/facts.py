"""What a node and a service are made of, read from the node itself; nothing is changed.

The shapes are those of ``umsui.interface.facts``: sets travel as lists.
"""

from __future__ import annotations

import calendar
import gzip
import os
import re
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

from umsui.agent import inside, traits, userfault
from umsui.agent.binds import is_data
from umsui.agent.engine import Engine
from umsui.agent.engines import named
from umsui.agent.host import IMAGES, Trouble, environment
from umsui.agent.sockets import rows
from umsui.agent.writes import Sample

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


def node(engine: str, taken: bool = False) -> Dict[str, Any]:
    """NodeFacts of this node, with the container engine of that name; ``taken``: and of what it has already."""
    cpu = Path("/proc/cpuinfo").read_text()
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    tools = {tool: shutil.which(tool, path=environment()["PATH"]) is not None for tool in TOOLS}
    criu = version(attempt(["criu", "--version"]))
    kernel = os.uname().release
    containers = named(engine)
    info = containers.info()
    return {
        "kernel": kernel,
        "arch": os.uname().machine,
        "cpu_flags": sorted(set(line(cpu, "flags").split())),
        "cpu_model": line(cpu, "model name"),
        "criu": [int(part) for part in criu.split(".")] if criu else None,
        "criu_check": criu_check() if tools["criu"] else "criu is not installed",
        "criu_needs": [4, 2] if kernel_version(kernel) >= (6, 16) else [3, 15],
        "runtimes": {name: version(attempt([name, "--version"])) for name in ("crun", "runc") if tools[name]},
        "orchestrator": engine,
        "orchestrator_version": info.get("version", ""),
        "storage_driver": info.get("driver", ""),
        "experimental": info.get("experimental", "yes") == "yes",
        "root": os.geteuid() == 0,
        "memory_free": int(memory["MemAvailable"]) * 1024,
        "run_free": free(str(IMAGES.parent)),
        "disk_free": free(info.get("store", "/var/lib")),
        "cgroup": cgroup_mode(),
        "tools": tools,
        "tracks_writes": userfault.can_track(),
        "userfaultfd": Path("/dev/userfaultfd").exists() or kernel_config("CONFIG_USERFAULTFD"),
        "lsm": read("/sys/kernel/security/lsm"),
        "boot_time": float(re.findall(r"btime (\d+)", Path("/proc/stat").read_text())[0]),
        "clock": time.time(),
        "hostname": socket.gethostname(),
        **traits.of_node(),
        **(holdings(containers) if taken and info else {}),
    }


def holdings(engine: Engine) -> Dict[str, Any]:
    """The names and ports that are taken on this node, and the images that need not come."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 8 ms, which no other agent's start has to pay

    with ThreadPoolExecutor(3) as pool:  # an engine's command takes long to start, and little else
        volumes = pool.submit(engine.list, "volume", "ls", "--quiet")
        networks = pool.submit(engine.list, "network", "ls", "--format", "{{.Name}}")
        containers = pool.submit(engine.containers)
        images = engine.images()
        layers = engine.layers(images)
        published = containers.result()
        return {
            "volumes": volumes.result(),
            "networks": networks.result(),
            "images": [each.replace("sha256:", "") for each in images],
            "layers": sorted(layers),
            "container_names": sorted(published),
            "listening_ports": sorted(listening().union(*published.values())),
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


def listening() -> Set[Tuple[str, int]]:
    """Ports of this node that have a socket: not those that containers publish."""
    taken = {
        ("tcp", int(row[1].rsplit(":", 1)[1], 16)) for kind in ("tcp", "tcp6") for row in rows(kind) if row[3] == "0A"
    }
    taken |= {("udp", int(row[1].rsplit(":", 1)[1], 16)) for kind in ("udp", "udp6") for row in rows(kind)}
    return taken


# -- a service ------------------------------------------------------------------------------------------------------


def service(engine: str, container: str, planned: bool = False) -> Dict[str, Any]:
    """ServiceFacts of a running container. Raises Trouble.

    ``planned``: also what only a plan needs, and takes time: sizes of files and image, how fast it writes its memory.
    """
    containers = named(engine)
    found = containers.inspect(container)
    pid = found["State"]["Pid"]
    if not pid:
        raise Trouble("not-running", f"the service is {found['State']['Status']}", f"{engine} start {container}")
    pids = processes(pid)
    sample = Sample(pids) if planned and userfault.can_track() else None
    open_files = [target for each in pids for target in descriptors(each)]
    traced = traits.of_service(pid, pids, open_files)
    graph = found.get("GraphDriver", {}).get("Data", {})
    described = {
        "container": found["Id"],
        "pid": pid,
        "processes": len(pids),
        "threads": sum(len(listing(f"/proc/{each}/task")) for each in pids),
        "memory": sum(private_memory(each) for each in pids),
        "writable_shared_maps": sorted(shared_files(pids)),
        "hostname": str(found["Config"].get("Hostname") or ""),
        "tty": bool(found["Config"].get("Tty")),
        "devices": sorted({t for t in [*open_files, *traced.pop("mapped_devices")] if unusual(t)}),
        "inotify": any("inotify" in target for target in open_files),
        "ptraced": any(line(read(f"/proc/{each}/status"), "TracerPid") not in ("", "0") for each in pids),
        "log_format": containers.log(found)[0],
        "log": containers.log(found)[1],
        "runtime": containers.runtime(found),
        "seccomp": line(read(f"/proc/{pid}/status"), "Seccomp"),
        "caps": capabilities(pid),
        "user_ns": read(f"/proc/{pid}/uid_map").split() != read("/proc/self/uid_map").split(),
        **traced,
        "upper": graph.get("UpperDir", ""),
        "lower": [part for part in graph.get("LowerDir", "").split(":") if part],
        "merged": graph.get("MergedDir", ""),
        "top": top_folder(f"/proc/{pid}/root"),
        "image": found["Image"],
        "created": unix_time(str(found["Created"])),
        "inside": inside.described(containers, found),
        "descriptors": containers.descriptors(found["Id"], pid),
    }
    if not planned:
        return described
    image_bytes, layer_bytes = containers.image_sizes(found["Image"])
    return {
        **described,
        "rootfs_bytes": tree_size(graph.get("UpperDir", "")),
        "volume_bytes": {m["Destination"]: tree_size(m["Source"]) for m in found.get("Mounts", []) if carried(m)},
        "image_bytes": image_bytes,
        "layer_bytes": layer_bytes,
        "dirty_rate": sample.rate() if sample else None,  # last: it has had time to write
    }


def nested_service() -> Dict[str, Any]:
    """As much of a service nested in this container as its migration needs. Raises Trouble when it does not run."""
    found = named("nested").inspect("")
    pid = found["State"]["Pid"]
    if not pid:
        raise Trouble("not-running", "the nested service does not run", "start its outer container")
    pids = processes(pid)
    return {
        "container": found["Id"],
        "pid": pid,
        "processes": len(pids),
        "memory": sum(private_memory(each) for each in pids),
        "runtime": named("nested").runtime(found),
        "descriptors": named("nested").descriptors(found["Id"], pid),
        "log_format": "",
        "log": "",
    }


def carried(mount: Dict[str, Any]) -> bool:
    """Whether what is mounted there goes along: a volume, or a folder or file with data of the service."""
    kind, source = mount.get("Type"), str(mount.get("Source") or "")
    return kind == "volume" or (kind == "bind" and is_data(source, traits.kind(source)))


def unusual(path: str) -> bool:
    """Whether a file is a device that a checkpoint cannot take along."""
    return path.startswith("/dev/") and "(deleted)" not in path and not path.startswith(USUAL_DEVICES)


def unix_time(text: str) -> float:
    """``2026-11-24T11:57:10.123456789Z`` (or with an offset) as seconds; Python 3.9 reads six digits at most."""
    whole, _, fraction = re.sub(r"(Z|[+-]\d\d:\d\d)$", "", text).partition(".")
    offset = re.search(r"([+-])(\d\d):(\d\d)$", text)
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")
    if offset:
        ahead = int(offset.group(2)) * 3600 + int(offset.group(3)) * 60
        seconds -= ahead if offset.group(1) == "+" else -ahead
    return seconds


def processes(root: int) -> List[int]:
    """The process ``root`` and all its descendants."""
    found, stack = [], [root]
    while stack:
        pid = stack.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            stack += [int(child) for child in read(str(task)).split()]
    return found


def listing(folder: str) -> List[str]:
    """The names in a folder of /proc; none when the process has just ended."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def descriptors(pid: int) -> List[str]:
    """What the descriptors of a process lead to."""
    found = []
    for name in listing(f"/proc/{pid}/fd"):
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


def top_folder(path: str) -> List[int]:
    """Mode, user and group of a root file system's own folder: engines make it differently, and CRIU looks."""
    found = os.stat(path)
    return [stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid]


def capabilities(pid: int) -> List[str]:
    """The effective capabilities that matter for checkpointing."""
    mask = int(line(read(f"/proc/{pid}/status"), "CapEff") or "0", 16)
    return [name for bit, name in CAP_NAMES.items() if mask & (1 << bit)]


def tree_size(root: str) -> int:
    """Bytes on disk below a folder."""
    if os.path.isfile(root):
        return os.stat(root).st_size
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue  # removed meanwhile
    return total
