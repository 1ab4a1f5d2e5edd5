"""The destination's end of a migration: admit the source, arm the restore, hold it at the gate, open the gate."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from umsui.agent import relay
from umsui.agent.host import (
    Folder,
    Trouble,
    alive,
    end_program,
    environment,
    locked,
    run,
    spawn,
    wait_gone,
    write_atomically,
)
from umsui.agent.source import CRIU_OPTIONS, criu_words, wait_for_relay

Emit = Callable[..., None]

KEEP_THE_SOURCE = "the source still holds the service as it was at the switch: look there before anything is removed"


class Destination:
    """One migration at its destination."""

    def __init__(self, folder: Folder, emit: Emit) -> None:
        self.folder = folder
        self.emit = emit
        self.relay: Optional[relay.Handle] = None

    # -- before the freeze ------------------------------------------------------------------------------------------

    def admit(self, public: str) -> Dict[str, str]:
        """Let the source's key in: for this migration's wire and nothing else. Answers the user to log in as."""
        user = pwd.getpwuid(os.geteuid())
        command = f"{sys.executable} -IS {self.folder.agent} wire {self.folder.migration}"
        line = f'restrict,command="{command}" {public}'
        edit_authorized_keys(Path(user.pw_dir), self._tag(), line)
        return {"user": user.pw_name}

    def _tag(self) -> str:
        return f"umsui:{self.folder.migration}"

    def claim(self, container: str, volumes: List[str]) -> Dict[str, Any]:
        """Take a name and volumes that nobody uses here; only what was claimed is ever removed. Raises Trouble."""
        if self.folder.state().get("claimed") == container:
            return {}
        if exists("container", container):
            raise Trouble(
                "name-taken",
                f"there is a container named {container} already",
                f"podman rename {container} {container}-old",
            )
        taken = [volume for volume in volumes if exists("volume", volume)]
        if taken:
            raise Trouble(
                "volume-taken",
                f"there is a volume named {taken[0]} already; its data would be overwritten",
                f"podman volume rm {taken[0]} (after a look into it)",
            )
        self.folder.note(claimed=container, volumes=volumes)
        return {}

    def prepare(self, container: str, volumes: Dict[str, str]) -> Dict[str, Any]:
        """Bring the created container to where a restore can begin: bundle written, root file system mounted.

        ``volumes`` maps a volume's destination in the container to its name or host path. Answers the paths of the
        roots that the source may write.
        """
        if self._status(container) == "created":
            run(["podman", "init", container], code="not-created")
            run(["podman", "container", "cleanup", container])
        mounted = run(["podman", "mount", container]).strip()
        roots = {"/": mounted}
        for inside, name in volumes.items():
            path = name if name.startswith("/") else self._volume(name)
            Path(path).mkdir(parents=True, exist_ok=True)
            roots[inside] = path
        bundle = json.loads(run(["podman", "inspect", container]))[0]["OCIConfigPath"]
        self.folder.note(container=container, bundle=str(Path(bundle).parent), roots=list(roots.values()))
        return {"roots": roots}

    def _volume(self, name: str) -> str:
        return run(["podman", "volume", "inspect", "--format", "{{.Mountpoint}}", name]).strip()

    def _status(self, container: str) -> str:
        return run(["podman", "inspect", "--type", "container", "--format", "{{.State.Status}}", container]).strip()

    def arm(self, descriptors: str, lazy: bool = False) -> Dict[str, str]:
        """Start the restore and let it wait for the checkpoint: podman, conmon and the runtime are up and held."""
        state = self.folder.state()
        checkpoint = Path(state["bundle"]) / "checkpoint"
        if checkpoint.is_symlink():
            checkpoint.unlink()
        checkpoint.symlink_to(self.folder.images)
        (self.folder.images / "inventory.img").touch()  # podman looks whether there is one before it begins
        (self.folder.images / "descriptors.json").write_text(descriptors)
        relay.install(self.folder, [*CRIU_OPTIONS, *(["lazy-pages"] if lazy else [])])
        self.folder.note(lazy=lazy)
        log = self.folder.control / "restore.out"
        argv = ["podman", "container", "restore", "--file-locks", state["container"]]
        process = spawn(argv, log, environment(**relay.environment(self.folder)))
        self.folder.note(restore=process.pid)
        self.relay = wait_for_relay(self.folder, process, log)
        return {"state": self.relay.state}

    # -- the switch -------------------------------------------------------------------------------------------------

    def wait(self, within: float) -> Dict[str, float]:
        """Until the service is restored and held at the gate: this end's vote. Answers the restore's seconds."""
        if self.relay is None:
            raise Trouble("not-armed", "the restore was not armed by this agent")
        end = time.monotonic() + within
        self._wait(("started", "gated"), end)
        began = time.monotonic()
        self.emit("step", step="restore", state="started")
        self._wait(("gated",), end)
        seconds = time.monotonic() - began
        self.emit("step", step="restore", state="done", seconds=seconds)
        return {"restore": seconds}

    def _wait(self, states: "tuple[str, ...]", end: float) -> None:
        assert self.relay is not None
        try:
            state = self.relay.wait(*states, timeout=max(0.01, end - time.monotonic()))
        except (TimeoutError, OSError) as error:
            raise Trouble("timed-out", f"the restore did not come to {states[-1]!r} in time") from error
        if state.startswith("ended"):
            raise Trouble("not-restored", "CRIU could not restore the service: " + self._restore_words())

    def _restore_words(self) -> str:
        state = self.folder.state()
        words = criu_words(Path(state["bundle"]) / "restore.log")
        return f"{words} | {(self.folder.control / 'restore.out').read_text(errors='replace').strip()[-300:]}"

    def abandon(self) -> None:
        """Let the restore come to nothing; whoever waits for it hears so."""
        handle = self._find_relay()
        if handle is not None:
            handle.say("abort")
            handle.close()

    # -- the decision -----------------------------------------------------------------------------------------------

    def commit(self, within: float) -> Dict[str, bool]:
        """Open the gate. May run twice and in another agent: a restore that was lost is done again from the images."""
        state = self.folder.state()
        if state.get("open"):
            return {"open": True}
        if self.relay is None:
            self.relay = self._find_relay()
        if self.relay is None:
            if self._status(state["container"]) != "running":
                if state.get("lazy"):
                    raise Trouble(
                        "lost", "the restore was lost while its memory was still at the source", KEEP_THE_SOURCE
                    )
                self.arm((self.folder.images / "descriptors.json").read_text())
                assert self.relay is not None
                self.relay.say("start")
            else:
                self.folder.note(open=True)
                return {"open": True}
        self._wait(("gated", "open"), time.monotonic() + within)
        self.relay.say("go")
        self.relay.wait("open", timeout=within)
        self.folder.note(open=True)
        return {"open": True}

    def _find_relay(self) -> Optional[relay.Handle]:
        try:
            return relay.Handle(self.folder, 5.0)
        except OSError:
            return None

    def confirm(self, within: float) -> Dict[str, str]:
        """After the commit: wait until podman knows that it runs. Raises Trouble."""
        state = self.folder.state()
        if not wait_gone(state["restore"], within):
            raise Trouble("timed-out", "podman has not ended its restore")
        run(["podman", "umount", state["container"]])
        status = self._status(state["container"])
        if status != "running":
            raise Trouble("not-running", f"podman says that the service is {status}: {self._restore_words()}")
        return {"status": status}

    def noted(self) -> Dict[str, Any]:
        """What this migration has noted here; {} when nothing."""
        return {"state": self.folder.state()}

    def received(self) -> Dict[str, int]:
        """Bytes of memory that have arrived."""
        lazily = self.folder.control / "arrived"
        ahead = sum(path.stat().st_size for path in self.folder.images.glob("pages-*.img"))
        return {"memory": ahead + (int(lazily.read_text() or 0) if lazily.exists() else 0)}

    def fetched(self, within: float) -> Dict[str, bool]:
        """Post-copy: until CRIU's lazy-pages daemon has put the last page in its place. Raises Trouble."""
        end = time.monotonic() + within
        done = self.folder.control / "fetched"
        while not (done.exists() and done.read_text()):
            if time.monotonic() > end:
                raise Trouble(
                    "lost", f"pages are still missing after {within:g} s: {self._lazy_words()}", KEEP_THE_SOURCE
                )
            time.sleep(0.01)
        if done.read_text() != "0":
            raise Trouble("lost", f"not all memory could be fetched: {self._lazy_words()}", KEEP_THE_SOURCE)
        return {"fetched": True}

    def _lazy_words(self) -> str:
        return criu_words(Path(self.folder.state()["bundle"]) / "lazy-pages.log")

    # -- afterwards -------------------------------------------------------------------------------------------------

    def rollback(self, within: float) -> Dict[str, bool]:
        """Remove what was claimed: the container and its volumes. Raises Trouble when the gate is already open."""
        state = self.folder.state() if self.folder.exists else {}
        if state.get("open"):
            raise Trouble("committed", "the gate is open: the service runs here")
        if self.folder.exists:
            self.abandon()
        restore = state.get("restore")
        if restore and alive(restore) and not wait_gone(restore, within):
            raise Trouble("restore-stuck", f"podman's restore (process {restore}) does not end")
        if state.get("claimed"):
            run(["podman", "rm", "--force", "--time", "0", "--ignore", state["claimed"]], timeout=within)
            for volume in filter(lambda name: exists("volume", name), state["volumes"]):
                run(["podman", "volume", "rm", volume], timeout=within)
            self.folder.note(claimed=None, volumes=[])
        return {"removed": bool(state.get("claimed"))}

    def close(self) -> None:
        """Take the key out again and remove this migration's folders."""
        edit_authorized_keys(Path(pwd.getpwuid(os.geteuid()).pw_dir), self._tag(), "")
        server = self.folder.state().get("server") if self.folder.exists else None
        if server:
            end_program(server, "criu")  # a page server whose source was cut off waits for it in vain
        self.folder.remove()


def exists(kind: str, name: str) -> bool:
    """Whether podman has a container or volume of this name."""
    found = subprocess.run(
        ["podman", kind, "exists", name], capture_output=True, env=environment(), timeout=30, check=False
    )
    return found.returncode == 0


def edit_authorized_keys(home: Path, tag: str, line: str) -> None:
    """Replace the line that ends with ``tag`` by ``line`` ("" takes it out), atomically and under a lock."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = Path(os.path.realpath(folder / "authorized_keys"))  # some keep it elsewhere, behind a link
    with locked(folder):
        before = path.read_text(errors="surrogateescape") if path.exists() else ""
        lines = before.removesuffix("\n").split("\n") if before else []
        kept = [text for text in lines if not text.endswith(tag)]
        after = "".join(f"{text}\n" for text in [*kept, *([line] if line else [])])
        if after != before:
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            write_atomically(path, after, mode)
