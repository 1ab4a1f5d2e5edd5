"""From one engine to another: the checkpoint of the one is made to fit a container of the other.

Podman makes a container's network itself and tells the runtime where it is; docker lets runc make it. The bundles bind
different files into the container: podman its ``/run/.containerenv`` and ``/dev/shm``, each other files of ``/proc``
masked. CRIU wants to be told of all of that, and the runtimes tell it only of their own. So the relay adds the rest:

* the network is left out of the checkpoint, as podman's always is;
* the restored service gets a new one, which docker's own hook then connects;
* files that the checkpoint expects bound from outside, and nobody brings, are empty ones.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import Iterator

from umsui.agent import rpc
from umsui.agent.host import CONTROL, Folder, Trouble, run

NETWORK = b"extRootNetNS"  # what the runtimes call a network namespace that is not theirs
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
NETWORK_FD = 86  # where CRIU finds a new one; far above what the runtimes open
SHARED = "/dev/shm"  # noqa: S108 - the container's own
ENTRY_EXT_KEY = 18  # mnt_entry.ext_key: what a mount from outside is called


# -- the source -----------------------------------------------------------------------------------------------------


def refuse_shared_files(pid: int) -> None:
    """Podman's ``/dev/shm`` comes from outside, so CRIU does not take what is in it along. Raises Trouble."""
    inside = f"/proc/{pid}/root{SHARED}"
    if os.path.ismount(inside) and is_outside(pid) and os.listdir(inside):
        raise Trouble(
            "shared-memory",
            f"it keeps files in {SHARED}, which stay behind when it goes to another engine",
            "move it between hosts with the same engine, or at service- or container-level",
        )


def is_outside(pid: int) -> bool:
    """Whether a process's ``/dev/shm`` is mounted here, too."""
    device = os.stat(f"/proc/{pid}/root{SHARED}").st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    return any(line.split()[2] == name for line in Path("/proc/self/mountinfo").read_text().splitlines())


def without_network(request: bytes, pid: int) -> bytes:
    """A dump that leaves out the network namespace, if the runtime would have it in."""
    if rpc.number_in(request, rpc.EMPTY_NS) <= 0:
        return request
    name = b"net[%d]:" % os.stat(f"/proc/{pid}/ns/net").st_ino + NETWORK
    return rpc.amended(request, rpc.text(rpc.EXTERNAL, name) + rpc.number(rpc.EMPTY_NS, 0))


# -- the destination ------------------------------------------------------------------------------------------------


def shared_folder(folder: Folder) -> Path:
    """What becomes the service's ``/dev/shm`` where the engine brings none from outside."""
    return CONTROL / f"{folder.migration}.shm"


def prepare(folder: Folder, size: int) -> None:
    """Mount it, ``size`` bytes; may be called twice. Once the service has it, it needs no other place."""
    shared = shared_folder(folder)
    shared.mkdir(mode=0o700, exist_ok=True)
    if not os.path.ismount(shared):
        run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777,nosuid,nodev,noexec", "shm", str(shared)])


def tidy(folder: Folder) -> None:
    """Unmount it; what the service has of it stays."""
    shared = shared_folder(folder)
    if shared.exists():
        if os.path.ismount(shared):
            run(["umount", str(shared)], code="not-unmounted")
        shared.rmdir()


def open_network() -> None:
    """Make a network namespace and keep it open, for CRIU to inherit."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.write(b".")
        keeper.stdin.flush()
        keeper.stdout.read(1)  # it is in there
        descriptor = os.open(f"/proc/{keeper.pid}/ns/net", os.O_RDONLY)
        os.dup2(descriptor, NETWORK_FD, inheritable=True)
        os.close(descriptor)


def fitted(request: bytes, folder: Folder) -> bytes:
    """A restore that also tells of what the checkpoint expects and the runtime does not bring."""
    brought = {dict(rpc.fields(each))[1] for each in rpc.messages(request, rpc.EXT_MNT)}
    more = b""
    for key in outside_mounts(folder.images):
        if key not in brought:
            source = os.fsencode(shared_folder(folder)) if key == os.fsencode(SHARED) else b"/dev/null"
            more += rpc.text(rpc.EXT_MNT, rpc.text(1, key) + rpc.text(2, source))
    if NETWORK not in {dict(rpc.fields(each))[1] for each in rpc.messages(request, rpc.INHERIT_FD)}:
        more += rpc.text(rpc.INHERIT_FD, rpc.text(1, NETWORK) + rpc.number(2, NETWORK_FD))
    return rpc.amended(request, more)


def outside_mounts(images: Path) -> Iterator[bytes]:
    """What a checkpoint calls the mounts that are not its own."""
    for path in sorted(images.glob("mountpoints-*.img")):
        data = path.read_bytes()[8:]  # after two magic numbers: entries, each with its size before it
        while data:
            (size,) = struct.unpack("<I", data[:4])
            key = dict(rpc.fields(data[4 : 4 + size])).get(ENTRY_EXT_KEY)
            if isinstance(key, bytes):
                yield key
            data = data[4 + size :]
