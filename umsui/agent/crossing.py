"""From one engine to another: the checkpoint of the one is made to fit a container of the other.

The engines' bundles bind different files into the container: podman its ``/run/.containerenv`` and ``/dev/shm``, each
other files of ``/proc`` masked. CRIU wants to be told of all of them, and the runtimes tell it only of their own. So
the relay adds the rest: files that the checkpoint expects bound from outside, and nobody brings, are empty ones.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Iterator

from umsui.agent import rpc
from umsui.agent.host import CONTROL, Folder, Trouble, beneath, run

KERNELS = ("/dev/", "/proc/", "/sys/")  # what is below these is in no layer
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


def fitted(request: bytes, folder: Folder) -> bytes:
    """A restore that also tells of what the checkpoint expects and the runtime does not bring."""
    brought = {dict(rpc.fields(each))[1] for each in rpc.messages(request, rpc.EXT_MNT)}
    more = b""
    for key in outside_mounts(folder.images):
        if key not in brought:
            source = os.fsencode(shared_folder(folder)) if key == os.fsencode(SHARED) else b"/dev/null"
            _place(folder.state()["roots"][0], os.fsdecode(key))
            more += rpc.text(rpc.EXT_MNT, rpc.text(1, key) + rpc.text(2, source))
    return rpc.amended(request, more)


def _place(root: str, path: str) -> None:
    """An empty file to mount over, where there is nothing: docker's are in none of the container's own layers."""
    parent, _, name = path.rpartition("/")
    if not path.startswith(KERNELS):
        with beneath(root, parent, make=True) as at, contextlib.suppress(FileExistsError):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=at))


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
