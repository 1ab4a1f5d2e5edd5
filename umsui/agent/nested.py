"""The nested container of an outer one: where it lies, how it is described to the runtime, how it is started.

The service's files are in ``/umsui/rootfs``, in the outer container's own layer (CRIU could not find its programs in an
overlay on an overlay); its volumes are below ``/umsui/mounts``. It shares the outer container's network, host name and
cgroup namespace, so that ports, names and limits are those which the orchestrator gave; processes, mounts and IPC are
its own, so that they can move.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from umsui.agent import namespaces, sync
from umsui.agent.host import Trouble, environment, run
from umsui.agent.namespaces import CLONE_NEWCGROUP

NAME = "service"
HOME = Path("/umsui")
ROOT = HOME / "rootfs"
BASELINE = HOME / "baseline"  # what is in ROOT before the service runs: the agent finds out what has changed since
MOUNTS = HOME / "mounts"
PASSIVE = HOME / "passive"  # a destination: the service is not started, but waited for
LEAVING = HOME / "leaving"  # a source after the commit: the service's end is not the outer container's
RUNTIME = Path("/run/umsui-nested")
BUNDLE = RUNTIME / "bundle"
PID = RUNTIME / "pid"
VARIABLE = "UMSUI_NESTED"  # what the image's own settings do not say: user, mounts, …, as JSON
WAITING = "UMSUI_PASSIVE"  # not empty: as PASSIVE, where nothing can be put into a container before it starts
READY = 20.0  # seconds from the outer container's start until the nested one's files are in their place
CRUN = ("crun", "--cgroup-manager=cgroupfs")

# What docker and podman leave a container; those that the outer one has itself are passed on.
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)
KERNEL_NAMES = (  # of the capabilities, in the order of their numbers: linux/capability.h
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
NUMBERS = {name: number for number, name in enumerate(KERNEL_NAMES)}
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def prepare() -> None:
    """Mount what the nested container stands on; once for each start of the outer one. Raises Trouble."""
    if not os.path.ismount("/run"):
        run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,mode=755", "tmpfs", "/run"])
    RUNTIME.mkdir(mode=0o700)
    _uncover_proc()
    _own_cgroups()
    # Checkpoints arrive there, in memory. A pod's own one is 64 MiB, and outlives its containers.
    run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=1777,size=100%", "shm", "/dev/shm"])  # noqa: S108
    if os.environ.get(WAITING):
        PASSIVE.touch()
    if not BASELINE.exists():
        sync.write_baseline(str(ROOT), BASELINE)


def baseline() -> Dict[str, str]:
    """A digest of the image's files, of what is the same wherever they are unpacked: no inodes, no folders' times."""
    found = hashlib.sha256()
    for path, entry in sorted(json.loads(BASELINE.read_text())["entries"].items()):
        _, mode, uid, gid, size, modified, _, device, _ = entry
        regular = stat.S_ISREG(mode)
        told = (path, mode, uid, gid, device, size if regular else 0, modified // 10**9 if regular else 0)
        found.update(repr(told).encode())
    return {"digest": found.hexdigest()}


def _uncover_proc() -> None:
    """Take off what the orchestrator's runtime has put over /proc: the nested runtime and CRIU look below it.

    The nested container gets the same covers over its own /proc.
    """
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split()[4]
        if point.startswith("/proc/"):
            run(["umount", point])


def _own_cgroups() -> None:
    """The cgroup file systems as seen from this container's own cgroup namespace, writable: its part and no more.

    All but devices: what it has below itself there, an orchestrator could not change the limits of (``update``).
    """
    groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if any(path != "/" for _, names, path in groups if names and not names.startswith("name=")):
        # containerd makes none where cgroups are of version 1
        _cgroup_namespace(lambda: namespaces.call("unshare", CLONE_NEWCGROUP))
    top = Path("/sys/fs/cgroup")
    legacy = [names for _, names, _ in groups if names and names != "devices"]
    if not legacy:
        run(["mount", "-t", "cgroup2", "cgroup2", str(top)])
        return
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", str(top)])
    for names in legacy:
        folder = top / names.replace("name=", "")
        folder.mkdir()
        run(["mount", "-t", "cgroup", "-o", f"none,{names}" if "=" in names else names, "cgroup", str(folder)])
    (top / "unified").mkdir()
    run(["mount", "-t", "cgroup2", "cgroup2", str(top / "unified")])


def laid_out() -> bool:
    """Wait until the outer container's first process has prepared everything; False when it does not.

    What is made in memory before would be hidden by what that mounts. At once where this is no outer container.
    """
    end = time.monotonic() + READY
    while ROOT.is_dir() and not (BUNDLE / "config.json").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def enter_cgroups() -> None:
    """See cgroups as the outer container's first process does: its orchestrator's ``exec`` may not lead there."""
    if not ROOT.is_dir() or os.path.samefile("/proc/1/ns/cgroup", "/proc/self/ns/cgroup"):
        return
    _cgroup_namespace(lambda: namespaces.enter("/proc/1/ns/cgroup", CLONE_NEWCGROUP))


def _cgroup_namespace(call: Callable[[], None]) -> None:
    """Change this process's. Raises Trouble."""
    try:
        call()
    except OSError as error:
        words = f"the outer container cannot have cgroups of its own: {error.strerror}"
        raise Trouble("shared-cgroups", words, "it needs the capability SYS_ADMIN") from error


def leave_devices() -> None:
    """Take the service out of the cgroup for devices that CRIU has made for it (see ``_own_cgroups``)."""
    if not any(":devices:" in line for line in Path("/proc/self/cgroup").read_text().splitlines()):
        return
    point = RUNTIME / "devices"
    point.mkdir(exist_ok=True)
    run(["mount", "-t", "cgroup", "-o", "devices", "cgroup", str(point)])
    try:
        own = point / NAME
        while own.is_dir():
            for process in (own / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    (point / "cgroup.procs").write_text(process)
            with contextlib.suppress(OSError):  # one was born meanwhile: once more
                own.rmdir()
    finally:
        run(["umount", str(point)])


def describe(command: List[str]) -> None:
    """Write the bundle of the service that runs ``command``. Raises Trouble (no such user)."""
    wanted = json.loads(os.environ.get(VARIABLE, "{}"))
    BUNDLE.mkdir(mode=0o700, parents=True, exist_ok=True)
    (BUNDLE / "config.json").write_text(json.dumps(specification(command, dict(os.environ), wanted), indent=1))


def specification(command: List[str], variables: Mapping[str, str], wanted: Mapping[str, Any]) -> Dict[str, Any]:
    """The runtime specification (https://github.com/opencontainers/runtime-spec) of the nested container."""
    uid, gid, groups, home = identity(str(wanted.get("user", "")), ROOT)
    names = [f"CAP_{name}" for name in passed_on(wanted)]
    sets = {kind: names if uid == 0 or kind == "bounding" else [] for kind in ("bounding", "effective", "permitted")}
    settings = {name: value for name, value in variables.items() if name not in (VARIABLE, WAITING)}
    settings["HOME"] = home if settings.get("HOME") in (None, "/root") else settings["HOME"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": uid, "gid": gid, "additionalGids": groups},
            "args": command,
            "env": [f"{name}={value}" for name, value in settings.items()],
            "cwd": str(wanted.get("workdir") or "/"),
            "capabilities": sets,
            "noNewPrivileges": bool(wanted.get("no_new_privileges")),
        },
        "root": {"path": str(ROOT), "readonly": bool(wanted.get("read_only"))},
        "mounts": [*_usual_mounts(int(wanted.get("shm_size", 64 << 20))), *_mounts(wanted.get("mounts", []))],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc")],
            "cgroupsPath": f"/{NAME}",
            "maskedPaths": [path for path in MASKED if os.path.exists(path)],
            "readonlyPaths": list(READ_ONLY),
        },
    }


def passed_on(wanted: Mapping[str, Any]) -> List[str]:
    """The capabilities of the service: the usual ones, more or fewer as wanted, of those that the outer one has."""
    found = re.search(r"^CapPrm:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    mask = int(found.group(1), 16) if found else 0
    names = set(CAPABILITIES) - named_capabilities(wanted.get("cap_drop", []))
    names |= named_capabilities(wanted.get("cap_add", []))
    return sorted(name for name in names if name in NUMBERS and mask & (1 << NUMBERS[name]))


def named_capabilities(words: Iterable[str]) -> Set[str]:
    """``cap_net_raw``, ``NET_RAW`` and ``all`` as the names that the kernel has for them, without CAP_."""
    names = {word.upper()[4:] if word.upper().startswith("CAP_") else word.upper() for word in words}
    return set(NUMBERS) if "ALL" in names else names


def _usual_mounts(shm: int) -> List[Dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",  # noqa: S108
            "type": "tmpfs",
            "source": "shm",
            "options": [*quiet, "mode=1777", f"size={shm}"],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        *(
            {"destination": path, "type": "bind", "source": path, "options": ["bind", "rprivate"]}
            for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname")
            if os.path.exists(path)
        ),
    ]


def _mounts(wanted: List[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Volumes, which the orchestrator has mounted below ``/umsui/mounts``, and file systems in memory."""
    found: List[Dict[str, Any]] = []
    for mount in wanted:
        access = "ro" if mount.get("read_only") else "rw"
        if mount.get("kind") == "tmpfs":
            found.append(
                {
                    "destination": mount["destination"],
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "nodev", access, *mount.get("options", [])],
                }
            )
        else:
            source = f"{MOUNTS}{mount['destination']}"
            options = ["rbind", "rprivate", access]
            found.append({"destination": mount["destination"], "type": "bind", "source": source, "options": options})
    return found


def identity(user: str, root: Path) -> Tuple[int, int, List[int], str]:
    """Number, group, further groups and home of ``user[:group]``, by the root file system's own lists."""
    name, _, group = user.partition(":")
    accounts = [line.split(":") for line in _lines(root / "etc/passwd")]
    groups = [line.split(":") for line in _lines(root / "etc/group")]
    account = next((fields for fields in accounts if len(fields) > 5 and name in (fields[0], fields[2])), None)
    if not name:
        account = next((fields for fields in accounts if len(fields) > 5 and fields[2] == "0"), None)
    if account is None and name and not name.isdigit():
        raise Trouble("no-user", f"there is no user {name} in the image", "name one of its /etc/passwd, or a number")
    uid = int(account[2]) if account else int(name or 0)
    gid = int(account[3]) if account else 0
    further = [int(f[2]) for f in groups if len(f) > 3 and account and account[0] in f[3].split(",")]
    if group:
        found = next((fields for fields in groups if len(fields) > 2 and group in (fields[0], fields[2])), None)
        if found is None and not group.isdigit():
            raise Trouble("no-user", f"there is no group {group} in the image", "name one of its /etc/group")
        gid, further = int(found[2]) if found else int(group), []
    return uid, gid, further, account[5] if account else "/"


def _lines(path: Path) -> List[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def start() -> int:
    """Start the service; the runtime's exit code. Its output is that of the outer container."""
    argv = [*CRUN, "run", "--detach", "--no-new-keyring", "--bundle", str(BUNDLE), "--pid-file", str(PID), NAME]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, env=environment(), check=False).returncode


def pid() -> Optional[int]:
    """The service's first process, as the outer container numbers it; None when there is none."""
    try:
        return int(PID.read_text())
    except (FileNotFoundError, ValueError):
        return None
