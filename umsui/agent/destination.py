"""The destination's end of a migration: admit the source, arm the restore, hold it at the gate, open the gate."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from umsui.agent import criu, crossing, door, engines, joint, paging, relay, vigil, wire
from umsui.agent.engine import Engine, process_of
from umsui.agent.extras import Places, catch_up
from umsui.agent.host import (
    Folder,
    Trouble,
    alive,
    end_program,
    environment,
    locked,
    spawn,
    wait_gone,
    write_atomically,
)

Emit = Callable[..., None]

KEEP_THE_SOURCE = "the source still holds the service as it was at the switch: look there before anything is removed"


class Destination:
    """One migration at its destination."""

    def __init__(self, folder: Folder, emit: Emit) -> None:
        self.folder = folder
        self.emit = emit
        self.relay: Optional[relay.Handle] = None

    @property
    def engine(self) -> Engine:
        """What manages the containers here."""
        return engines.of(self.folder)

    # -- before the freeze ------------------------------------------------------------------------------------------

    def admit(self, public: str) -> Dict[str, str]:
        """Let the source's key in: for this migration's wire and nothing else. Answers the user to log in as."""
        user = pwd.getpwuid(os.geteuid())
        command = shlex.join([sys.executable, "-IS", str(self.folder.agent), "wire", self.folder.migration])
        line = f'restrict,command="{command}" {public}'
        edit_authorized_keys(Path(user.pw_dir), self._tag(), line)
        return {"user": user.pw_name}

    def lead(self, container: str) -> Dict[str, Any]:
        """From now on the streams of the wire are for this running container: its door takes them."""
        self.folder.note(inside=process_of(self.engine.inspect(container)))
        return {}

    def door(self) -> Dict[str, int]:
        """In a container: take the streams that its node leads here. Raises Trouble."""
        pid = door.open_up(self.folder)
        self.folder.note(door=pid)
        return {"pid": pid}

    def server(self) -> Dict[str, Any]:
        """An SSH server of this migration's own, where there is none: its command, for one connection, and its key."""
        return joint.server(self.folder)

    def _tag(self) -> str:
        return f"umsui:{self.folder.migration}"

    def claim(self, container: str, volumes: List[str]) -> Dict[str, Any]:
        """Take a name and volumes that nobody uses here; only what was claimed is ever removed. Raises Trouble."""
        if self.folder.state().get("claimed") == container:
            return {}
        if self.engine.holds("container", container):
            raise Trouble(
                "name-taken",
                f"there is a container named {container} already",
                f"{self.engine.name} rename {container} {container}-old",
            )
        taken = [volume for volume in volumes if self.engine.holds("volume", volume)]
        if taken:
            raise Trouble(
                "volume-taken",
                f"there is a volume named {taken[0]} already; its data would be overwritten",
                f"{self.engine.name} volume rm {taken[0]} (after a look into it)",
            )
        self.folder.note(claimed=container, volumes=volumes)
        return {}

    def layers(self) -> Dict[str, Any]:
        """The layers that an image need not bring along."""
        return {"layers": sorted(self.engine.layers(self.engine.images()))}

    def place(self, folders: List[str], files: List[str]) -> Dict[str, Any]:
        """Make the folders and files of this host that the container will bind. Raises Trouble when there are any."""
        self.folder.note(files=files)
        Places(self.folder).make(folders, files)
        return {}

    def put(self, container: str, path: str, hold: bool = False) -> Dict[str, Any]:
        """Make an empty file in a container that was created and does not run yet: a sign to its first process.

        ``hold``: what that takes may stay until ``unput``.
        """
        self.engine.put(container, path, hold)
        self.folder.note(held=container if hold else None)
        return {}

    def unput(self) -> Dict[str, Any]:
        """Give back what ``put`` has held; told where that fails: the service is none the worse for it."""
        held = self.folder.state().get("held")
        if held:
            try:
                self.engine.unput(held)
            except Trouble as trouble:
                self.emit("log", level="warning", message=f"a mount of {held} stays: {trouble.message}")
            self.folder.note(held=None)
        return {}

    def prepare(self, container: str, volumes: Dict[str, str], top: Sequence[int] = ()) -> Dict[str, Any]:
        """Bring the created container to where a restore can begin: bundle written, root file system mounted.

        ``volumes`` maps a volume's destination in the container to its name or host path; ``top`` is what another
        engine gave the root folder itself (``facts.top_folder``). Answers the paths of the roots that the source may
        write, and the format of the container's log.
        """
        found = self.engine.inspect(container)
        roots = {"/": self.engine.prepare(self.folder, found)}
        if top:
            mode, user, group = top
            os.chown(roots["/"], user, group)
            os.chmod(roots["/"], mode)
        for inside, name in volumes.items():
            path = name if name.startswith("/") else self.engine.volume(name)
            Path(path).mkdir(parents=True, exist_ok=True)
            roots[inside] = path
        log_format, log = self.engine.log(found)
        self.folder.note(container=container, roots=list(roots.values()), log=log)
        return {"roots": roots, "log_format": log_format}

    def page(self, whole_first: bool, again: bool = False) -> Dict[str, int]:
        """Start the pager; with ``whole_first`` it lets no restore begin before all memory is here. Raises Trouble.

        ``again``: all memory is here already, from an earlier one.
        """
        for left in ("pager", "fetched"):
            (self.folder.control / left).unlink(missing_ok=True)
        argv = [sys.executable, "-IS", str(self.folder.agent), "pager", self.folder.migration, self.folder.role]
        argv += [*(["whole"] if whole_first else []), *(["again"] if again else [])]
        started = spawn(argv, self.folder.control / "pager.log", environment())
        self.folder.note(pager=started.pid, whole_first=whole_first)
        if not paging.wait_until_there(self.folder, lambda: started.poll() is None):
            raise Trouble("no-pager", f"the pager did not start: {self._pager_words()}")
        return {"pid": started.pid}

    def _pager_words(self) -> str:
        return (self.folder.control / "pager.log").read_text(errors="replace").strip()[-400:]

    def arm(self, descriptors: str, lazy: bool = False, across: bool = False) -> Dict[str, str]:
        """Start the restore and let it wait for the checkpoint: the engine and the runtime are up and held.

        ``across``: from another engine.
        """
        state = self.folder.state()
        (self.folder.control / "descriptors.json").write_text(descriptors)
        relay.install(self.folder, [*criu.OPTIONS, *(["lazy-pages"] if lazy else [])])
        self.folder.note(lazy=lazy, across=across)
        if across:
            crossing.prepare(self.folder, self.engine.inspect(state["container"])["HostConfig"]["ShmSize"])
        log = self.folder.control / "restore.out"
        argv = self.engine.restore(self.folder, state["container"], descriptors)
        process = spawn(argv, log, environment(**relay.environment(self.folder)))
        self.folder.note(restore=process.pid)
        self.relay = criu.wait_for_relay(self.folder, process, log)
        self.engine.armed(self.folder)
        return {"state": self.relay.state}

    def intact(self, container: str) -> Dict[str, Any]:
        """Raises Trouble when somebody has changed the reserved container since the first time that this was asked.

        While the engine restores it, it holds it: nobody else comes near.
        """
        if self.folder.state().get("restore"):
            return {}
        return vigil.look(self.folder, self.engine, container, "the container that was reserved for the service")

    # -- the switch -------------------------------------------------------------------------------------------------

    def wait(self, within: float) -> Dict[str, float]:
        """Until the service is restored and held at the gate: this end's vote.

        Answers the restore's seconds and the bytes of memory that have arrived.
        """
        if self.relay is None:
            raise Trouble("not-armed", "the restore was not armed by this agent")
        end = time.monotonic() + within
        self._wait(("started", "gated"), end)
        began = time.monotonic()
        self.emit("step", step="restore", state="started")
        self._wait(("gated",), end)
        self.engine.gated()
        seconds = time.monotonic() - began
        self.emit("step", step="restore", state="done", seconds=seconds)
        return {"restore": seconds, **self.received()}

    def _wait(self, states: "tuple[str, ...]", end: float) -> None:
        assert self.relay is not None
        try:
            state = self.relay.wait(*states, timeout=max(0.01, end - time.monotonic()))
        except (TimeoutError, OSError) as error:
            raise Trouble("timed-out", f"the restore did not come to {states[-1]!r} in time") from error
        if state.startswith("ended"):
            raise Trouble("not-restored", "CRIU could not restore the service: " + self._restore_words())

    def _restore_words(self) -> str:
        words = criu.words(self.folder.work / "restore.log")
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
            if self.engine.status(state["container"]) != "running":
                self._restore_again(state, within)
            else:
                self.folder.note(open=True)
                return {"open": True}
        self._wait(("gated", "open"), time.monotonic() + within)
        assert self.relay is not None
        self.relay.say("go")
        self.relay.wait("open", timeout=within)
        self.folder.note(open=True)
        return {"open": True}

    def _restore_again(self, state: Dict[str, Any], within: float) -> None:
        """The restore was lost, but not what it restores: nothing is given back before the gate is open."""
        lazy = bool(state.get("lazy"))
        if lazy and not state.get("whole_first"):
            raise Trouble("lost", "the restore was lost while its memory was still at the source", KEEP_THE_SOURCE)
        descriptors = (self.folder.control / "descriptors.json").read_text()
        self.arm(descriptors, lazy, across=state.get("across", False))
        if lazy:
            self._page_again(within)
        assert self.relay is not None
        self.relay.say("start")

    def _page_again(self, within: float) -> None:
        """A new pager for what the last one has not given back. Raises Trouble."""
        state = self.folder.state()
        if not state.get("whole_first"):
            raise Trouble("lost", "the restore was lost while its memory was still at the source", KEEP_THE_SOURCE)
        end_program(state["pager"], "pager")
        wait_gone(state["pager"], within)
        self.page(whole_first=True, again=True)
        if not paging.wait_until_ready(self.folder, within):
            raise Trouble("no-pager", f"the pager could not get ready: {self._pager_words()}")

    def _find_relay(self) -> Optional[relay.Handle]:
        try:
            return relay.Handle(self.folder, 5.0)
        except OSError:
            return None

    def confirm(self, within: float) -> Dict[str, str]:
        """After the commit: wait until the engine knows that it runs. Raises Trouble."""
        state = self.folder.state()
        if not wait_gone(state["restore"], within):
            raise Trouble("timed-out", f"{self.engine.name} has not ended its restore")
        self.engine.restored(self.folder, state["container"])
        status = self.engine.status(state["container"])
        if status != "running":
            raise Trouble(
                "not-running", f"{self.engine.name} says that the service is {status}: {self._restore_words()}"
            )
        for setting in state.get("unset") or ():
            self.emit("log", level="warning", message=f"its network's setting {setting} could not be made here")
        catch_up(self.folder)
        return {"status": status}

    def noted(self) -> Dict[str, Any]:
        """What this migration has noted here; {} when nothing."""
        return {"state": self.folder.state()}

    def received(self) -> Dict[str, int]:
        """Bytes of memory that have arrived."""
        paged = self.folder.control / "arrived"
        dumped = sum(path.stat().st_size for path in self.folder.images.glob("pages-*.img"))
        return {"memory": dumped + (int(paged.read_text()) if paged.exists() else 0)}

    def fetched(self, within: float) -> Dict[str, bool]:
        """Until the pager has put the last page in its place. Raises Trouble."""
        end = time.monotonic() + within
        while not (how := paging.fetched(self.folder)):
            if time.monotonic() > end:
                raise Trouble(
                    "lost", f"pages are still missing after {within:g} s: {self._pager_words()}", KEEP_THE_SOURCE
                )
            time.sleep(0.01)
        if how != "0":
            raise Trouble("lost", f"not all memory came to its place: {self._pager_words()}", KEEP_THE_SOURCE)
        return {"fetched": True}

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
            raise Trouble("restore-stuck", f"the restore (process {restore}) does not end")
        if state.get("pager"):
            end_program(state["pager"], "pager")
        if state.get("claimed"):
            self.engine.discard(state["claimed"], within)
            for volume in filter(lambda name: self.engine.holds("volume", name), state["volumes"]):
                self.engine.ask("volume", "rm", volume, timeout=within)
            self.folder.note(claimed=None, volumes=[], inside=None, held=None)
        Places(self.folder).remove()
        return {"removed": bool(state.get("claimed"))}

    def close(self) -> None:
        """Take the key out again and remove this migration's folders."""
        edit_authorized_keys(Path(pwd.getpwuid(os.geteuid()).pw_dir), self._tag(), "")
        if self.folder.exists:
            self.unput()
            state = self.folder.state()
            placing = state.get("pager") and alive(state["pager"]) and paging.fetched(self.folder) != "0"
            if state.get("open") and placing:
                raise Trouble("not-placed", "memory is still being put in its place", KEEP_THE_SOURCE)
            for key, program in (("server", "criu"), ("pager", "pager"), ("door", door.NAME)):
                if state.get(key):
                    end_program(state[key], program)  # one whose source was cut off waits for it in vain
            wire.end_all(self.folder)
            self.engine.tidy(self.folder)
            crossing.tidy(self.folder)
        self.folder.remove()


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
