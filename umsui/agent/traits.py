"""What of a service or a node stands in the way of a checkpoint, beyond the plain facts of ``umsui.agent.facts``."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Set

from umsui.agent import namespaces, sockets
from umsui.agent.host import CONTROL, environment, private_folder

CAP_SYS_RESOURCE = 24


def of_service(pid: int, pids: List[int], links: List[str]) -> Dict[str, Any]:
    """Traits of the service whose first process is ``pid``; ``links`` is where its descriptors lead."""
    own = sockets.inodes(links)
    mapped = [path for each in pids for path in maps(each)]
    return {
        "established": sockets.established(pid, own),
        "unix_external": sockets.unix_outside(pid, own),
        "io_uring": any("io_uring" in target for target in [*links, *mapped]),
        "mapped_devices": sorted({path for path in mapped if path.startswith("/dev/")}),
        "uids": sorted({uid for each in pids for uid in ids(each, "Uid")}),
        "gids": sorted({gid for each in pids for gid in ids(each, "Gid")}),
        "pids": sorted(inner(each) for each in pids),
        "pid_host": same_namespace(pid, "pid"),
        "time_ns": not same_namespace(pid, "time"),
        "tmpfs_bytes": tmpfs(pid),
    }


def of_node() -> Dict[str, Any]:
    """Traits of this node."""
    return {
        "sys_resource": bool(int(status(os.getpid(), "CapEff") or "0", 16) & (1 << CAP_SYS_RESOURCE)),
        "seccomp": Path("/proc/sys/kernel/seccomp/actions_avail").exists(),
        "time_ns": Path("/proc/self/ns/time").exists(),
        "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    }


def status(pid: int, key: str) -> str:
    """A value of ``/proc/PID/status``; "" when it has ended."""
    try:
        found = re.search(rf"^{key}:\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def ids(pid: int, key: str) -> Set[int]:
    """The user or group ids of a process: real, effective, saved."""
    return {int(word) for word in status(pid, key).split()[:3]}


def inner(pid: int) -> int:
    """Its number in its own PID namespace."""
    return int((status(pid, "NSpid") or str(pid)).split()[-1])


def same_namespace(pid: int, kind: str) -> bool:
    """Whether a process is in this node's own namespace; so it is where there are none of that kind."""
    try:
        return namespaces.same(pid, kind)
    except OSError:
        return True


def maps(pid: int) -> List[str]:
    """The files and devices that a process has mapped."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return []
    return [parts[5] for parts in (line.split(None, 5) for line in lines) if len(parts) == 6]


def tmpfs(pid: int) -> int:
    """Bytes in the service's own in-memory file systems: CRIU packs them into the checkpoint."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return 0
    seen: Dict[str, int] = {}
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()[:1]
        if kind != ["tmpfs"] or fields[3] != "/":  # a part of another tmpfs, bound here: it is not its own
            continue
        try:
            found = os.statvfs(f"/proc/{pid}/root{fields[4].encode().decode('unicode_escape')}")
        except OSError:
            continue
        seen[fields[2]] = (found.f_blocks - found.f_bfree) * found.f_frsize
    return sum(seen.values())


def kinds(paths: List[str]) -> Dict[str, Dict[str, str]]:
    """What each path is: ``missing``, ``empty`` or ``folder``, ``file``, ``socket``, ``device``, ``other``."""
    return {"kinds": {path: kind(path) for path in paths}}


def kind(path: str) -> str:
    """What a path is; links are followed."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "missing"
    if stat.S_ISDIR(mode):
        return "folder" if os.listdir(path) else "empty"
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "other"


def cpuinfo() -> Dict[str, str]:
    """What CRIU writes down of this CPU: the image (base64), or why it cannot."""
    with tempfile.TemporaryDirectory(dir=str(private_folder(CONTROL))) as folder:
        words = _criu("dump", folder)
        image = Path(folder) / "cpuinfo.img"
        data = image.read_bytes() if image.exists() else b""
        return {"image": base64.b64encode(data).decode(), "error": words}


def cpu_fits(image: str) -> Dict[str, str]:
    """Whether CRIU would restore here what was dumped on the CPU of that image: its complaint, or ""."""
    with tempfile.TemporaryDirectory(dir=str(private_folder(CONTROL))) as folder:
        (Path(folder) / "cpuinfo.img").write_bytes(base64.b64decode(image))
        return {"error": _criu("check", folder)}


def _criu(verb: str, folder: str) -> str:
    """``criu cpuinfo``: "" when it is content, else its words."""
    argv = ["criu", "cpuinfo", verb, "--images-dir", folder, "--work-dir", folder]
    try:
        done = subprocess.run(argv, capture_output=True, env=environment(), timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    errors = [
        line.split("Error ", 1)[1] for line in done.stderr.decode(errors="replace").splitlines() if "Error " in line
    ]
    return "; ".join(errors[:2]) or f"criu cpuinfo {verb} ended with {done.returncode}"
