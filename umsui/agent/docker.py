"""Docker, as the two ends of a migration use it.

``docker checkpoint`` would stop the container and copy its memory twice, so the source's runtime is asked directly, as
podman's is. At the destination ``docker start --checkpoint`` restores: only then is the container docker's own. It has
containerd's shim start the runtime, in an environment that is not ours: the stand-in for ``criu`` is therefore found
on the node's own path while there is a migration, through a link to ``/run`` that is taken away again. It passes on to
the real CRIU whatever is not meant for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Set, Tuple

from umsui.agent import stand_in
from umsui.agent.engine import Engine, Port
from umsui.agent.host import CONTROL, Folder, Trouble, environment, run

CHECKPOINT = "umsui"
SIOCDARP = 0x8953  # Linux; see arp(7)
PUBLISHED = re.compile(r":(\d+)(?:-(\d+))?->[^/,]+/(tcp|udp|sctp)")


class Docker(Engine):
    """Docker as root, with its own image store (overlay2) and runc."""

    name = "docker"

    def runtime(self, found: Dict[str, Any]) -> str:
        """The OCI runtime of an inspected container."""
        return str(found["HostConfig"].get("Runtime") or "runc")

    def info(self) -> Dict[str, str]:
        """Its version, store, storage driver, and whether it has its experimental features."""
        try:
            found = json.loads(self.ask("info", "--format", "{{json .}}"))
        except (Trouble, ValueError):
            return {}
        if not found.get("ServerVersion"):
            return {}
        return {
            "version": str(found["ServerVersion"]),
            "store": str(found["DockerRootDir"]),
            "driver": str(found["Driver"]),
            "experimental": "yes" if found.get("ExperimentalBuild") else "no",
        }

    def containers(self) -> Dict[str, Set[Port]]:
        """The names of all containers, and the ports of the node that each publishes: none unless it runs."""
        try:
            listed = self.ask("ps", "-a", "--format", "{{.Names}}\t{{.Ports}}").splitlines()
        except Trouble:
            return {}
        return {name: ports_of(ports) for name, _, ports in (line.partition("\t") for line in listed)}

    def log(self, found: Dict[str, Any]) -> Tuple[str, str]:
        """The format and the file of an inspected container's log; ("", "") where it is in no file."""
        kind = str((found["HostConfig"].get("LogConfig") or {}).get("Type") or "")
        if kind != "json-file":
            return "", ""
        # Before its first start docker does not tell the path; it goes on with the file that it finds there.
        return kind, str(found.get("LogPath") or self._folder(found["Id"]) / f"{found['Id']}-json.log")

    def runtime_words(self, runtime: str) -> List[str]:
        """Where the runtime keeps docker's containers."""
        return ["--root", f"/run/docker/runtime-{runtime}/moby"]

    def states(self, container: str) -> Iterable[Path]:
        """Where the runtime may have noted a container's state."""
        return Path("/run/docker").glob(f"runtime-*/moby/{container}/state.json")

    # -- restore ----------------------------------------------------------------------------------------------------

    def prepare(self, folder: Folder, found: Dict[str, Any]) -> str:
        """Mount the root file system: docker itself does that only when the container starts."""
        data = found["GraphDriver"]["Data"]
        if not data or "UpperDir" not in data:
            raise Trouble("no-overlay", "docker does not tell where the container's files are", "use overlay2")
        folder.note(merged=data["MergedDir"], images=str(self._checkpoints(found["Id"])))
        root = mount_point(folder)
        if not os.path.ismount(root):
            layer = Path(data["UpperDir"]).parent
            lower = (layer / "lower").read_text()  # short names, below docker's folder of layers: many fit into a mount
            options = f"lowerdir={lower},upperdir={layer.name}/diff,workdir={layer.name}/work"
            run(
                ["mount", "-t", "overlay", "overlay", "-o", options, str(root)], code="not-mounted", folder=layer.parent
            )
        return str(root)

    def _folder(self, container: str) -> Path:
        """Docker's own folder of a container (its whole id)."""
        return Path(self.ask("info", "--format", "{{.DockerRootDir}}").strip()) / "containers" / container

    def _checkpoints(self, container: str) -> Path:
        return self._folder(container) / "checkpoints" / CHECKPOINT

    def restore(self, folder: Folder, container: str, descriptors: str) -> List[str]:
        """Give docker a checkpoint in which there is nothing to copy; the command that restores the container."""
        checkpoint = Path(folder.state()["images"])
        checkpoint.mkdir(mode=0o700, parents=True, exist_ok=True)
        (checkpoint / "descriptors.json").write_text(descriptors)  # the runtime reads it before it calls CRIU
        unmount(mount_point(folder))  # docker mounts the same layers now, which must not be mounted twice
        stand_in.put(folder, container)
        return [self.name, "start", "--checkpoint", CHECKPOINT, container]

    def armed(self, folder: Folder) -> None:
        """The root file system is mounted by docker now: files go on to the same place."""
        run(["mount", "--bind", folder.state()["merged"], str(mount_point(folder))], code="not-mounted")

    def gated(self) -> None:
        """A client that came too early asked for an address that nobody had: it would be asked for once a second.

        Docker gives the container its network only now, in the middle of the restore.
        """
        forget_unanswered()

    def restored(self, folder: Folder, container: str) -> None:
        """It runs; what is left to do is tidied away at the end."""

    def tidy(self, folder: Folder) -> None:
        """Unmount; take away the stand-in and the checkpoint's folder."""
        root = mount_point(folder)
        unmount(root)
        root.rmdir()
        checkpoint = folder.state().get("images")
        if checkpoint:
            shutil.rmtree(checkpoint, ignore_errors=True)
            extracted = folder.state().get("given", "")
            if os.path.basename(extracted).startswith("ctrd-checkpoint"):  # containerd leaves its copy behind
                shutil.rmtree(extracted, ignore_errors=True)
            stand_in.take(folder)

    # -- removal ----------------------------------------------------------------------------------------------------

    def remove(self, container: str, pid: int, kill: Callable[[], None], within: float) -> None:
        """Without a restart policy docker leaves it dead; it is removed then.

        ``docker rm`` alone will not do: its runtime thaws a container as soon as the first process has its signal.
        """
        if pid:
            self.ask("update", "--restart", "no", container, timeout=within)
            kill()
        self.discard(container, within)

    def discard(self, container: str, within: float) -> None:
        """Remove a container, whatever it does; one with ``--rm`` may be going by itself."""
        argv = [self.name, "rm", "--force", container]
        done = subprocess.run(argv, capture_output=True, env=environment(), timeout=within, check=False)
        words = done.stderr.decode(errors="replace").strip()
        if done.returncode and "No such container" not in words and "already in progress" not in words:
            raise Trouble("not-removed", f"docker rm: {words[-400:]}")


def ports_of(listed: str) -> Set[Port]:
    """The ports of the node in a container's listing."""
    return {
        (protocol, port)
        for first, last, protocol in PUBLISHED.findall(listed)
        for port in range(int(first), int(last or first) + 1)
    }


# -- mounts ---------------------------------------------------------------------------------------------------------


def mount_point(folder: Folder) -> Path:
    """Where the container's root file system is mounted while it is not docker's turn; not below what is deleted."""
    root = CONTROL / f"{folder.migration}.root"
    root.mkdir(mode=0o700, exist_ok=True)
    return root


def unmount(root: Path) -> None:
    """Unmount it, as often as it is mounted."""
    while os.path.ismount(root):
        run(["umount", str(root)], code="not-unmounted")


def forget_unanswered(table: str = "/proc/net/arp") -> None:
    """Drop the neighbours (IPv4) that have not answered yet: the next packet to one asks anew, at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for row in Path(table).read_text().splitlines()[1:]:
            address, _, flags, _, _, device = row.split()
            if int(flags, 16) == 0:
                there = struct.pack("=H2x4s8x", socket.AF_INET, socket.inet_aton(address))
                entry = there + bytes(16 + 4 + 16) + device.encode().ljust(16, b"\0")  # struct arpreq
                with contextlib.suppress(OSError):  # it has answered, or is gone
                    fcntl.ioctl(any_socket, SIOCDARP, entry)
