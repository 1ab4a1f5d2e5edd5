"""The two ends of a pod's migration: the kubelet's checkpoint is held at CRIU's door, and so is its restore.

At the source the coordinator asks the kubelet for a checkpoint, through the API. containerd pauses the container
before it calls CRIU, and would let it go on at the end: neither is of use to us. So the service is let go on as soon as
CRIU is held, and the runtime is not told of the dump's end before it is decided what becomes of the source.

At the destination the kubelet makes a pod whose image is a checkpoint's (``umsui.agent.checkpoint_image``), and
containerd restores it: up to CRIU's door, where it waits for the checkpoint, and then to the gate.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, Sequence

from umsui.agent import checkpoint_image, criu, guard, relay, stand_in
from umsui.agent.containerd import Containerd
from umsui.agent.destination import KEEP_THE_SOURCE, Destination
from umsui.agent.host import Cgroup, Trouble, alive, stat_of
from umsui.agent.source import Source

LOOK = 0.003  # seconds; twice that is how long the service is paused on the kubelet's way to CRIU


class PodSource(Source):
    """One migration of a pod at its source."""

    def about(self, container: str, image: str) -> Dict[str, Any]:
        """What the destination's image of the checkpoint says of the container, and where its volumes are."""
        found = self.engine.inspect(container)
        self.folder.note(image=image)
        trees = {mount["Destination"]: mount["Source"] for mount in found["Mounts"]}
        single = [inside for inside, path in trees.items() if not os.path.isdir(path)]
        if single:
            what = f"{single[0]} is a file of a volume that is mounted by itself (subPath)"
            raise Trouble("not-a-folder", what, "mount the folder that it is in, or move the pod service-level")
        return {**Containerd().about(container), "trees": trees}

    def _start_dump(self, container: str, runtime: str, pages: socket.socket) -> None:  # noqa: ARG002
        """All is ready for the kubelet's checkpoint, which the coordinator asks for."""
        self.folder.note(withhold=True)
        giver = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.folder.pages.unlink(missing_ok=True)
        giver.bind(str(self.folder.pages))
        giver.listen(1)
        threading.Thread(target=_give, args=(giver, pages), name="pages", daemon=True).start()
        stand_in.put(self.folder, container)

    def hold(self, within: float) -> Dict[str, bool]:
        """Wait a while for the kubelet's checkpoint; whether it has come to CRIU. The service does not stay paused."""
        cgroup, end, still = Cgroup(self.folder.state()["pid"]), time.monotonic() + within, 0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.relay = relay.Handle(self.folder, 5.0)
                cgroup.thaw()
                return {"held": True}
            still = still + 1 if cgroup.frozen() else 0
            if still > 1:  # at once, and the runtime would take it for a failure
                cgroup.thaw()
            time.sleep(LOOK)
        return {"held": False}

    def remove(self, within: float) -> Dict[str, bool]:
        """After the commit, and after the pod was deleted: it ends without running another instruction.

        The kubelet can end it, and knows that it is to end, only when its checkpoint is over.
        """
        pid = self.folder.state()["pid"]
        if alive(pid):
            self.engine.hold(pid)  # as before the vote
            guard.stop_dump(self.folder)
        image = str(self.folder.state().get("image"))
        if image.startswith(checkpoint_image.NAME):  # only this pod called it so
            self.folder.note(made=[image])
        return super().remove(within)

    def close(self) -> None:
        """Besides: the stand-in goes."""
        if self.folder.exists:
            self.engine.tidy(self.folder)
        super().close()


def _give(giver: socket.socket, pages: socket.socket) -> None:
    """Hand the connection to the page server to the relay."""
    with giver, pages:
        asking, _ = giver.accept()
        with asking:
            socket.send_fds(asking, [b"."], [pages.fileno()])


class PodDestination(Destination):
    """One migration of a pod at its destination."""

    def has_image(self, image: str) -> Dict[str, bool]:
        """Whether the service's own image is here."""
        return {"there": self.engine.holds("image", image)}

    def expect(self, about: Dict[str, Any], image: str, descriptors: str, lazy: bool = False) -> Dict[str, str]:
        """Make the image that the pod is made from, and hold CRIU when it is restored. Answers its name."""
        relay.install(self.folder, [*criu.OPTIONS, *(["lazy-pages"] if lazy else [])])
        self.folder.note(lazy=lazy, base=image, about=about, descriptors=descriptors)
        return self.expect_again()

    def expect_again(self) -> Dict[str, str]:
        """The same for a restore that has to be done again: containerd asks for the original image once more."""
        state = self.folder.state()
        self.registry = checkpoint_image.Registry(checkpoint_image.digest(state["base"]))
        made = checkpoint_image.name(self.folder.migration)
        self.folder.note(image=made, made=[*state.get("made", ()), made, self.registry.reference])
        self.registry.start()
        about, base, descriptors = (state[key] for key in ("about", "base", "descriptors"))
        identity = checkpoint_image.load(self.folder, about, base, self.registry.reference, descriptors)
        self.folder.note(made=sorted({*self.folder.state()["made"], identity}))
        stand_in.put(self.folder, self.folder.migration)
        return {"image": made}

    def arrive(self, within: float) -> Dict[str, bool]:
        """Wait a while for the kubelet's restore; whether it has come to CRIU."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.relay = relay.Handle(self.folder, 5.0)
                self._note_arrived()
                return {"arrived": True}
            time.sleep(0.005)
        return {"arrived": False}

    def _note_arrived(self) -> None:
        pid = int(self.folder.state()["relay"])
        runtime = stat_of(pid)[1]  # its parent
        container = Path(f"/proc/{runtime}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")[-1].decode()
        self.folder.note(container=container, restore=pid, arrived=time.time())
        self.registry.stop()

    def prepare(self, container: str, volumes: Dict[str, str], top: Sequence[int] = ()) -> Dict[str, Any]:  # noqa: ARG002
        """The paths that the source may write: root file system and volumes; the format of the log."""
        found = self.engine.inspect(container or self.folder.state()["container"])
        trees = {mount["Destination"]: mount["Source"] for mount in found["Mounts"]}
        lacking = sorted(set(volumes) - set(trees))
        if lacking:
            raise Trouble("no-volume", f"the new pod has nothing at {lacking[0]}")
        roots = {"/": found["GraphDriver"]["Data"]["MergedDir"], **{each: trees[each] for each in volumes}}
        log_format, log = self.engine.log(found)
        self.folder.note(roots=list(roots.values()), log=log)
        return {"roots": roots, "log_format": log_format}

    def address(self) -> Dict[str, str]:
        """The pod's own."""
        return {"address": Containerd().address(self.folder.state()["container"])}

    def _restore_again(self, state: Dict[str, Any], within: float) -> None:  # noqa: ARG002
        raise Trouble("restore-lost", "the kubelet has given the restore up", KEEP_THE_SOURCE)

    def begin_again(self, within: float) -> Dict[str, str]:
        """The kubelet tries again, and has come to CRIU; all files are in their places: restore it, up to the gate."""
        assert self.relay is not None
        if self.folder.state().get("lazy"):
            self._page_again(within)
        self.relay.say("start")
        self._wait(("gated",), time.monotonic() + within)
        return {"state": self.relay.state}

    def confirm(self, within: float) -> Dict[str, str]:
        """Besides: what starts again of the pod's image starts as usual."""
        state = self.folder.state()
        checkpoint_image.become(state["image"], state["base"])
        self.folder.note(made=[each for each in state["made"] if each != state["image"]])
        return super().confirm(within)

    def rollback(self, within: float) -> Dict[str, bool]:
        """The kubelet may try again: what comes then is none of this migration's."""
        if self.folder.exists and not self.folder.state().get("open"):
            stand_in.take(self.folder)
        return super().rollback(within)

    def close(self) -> None:
        """Besides: nobody is told of the image any more."""
        if hasattr(self, "registry"):
            self.registry.stop()
        super().close()
