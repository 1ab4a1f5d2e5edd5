"""A node's container engine, as the two ends of a migration use it: the only place that knows its words.

``Engine`` has what podman and docker say alike; ``umsui.agent.engines`` has them all.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, List, Set, Tuple

from umsui.agent.host import Cgroup, Folder, Trouble, environment, run
from umsui.agent.image import rootfs_layers, sized

Port = Tuple[str, int]  # protocol and number, on the node


class Engine:
    """One container engine, through its command line. Everything raises Trouble."""

    name = ""

    # -- what there is ----------------------------------------------------------------------------------------------

    def ask(self, *words: str, timeout: float = 30.0, code: str = "command-failed") -> str:
        """The output of one of its commands."""
        return run([self.name, *words], timeout=timeout, code=code)

    def holds(self, kind: str, name: str) -> bool:
        """Whether it has a container or volume of this name."""
        argv = [self.name, kind, "inspect", "--format", "-", name]
        return subprocess.run(argv, capture_output=True, env=environment(), timeout=30, check=False).returncode == 0

    def inspect(self, container: str) -> Dict[str, Any]:
        """What it says of a container."""
        found: Dict[str, Any] = json.loads(self.ask("container", "inspect", container, code="no-such-service"))[0]
        return found

    def status(self, container: str) -> str:
        """``created``, ``running``, ``exited`` …"""
        return self.ask("container", "inspect", "--format", "{{.State.Status}}", container).strip()

    def runtime(self, found: Dict[str, Any]) -> str:
        """The OCI runtime of an inspected container."""
        raise NotImplementedError

    def volume(self, name: str) -> str:
        """The folder that a named volume is kept in."""
        return self.ask("volume", "inspect", "--format", "{{.Mountpoint}}", name).strip()

    def info(self) -> Dict[str, str]:
        """Its ``version`` and the folder of its ``store``; {} when it does not answer."""
        raise NotImplementedError

    def containers(self) -> Dict[str, Set[Port]]:
        """The names of all containers, and the ports of the node that each of them publishes at this moment."""
        raise NotImplementedError

    def images(self) -> List[str]:
        """The ids of its images."""
        return self.list("images", "-aq", "--no-trunc")

    def list(self, *words: str) -> List[str]:
        """The words that a listing answers; none when it fails."""
        try:
            return self.ask(*words).split()
        except Trouble:
            return []

    def log(self, found: Dict[str, Any]) -> Tuple[str, str]:  # noqa: ARG002
        """The format and the file of an inspected container's log; ("", "") where it is in no file."""
        return "", ""

    def put(self, container: str, path: str, hold: bool = False) -> None:  # noqa: ARG002 - some need it
        """Make an empty file in a container that was created and does not run yet: a sign, which all may remove.

        ``hold``: what that takes may stay until ``unput``.
        """
        folder, name = os.path.split(path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            member = tarfile.TarInfo(name)
            member.mode = 0o666
            archive.addfile(member)
        argv = [self.name, "cp", "-", f"{container}:{folder}"]
        done = subprocess.run(argv, input=packed.getvalue(), capture_output=True, env=environment(), check=False)
        if done.returncode:
            raise Trouble("not-created", f"{self.name} cp: {done.stderr.decode(errors='replace').strip()[-400:]}")

    def unput(self, container: str) -> None:
        """Give back what ``put`` has held."""

    # -- images -----------------------------------------------------------------------------------------------------

    def layers(self, images: List[str]) -> Set[str]:  # noqa: ARG002 - some have them
        """Digests of the layers that a thin archive may leave out (``umsui.agent.image``); none where it may not."""
        return set()

    def image_sizes(self, image: str) -> Tuple[int, Dict[str, int]]:
        """Bytes of an image, unpacked, and of each of its layers ({} when that cannot be told)."""
        found = json.loads(self.ask("image", "inspect", image))[0]
        steps = self.ask("history", "--no-trunc", "--human=false", "--format", "{{.Size}}", image).split()
        sizes = [int(size) for size in reversed(steps) if size.isdigit()]
        return int(found["Size"]), sized(rootfs_layers(found), sizes)

    def take(self, stream: IO[bytes], folder: Path) -> None:  # noqa: ARG002 - some need it
        """Read an archive that ``image.thin`` wrote; ``folder`` is an empty one on the disk."""
        done = subprocess.run(
            self.load(), stdin=stream, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), check=False
        )
        if done.returncode:
            raise Trouble("image-not-copied", done.stderr.decode(errors="replace").strip()[-400:])

    def save(self, image: str) -> List[str]:
        """The command that writes an image to its standard output."""
        return [self.name, "save", image]

    def load(self) -> List[str]:
        """The command that reads an image from its standard input."""
        return [self.name, "load", "--quiet"]

    # -- checkpoint -------------------------------------------------------------------------------------------------

    def dump_options(self, folder: Folder) -> List[str]:  # noqa: ARG002 - some need it
        """Lines of CRIU's configuration for the dump, beside those that are the same for all."""
        return []

    def checkpoint(self, runtime: str, container: str, images: Path, work: Path) -> List[str]:
        """The command that checkpoints a container and leaves it running; the engine itself does not notice."""
        folders = ["--image-path", str(images), "--work-path", str(work)]
        return [runtime, *self.runtime_words(runtime), "checkpoint", "--leave-running", *folders, container]

    def hold(self, pid: int) -> None:
        """The frozen service is dumped: whatever the engine does by itself, it stands still until ``thaw``."""

    def give_up(self, pid: int) -> None:
        """A dump is about to be ended that has not begun."""

    def thaw(self, pid: int) -> None:
        """Let the service go on whose process is ``pid``; nothing happens when it does not stand still."""
        Cgroup(pid).thaw()

    def runtime_words(self, runtime: str) -> List[str]:  # noqa: ARG002 - others need it
        """The runtime's options that make it find the engine's containers."""
        return []

    def states(self, container: str) -> Iterable[Path]:
        """Where the runtime may have noted a container's state."""
        raise NotImplementedError

    def descriptors(self, container: str, pid: int) -> str:
        """What the service's first three descriptors were when it started, as the runtime noted it (JSON)."""
        for path in self.states(container):
            if path.exists():
                noted = json.loads(path.read_text()).get("external_descriptors")
                if noted:
                    return noted if isinstance(noted, str) else json.dumps(noted)
        return json.dumps([os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)])

    # -- restore ----------------------------------------------------------------------------------------------------

    def prepare(self, folder: Folder, found: Dict[str, Any]) -> str:
        """Bring an inspected container to where a restore can begin; the path of its root file system, to write in."""
        raise NotImplementedError

    def restore(self, folder: Folder, container: str, descriptors: str) -> List[str]:
        """Lay out what the engine looks for; the command that restores the container."""
        raise NotImplementedError

    def armed(self, folder: Folder) -> None:
        """The restore waits for the checkpoint; files go to where ``prepare`` said until it runs."""

    def gated(self) -> None:
        """The service is restored and held: make sure that the first client finds it."""

    def restored(self, folder: Folder, container: str) -> None:
        """It runs: drop what only the restore needed."""
        raise NotImplementedError

    def tidy(self, folder: Folder) -> None:
        """The migration is over, whatever became of it: nothing of it may be left in the engine's own folders."""

    # -- removal ----------------------------------------------------------------------------------------------------

    def remove(self, container: str, pid: int, kill: Callable[[], None], within: float) -> None:
        """Remove a container whose frozen process is ``pid`` (0: it has ended).

        ``kill`` ends its processes, none of which runs another instruction. A restart policy must not bring it back.
        """
        raise NotImplementedError

    def discard(self, container: str, within: float) -> None:
        """Remove a container, whatever it does; nothing happens when it is not there."""
        raise NotImplementedError


def process_of(found: Dict[str, Any]) -> Dict[str, Any]:
    """``id`` of an inspected container and ``pid`` of its first process (0: it does not run)."""
    return {"id": found["Id"], "pid": int(found["State"]["Pid"])}
