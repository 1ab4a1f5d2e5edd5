"""Podman, as the two ends of a migration use it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, List, Set, Tuple

from umsui.agent.engine import Engine, Port
from umsui.agent.host import Folder, Trouble, beneath, environment, wait_for_kill, write_atomically
from umsui.agent.image import rootfs_layers, sized, unpack


class Podman(Engine):
    """Podman as root. It restores by itself, from a link to the images in the container's bundle."""

    name = "podman"

    def runtime(self, found: Dict[str, Any]) -> str:
        """The OCI runtime of an inspected container."""
        return os.path.basename(str(found.get("OCIRuntime", "crun")))

    def info(self) -> Dict[str, str]:
        """Its version and store."""
        try:
            found = json.loads(self.ask("info", "--format", "json"))
        except (Trouble, ValueError):
            return {}
        return {"version": str(found["version"]["Version"]), "store": str(found["store"]["graphRoot"])}

    def containers(self) -> Dict[str, Set[Port]]:
        """The names of all containers, and the ports of the node that each of them publishes at this moment."""
        try:
            listed = json.loads(self.ask("ps", "-a", "--format", "json") or "[]")
        except (Trouble, ValueError):
            return {}
        return {name: ports_of(each) for each in listed for name in each["Names"]}

    def save(self, image: str) -> List[str]:
        """The command that writes an image to its standard output."""
        return [self.name, "save", "--quiet", image]

    def layers(self, images: List[str]) -> Set[str]:
        """Digests of the layers that a thin archive may leave out: those of any image."""
        found = json.loads(self.ask("image", "inspect", *sorted(set(images)))) if images else []
        return {layer for each in found for layer in rootfs_layers(each)}

    def image_sizes(self, image: str) -> Tuple[int, Dict[str, int]]:
        """Bytes of an image, unpacked, and of each of its layers: podman tells which steps made none."""
        found = json.loads(self.ask("image", "inspect", image))[0]
        steps = json.loads(self.ask("history", "--format", "json", image))
        sizes = [int(step.get("size") or 0) for step in reversed(steps)]
        empty = [bool(step.get("empty_layer")) for step in found.get("History") or []]
        return int(found["Size"]), sized(rootfs_layers(found), sizes, empty if len(empty) == len(sizes) else None)

    def take(self, stream: IO[bytes], folder: Path) -> None:
        """Read a thin archive: podman does not ask a ``dir:`` for layers that it has."""
        tags = unpack(stream, folder)
        identity = self.ask("pull", "--quiet", f"dir:{folder}", timeout=600.0, code="image-not-copied").split()[-1]
        for tag in tags:
            self.ask("tag", identity, tag)

    def log(self, found: Dict[str, Any]) -> Tuple[str, str]:
        """The format and the file of an inspected container's log; ("", "") where it is in no file."""
        settings = found["HostConfig"].get("LogConfig") or {}
        kind = str(settings.get("Type") or "")
        return (kind, str(settings.get("Path") or "")) if kind in ("k8s-file", "json-file") else ("", "")

    def put(self, container: str, path: str, hold: bool = False) -> None:
        """Through the container's mount, which is faster than a copy; it is held because giving it back takes time."""
        folder, name = os.path.split(path)
        try:
            with beneath(self.ask("mount", container).strip(), folder) as at:
                made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                os.fchmod(made, 0o666)
                os.close(made)
        finally:
            if not hold:
                self.unput(container)

    def unput(self, container: str) -> None:
        """Podman counts its mounts: that of a container that runs stays."""
        self.ask("umount", container)

    def states(self, container: str) -> Iterable[Path]:
        """Where the runtime may have noted a container's state."""
        return Path(f"/run/crun/{container}/status"), Path(f"/run/runc/{container}/state.json")

    def prepare(self, folder: Folder, found: Dict[str, Any]) -> str:  # noqa: ARG002 - others need it
        """Let podman write the bundle and mount the root file system; its path."""
        container = found["Id"]
        if found["State"]["Status"] == "created":
            self.ask("init", container, code="not-created")
            self.ask("container", "cleanup", container)
        return self.ask("mount", container).strip()

    def restore(self, folder: Folder, container: str, descriptors: str) -> List[str]:
        """Link the images into the bundle; the command that restores the container."""
        config = Path(self.inspect(container)["OCIConfigPath"])
        if not folder.state().get("links"):
            folder.note(links=rebind(config, os.path.realpath))
        bundle = config.parent
        checkpoint = bundle / "checkpoint"
        if checkpoint.is_symlink():
            checkpoint.unlink()
        checkpoint.symlink_to(folder.images)
        (folder.images / "inventory.img").touch()  # podman looks whether there is one before it begins
        (folder.images / "descriptors.json").write_text(descriptors)
        return [self.name, "container", "restore", "--file-locks", container]

    def restored(self, folder: Folder, container: str) -> None:
        """It runs: podman's own mount of the root file system is enough, and its binds are named as they were given."""
        self.ask("umount", container)
        links: Dict[str, str] = folder.state().get("links") or {}
        if links:
            rebind(Path(self.inspect(container)["OCIConfigPath"]), lambda path: links.get(path, path))

    def remove(self, container: str, pid: int, kill: Callable[[], None], within: float) -> None:
        """Podman first, so that it knows that the end is wanted: no restart policy acts; then the processes."""
        orders = [self.name, "rm", "--force", "--time", "0", "--ignore", container]
        removal = subprocess.Popen(orders, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
        if pid:
            wait_for_kill(pid, 5.0)
            kill()
        words = removal.communicate(timeout=within)[1]
        if removal.returncode:
            raise Trouble("not-removed", "podman rm: " + words.decode(errors="replace").strip()[-400:])

    def discard(self, container: str, within: float) -> None:
        """Remove a container, whatever it does."""
        self.ask("rm", "--force", "--time", "0", "--ignore", container, timeout=within)


def ports_of(container: Dict[str, Any]) -> Set[Port]:
    """The ports of the node that a listed container publishes; none unless it runs."""
    ports = (container.get("Ports") or []) if container["State"] in ("running", "paused") else []
    return {(port["protocol"], port["host_port"] + extra) for port in ports for extra in range(port.get("range", 1))}


def rebind(config: Path, named: Callable[[str], str]) -> Dict[str, str]:
    """In a bundle's configuration, change the sources of binds; new -> old of those that changed.

    CRIU restores no mount whose source is a link: what it leads to has to be named while it does.
    """
    bundle, changed = json.loads(config.read_text()), {}
    for mount in bundle.get("mounts") or []:
        old = str(mount.get("source") or "")
        if mount.get("type") == "bind" and old.startswith("/") and named(old) != old:
            mount["source"] = named(old)
            changed[mount["source"]] = old
    if changed:
        write_atomically(config, json.dumps(bundle), config.stat().st_mode & 0o777)
    return changed
