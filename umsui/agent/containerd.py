"""containerd under a kubelet, as the two ends of a pod's migration use it.

A container's name is its id here; the API's objects (pods, claims, owners) are the coordinator's. What containerd has
mounted and started for a container is read where its shim keeps it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Set, Tuple

from umsui.agent import stand_in
from umsui.agent.engine import Engine, Port
from umsui.agent.host import Cgroup, Folder, Trouble, alive, run, wait_for_kill

TASKS = Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io")
RUNC = "/run/containerd/runc/k8s.io"
METADATA = "io.cri-containerd.{}.metadata"
RESUMED = 3.0  # seconds until containerd has let a container go on after a checkpoint that came to nothing
KUBELETS = ("/dev/termination-log", "/var/run/secrets/kubernetes.io/serviceaccount")
DATA = re.compile(r"/pods/[^/]+/volumes/kubernetes\.io~(?!secret|configmap|projected|downward-api)[^/]+/")
POD = re.compile(r"pod[0-9a-f]{8}")  # what a pod's cgroup is called, by either driver
SUBPATHS = re.compile(r"/pods/[^/]+/volume-subpaths/")


class Containerd(Engine):
    """The containers of pods, of containerd's namespace ``k8s.io``, with runc."""

    name = "kubernetes"

    # -- what there is ----------------------------------------------------------------------------------------------

    def ask(self, *words: str, timeout: float = 30.0, code: str = "command-failed") -> str:
        """The output of one of ctr's commands."""
        return run(["ctr", "-n", "k8s.io", *words], timeout=timeout, code=code)

    def holds(self, kind: str, name: str) -> bool:
        """Whether it has an image of this name; containers and volumes are the API's matter."""
        return kind == "image" and name in self.ask("images", "ls", "-q", f"name=={name}").split()

    def bundle(self, container: str) -> Path:
        """What the runtime is started with."""
        return TASKS / container

    def inspect(self, container: str) -> Dict[str, Any]:
        """In docker's words, as far as the agent asks for them."""
        try:
            bundle: Dict[str, Any] = json.loads((self.bundle(container) / "config.json").read_text())
        except FileNotFoundError as error:
            raise Trouble("no-such-service", f"there is no container {container[:12]} here") from error
        pid = self._pid(container)
        mounted = _overlay(str(self.bundle(container) / "rootfs"))
        about = self.about(container)
        return {
            "Id": container,
            "Name": bundle["annotations"].get("io.kubernetes.cri.sandbox-name", ""),
            "State": {"Pid": pid if alive(pid) else 0, "Status": self.status(container)},
            "Config": {"Tty": bool(bundle["process"].get("terminal"))},
            "GraphDriver": {"Data": mounted},
            "Mounts": [
                {"Type": "volume", "Destination": inside, "Source": path} for inside, path in data(bundle).items()
            ],
            "Image": self._stored(str(bundle["annotations"].get("io.kubernetes.cri.image-name")), about["image"]),
            "Created": about["created"],
            "Log": about["log"],
        }

    def _stored(self, image: str, otherwise: str) -> str:
        """The whole name under which an image is stored that a pod calls by this one."""
        name = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
        known = self.ask("images", "ls", "-q").split()
        wanted = (image, name, f"docker.io/{name}", f"docker.io/library/{name}")
        return next((each for each in wanted if each in known), otherwise)

    def about(self, container: str) -> Dict[str, Any]:
        """What the CRI has noted of a container: name, labels, annotations, image, log."""
        found, noted = self._noted(container, "container")
        config = noted["Config"]
        return {
            "name": config["metadata"]["name"],
            "labels": config.get("labels") or {},
            "annotations": config.get("annotations") or {},
            "image": found["Image"],
            "created": found["CreatedAt"],
            "log": noted.get("LogPath") or "",
        }

    def address(self, container: str) -> str:
        """The address of the pod that a container is in."""
        sandbox = self._noted(container, "container")[1]["SandboxID"]
        return str(self._noted(sandbox, "sandbox")[1].get("IP") or "")

    def _noted(self, identity: str, kind: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """What containerd knows of a container or a sandbox, and what the CRI has noted of it."""
        found: Dict[str, Any] = json.loads(self.ask("containers", "info", identity, code="no-such-service"))
        noted = json.loads(base64.b64decode(found["Extensions"][METADATA.format(kind)]["value"]))
        return found, noted["Metadata"]

    def _pid(self, container: str) -> int:
        try:
            return int((self.bundle(container) / "init.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def status(self, container: str) -> str:
        """``running``, or ``created`` before its first process and after its last."""
        return "running" if alive(self._pid(container)) else "created"

    def runtime(self, found: Dict[str, Any]) -> str:
        """The program that containerd's shim was told to use."""
        try:
            options = json.loads((self.bundle(found["Id"]) / "options.json").read_bytes())
        except (FileNotFoundError, ValueError):
            options = {}
        return str(options.get("binary_name") or options.get("BinaryName") or "runc").rpartition("/")[2]

    def info(self) -> Dict[str, str]:
        """Its version and store."""
        try:
            words = run(["containerd", "--version"], timeout=10.0)
        except Trouble:
            return {}
        found = re.search(r"\bv?(\d+\.\d+\.\d+)", words)
        return {"version": found[1] if found else "", "store": "/var/lib/containerd"}

    def containers(self) -> Dict[str, Set[Port]]:
        """None: their names are the API's to know, and a pod's ports are its own."""
        return {}

    def list(self, *words: str) -> List[str]:
        """Its images, by name and by digest; of what only the API knows (volumes, networks), nothing."""
        found = super().list("images", "ls", "-q") if words[0] == "images" else []
        return [*found, *(each.partition("@")[2] for each in found if "@" in each)]

    def image_sizes(self, image: str) -> Tuple[int, Dict[str, int]]:
        """Its bytes as they are stored, packed."""
        found = re.findall(r"\s(\d+(?:\.\d+)?) (B|KiB|MiB|GiB)\s", self.ask("images", "ls", f"name=={image}"))
        units = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}
        return max((int(float(size) * (1 << units[unit])) for size, unit in found), default=0), {}

    def log(self, found: Dict[str, Any]) -> Tuple[str, str]:
        """The kubelet's own file of it."""
        return ("cri", found["Log"]) if found["Log"] else ("", "")

    def states(self, container: str) -> Iterable[Path]:
        """Where runc notes a container's state."""
        return (Path(RUNC) / container / "state.json",)

    def save(self, image: str) -> List[str]:
        """The command that writes an image to its standard output."""
        return ["ctr", "-n", "k8s.io", "images", "export", "-", image]

    def load(self) -> List[str]:
        """The command that reads an image from its standard input."""
        return ["ctr", "-n", "k8s.io", "images", "import", "-"]

    # -- what stands still --------------------------------------------------------------------------------------------

    def hold(self, pid: int) -> None:
        """containerd lets a container go on when its checkpoint is over; the pod as a whole stands still then."""
        _pod(pid).freeze()

    def give_up(self, pid: int) -> None:
        """containerd lets go on, and knows that it goes on, only what stands still."""
        Cgroup(pid).freeze()

    def thaw(self, pid: int) -> None:
        """The pod, and its container: containerd does that itself where its checkpoint came to nothing."""
        cgroup = Cgroup(pid)
        _pod(pid).thaw()
        end = time.monotonic() + RESUMED
        with contextlib.suppress(OSError):  # its processes have their signal to end: the group goes with them
            while cgroup.frozen() and time.monotonic() < end:
                time.sleep(0.005)
            if cgroup.frozen():
                with contextlib.suppress(Trouble):  # containerd does not answer, or never paused it
                    self.ask("tasks", "resume", cgroup.path.name, timeout=5.0)
        cgroup.thaw()

    # -- the end ------------------------------------------------------------------------------------------------------

    def remove(self, container: str, pid: int, kill: Callable[[], None], within: float) -> None:  # noqa: ARG002
        """The pod was deleted: its processes end as soon as the kubelet ends them, and knows that it is to be so."""
        if pid:
            wait_for_kill(pid, within)
            kill()

    def discard(self, container: str, within: float) -> None:
        """Nothing: the pod is the API's to remove."""

    def restored(self, folder: Folder, container: str) -> None:
        """It runs: nothing here was for the restore only."""

    def tidy(self, folder: Folder) -> None:
        """Take the stand-in away, and what was made for the restore."""
        stand_in.take(folder)
        for image in folder.state().get("made") or ():
            if self.holds("image", image):
                self.ask("images", "rm", image)


def _pod(pid: int) -> Cgroup:
    """The cgroup of the pod that a container's process is in. Raises Trouble rather than taking another one for it."""
    found = Cgroup(pid).above()
    if not POD.search(found.path.name):
        raise Trouble(
            "no-cgroup", f"{found.path} is no pod's cgroup", "let the kubelet give each pod one: cgroupsPerQOS"
        )
    return found


def data(bundle: Dict[str, Any]) -> Dict[str, str]:
    """The mounts of a bundle's configuration whose contents are the service's: where it has them, and where they are.

    Claims and emptyDirs, and the pod's memory file system. What the API gives to each pod anew stays away.
    """
    return {
        mount["destination"]: mount["source"]
        for mount in bundle.get("mounts") or []
        if mount.get("type") == "bind" and mount["destination"] not in KUBELETS and _is_data(mount)
    }


def _is_data(mount: Dict[str, Any]) -> bool:
    source, inside = str(mount["source"]), str(mount["destination"])
    if inside == "/dev/shm":  # noqa: S108 - the pod's
        return True
    if "ro" in (mount.get("options") or ()):
        return False
    if source.startswith("/var/lib/kubelet/pods/"):
        return bool(DATA.search(source) or SUBPATHS.search(source))
    return "/io.containerd.grpc.v1.cri/sandboxes/" not in source


def _overlay(root: str) -> Dict[str, str]:
    """The folders of the overlay that is mounted there."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[4] == root and right.startswith("overlay "):
            options = dict(part.partition("=")[::2] for part in right.split()[2].split(","))
            above = Path(options["upperdir"]).parent.parent  # of many layers only short names are mounted
            lower = ":".join(str(above / each) for each in options["lowerdir"].split(":"))
            return {"MergedDir": root, "UpperDir": options["upperdir"], "LowerDir": lower}
    raise Trouble("no-overlay", f"no overlay is mounted at {root}", "use containerd's overlayfs snapshotter")
