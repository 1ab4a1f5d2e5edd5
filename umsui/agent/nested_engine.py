"""The runtime inside an outer container, as the two ends of a migration use it: an engine with one container."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List

from umsui.agent import nested
from umsui.agent.engine import Engine
from umsui.agent.host import Folder, Trouble, alive

# For CRIU's --cgroup-props-file: which devices the outer container may use is its orchestrator's to say.
PROPERTIES = '"devices":\n - "strategy": "replace"\n - "properties": [ ]\n'


class Nested(Engine):
    """crun, for the one service that is nested here. Images and volumes are the outer orchestrator's."""

    name = "nested"

    def inspect(self, container: str) -> Dict[str, Any]:
        """Whether it runs; its process is 0 while it does not."""
        pid = nested.pid() or 0
        return {"Id": nested.NAME, "State": {"Pid": pid if alive(pid) else 0, "Status": self.status(container)}}

    def status(self, container: str) -> str:  # noqa: ARG002
        """``running`` or ``created``."""
        pid = nested.pid()
        return "running" if pid is not None and alive(pid) else "created"

    def runtime(self, found: Dict[str, Any]) -> str:  # noqa: ARG002
        """The one that is in the outer image."""
        return nested.CRUN[0]

    def runtime_words(self, runtime: str) -> List[str]:  # noqa: ARG002
        """Its cgroups are managed by files: there is no systemd in an outer container."""
        return list(nested.CRUN[1:])

    def states(self, container: str) -> Iterable[Path]:
        """Where crun notes its state."""
        return (Path("/run/crun") / container / "status",)

    def prepare(self, folder: Folder, found: Dict[str, Any]) -> str:  # noqa: ARG002
        """Wait until the outer container has laid everything out; the path of the root file system."""
        if not nested.laid_out():
            words = f"the outer container is not ready within {nested.READY:g} s"
            raise Trouble("not-ready", words, "look at its logs")
        return str(nested.ROOT)

    def dump_options(self, folder: Folder) -> List[str]:
        """What is not taken along of its cgroups."""
        path = folder.control / "cgroup-properties"
        path.write_text(PROPERTIES)
        return [f"cgroup-props-file {path}"]

    def restore(self, folder: Folder, container: str, descriptors: str) -> List[str]:
        """The command that restores the service with the outer container's own output."""
        (folder.images / "descriptors.json").write_text(descriptors)
        folder.work.mkdir(mode=0o700, exist_ok=True)
        words = [*nested.CRUN, "--log", str(folder.control / "restore.out"), "restore", "--detach"]
        words += ["--bundle", str(nested.BUNDLE), "--pid-file", str(nested.PID)]
        words += ["--image-path", str(folder.images), "--work-path", str(folder.work), container]
        return ["/bin/sh", "-c", 'exec "$@" >/proc/1/fd/1 2>/proc/1/fd/2', "sh", *words]

    def restored(self, folder: Folder, container: str) -> None:  # noqa: ARG002
        """It runs: from now on the outer container starts it as usual."""
        nested.leave_devices()
        nested.PASSIVE.unlink(missing_ok=True)

    def remove(self, container: str, pid: int, kill: Callable[[], None], within: float) -> None:  # noqa: ARG002
        """End the service, but not the outer container: its restart policy would start it anew."""
        nested.LEAVING.touch()
        if pid:
            kill()

    def discard(self, container: str, within: float) -> None:
        """The outer container goes as a whole; its orchestrator removes it."""
