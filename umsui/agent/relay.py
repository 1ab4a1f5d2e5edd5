"""A stand-in for ``criu`` between the OCI runtime and the real one.

The runtime (crun, runc) starts ``criu swrk FD`` and talks CRIU's RPC over that socket. Started under that name, the
relay passes the talk on to the real ``criu``, but holds it at two places:

* before a dump or restore begins: everything slow around it (the engine, the runtime, CRIU's own start) is done while
  the service still runs;
* after a restore, before the restored processes get to run (CRIU's ``post-restore`` notification): the gate that only
  the commit opens. No instruction of the service runs at the destination before that.

A dump is over when CRIU says so (state ``written``): nobody waits for what the runtime does after that.
And where the runtime's caller would let a dumped service go on (the kubelet's checkpoint leaves its container running),
the runtime is not told that the dump is done (state ``dumped``) until it is known what becomes of the source.

Words come over a Unix socket in the migration's folder, from whichever agent is alive: the relay does not depend on
the one that started it. ``status`` asks, ``start`` begins, ``go`` and ``abort`` decide; each is answered by the state.

RPC: https://criu.org/RPC; ``criu_req.type`` 1 is DUMP, 2 is RESTORE.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import socket
import sys
from pathlib import Path
from typing import Dict, List, NoReturn, Optional

from umsui.agent import crossing, network, rpc, warm
from umsui.agent.host import CONTROL, PATH, Folder
from umsui.agent.namespaces import CLONE_NEWNET

BIGGEST = 1 << 20  # of an RPC message; CRIU's own limit is lower
WARNINGS = 2  # and errors: what CRIU does besides is thousands of lines for 1 GiB
WRITTEN = ("written", "dumped")  # states in which a dump is over: the runtime has heard of it, or does not yet
HELD = (rpc.DUMP, rpc.RESTORE)  # the requests that are held
# CRIU packs what is in each tmpfs, mostly nothing or a few nodes, and starts tar, a shell and gzip for that. ``plain``
# goes with the images: where this one was not to be had (another user namespace), they are packed as ever. What is
# empty and nobody can write into, as the engines' covers over /proc are, makes an empty archive without any tar.
TAR = """#!/bin/sh
last= full=
if [ "$1" = --create ]; then
    : >{plain}
    for folder; do [ "$last" != --directory ] || break; last=$folder; done
    if [ -d "$folder" ] && [ ! -w "$folder" ]; then
        for each in "$folder"/* "$folder"/.[!.]* "$folder"/..?*; do
            if [ -e "$each" ] || [ -L "$each" ]; then full=yes; fi
        done
        [ "$full" ] || exit 0
    fi
elif [ -e {plain} ] && [ -f /dev/stdin ] && [ ! -s /dev/stdin ]; then
    exit 0
fi
[ -e {plain} ] || exec {tar} "$@"
for word; do shift; [ "$word" = --gzip ] || set -- "$@" "$word"; done
exec {tar} "$@"
"""
NETWORK = b"extRootNetNS"  # what the runtimes call a network namespace that is not theirs
PAGES_FD = 87  # where criu finds its connection to the page server; far above what the runtimes open


def real_criu() -> str:
    """The real program: the first ``criu`` on the path that is none of our stand-ins. Raises SystemExit."""
    for folder in PATH.split(":"):
        found = os.path.join(folder, "criu")
        if os.access(found, os.X_OK) and not os.path.realpath(found).startswith(f"{CONTROL}/"):
            return found
    raise SystemExit("umsui relay: criu is not installed")


def given_folder(request: bytes, runtime: int) -> str:
    """The folder that the runtime was told to find the images in; "" when it is not open there."""
    try:
        return os.readlink(f"/proc/{runtime}/fd/{rpc.number_in(request, rpc.IMAGES_DIR_FD)}")
    except OSError:
        return ""


def adopt_folders(request: bytes, folder: Folder) -> None:
    """Open the migration's own folders at the numbers that a request names for images and work.

    CRIU looks them up as ``/proc/PEER/fd/N``, and its peer is now this process. Wherever the engine thinks that its
    images are, they are in the migration's folder.
    """
    for field, path in ((rpc.IMAGES_DIR_FD, folder.images), (rpc.WORK_DIR_FD, folder.work)):
        wanted = rpc.number_in(request, field)
        if wanted >= 0:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if descriptor != wanted:
                os.dup2(descriptor, wanted)
                os.close(descriptor)


def adopt_pages(folder: Folder) -> None:
    """Take the connection to the page server from the agent, where no runtime could pass it on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as giver:
        giver.connect(str(folder.pages))
        _, descriptors, _, _ = socket.recv_fds(giver, 1, 1)
    os.dup2(descriptors[0], PAGES_FD, inheritable=True)
    os.close(descriptors[0])


def network_of(request: bytes) -> Optional[network.Home]:
    """The network that the real CRIU is to start in; None: in this one. A runtime is in its bundle's folder."""
    if request[:2] == rpc.RESTORE:
        return network.of_restore(Path.cwd())
    return network.of_dump(rpc.number_in(request, rpc.PID))


class Relay:
    """One RPC session between the runtime (``up``) and the real CRIU (``down``), which is started in ``home``."""

    def __init__(self, folder: Folder, up: socket.socket, criu: str, home: Optional[network.Home] = None) -> None:
        self.folder = folder
        self.up = up
        self.criu = criu
        self.home = home
        self.state = "armed"
        self.doomed = False
        self.watchers: List[socket.socket] = []
        self.selector = selectors.DefaultSelector()
        self.kept: List[bytes] = []  # CRIU's post-restore notification, held at the gate
        self.withholds = bool(folder.state().get("withhold"))

    def serve(self, request: bytes) -> int:
        """Relay one session; the exit status of the real CRIU."""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fresh = Path(f"{self.folder.relay}.new")
        fresh.unlink(missing_ok=True)
        self.listener.bind(str(fresh))
        self.listener.listen(128)  # past that, a connect fails at once
        fresh.rename(self.folder.relay)  # whoever sees it may connect
        self.down, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = self._start(child)
        self.request = request
        for source in (self.listener, self.up, self.down):
            self.selector.register(source, selectors.EVENT_READ)
        while self.state != "ended":
            for key, _ in self.selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                self._take(ready)
        self.down.close()
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._tell(f"ended {code}")
        return code

    def _start(self, child: socket.socket) -> int:
        pid = os.fork()
        if pid == 0:
            self._become_criu(child)
        child.close()
        return pid

    def _become_criu(self, child: socket.socket) -> NoReturn:
        os.environ["CRIU_CONFIG_FILE"] = str(self.folder.control / "criu.conf")
        os.environ["PATH"] = f"{self.folder.control / 'tools'}:{PATH}"
        if self.home is not None:
            self.home.enter()
        child.set_inheritable(True)
        os.execv(self.criu, [self.criu, "swrk", str(child.fileno())])  # noqa: S606 - the real program, no shell

    def _take(self, source: socket.socket) -> None:
        if source is self.listener:
            watcher, _ = self.listener.accept()
            self.watchers.append(watcher)
            self.selector.register(watcher, selectors.EVENT_READ)
            self._send(watcher, self.state)
        elif source is self.down:
            self._from_criu()
        elif source is self.up:
            message, descriptors, _, _ = socket.recv_fds(self.up, BIGGEST, 8)
            if not message:  # the runtime is done, or gone: let CRIU see the same
                self.selector.unregister(self.up)
                if self.state in ("armed", "dumped"):
                    self.state = "ended"
                else:
                    self.down.shutdown(socket.SHUT_WR)
            else:
                socket.send_fds(self.down, [message], descriptors)
        else:
            self._word(source)

    def _from_criu(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self.down, BIGGEST, 8)
        if not message and self.state == "dumped":
            self.selector.unregister(self.down)
        elif not message:
            self.state = "ended"
        elif b"post-restore" in message:
            self.kept = [message]
            self._settle()
            self._become("gated")
            if self.doomed:
                self._abort()
        elif self.withholds and message.startswith(rpc.DUMPED):
            self._become("dumped")
        else:
            if message.startswith(rpc.DUMPED):
                self._become("written")
            socket.send_fds(self.up, [message], descriptors)

    def _settle(self) -> None:
        """The network's settings that had to wait until the engine has connected it."""
        if self.home is None:
            return
        unset = self.home.settle()
        self.home.close()
        self.home = None
        if unset:
            self.folder.note(unset=unset)

    def _word(self, watcher: socket.socket) -> None:
        try:
            word = watcher.recv(64).decode()
        except ConnectionResetError:  # it hung up before it had read our last state
            word = ""
        if not word:
            self.selector.unregister(watcher)
            self.watchers.remove(watcher)
            watcher.close()
        elif word == "start" and self.state == "armed":
            self._become("started")
            if self.request[:2] == rpc.RESTORE:
                warm.cgroups()
            across = self.request[:2] == rpc.RESTORE and self.folder.state().get("across")
            self.down.send(crossing.fitted(self.request, self.folder) if across else self.request)
        elif word == "go" and self.state == "gated":
            socket.send_fds(self.up, self.kept, [])
            self._become("open")
        elif word == "abort" and self.state in ("armed", "gated", "dumped"):
            self._abort()
        elif word == "abort":
            self.doomed = True  # in the middle of a restore: at the gate, then
        else:
            self._send(watcher, self.state)

    def _abort(self) -> None:
        self.down.close()  # CRIU kills what it has restored when its peer is gone before the end
        os._exit(1)

    def _become(self, state: str) -> None:
        self.state = state
        self._tell(state)

    def _tell(self, state: str) -> None:
        for watcher in self.watchers:
            self._send(watcher, state)

    def _send(self, watcher: socket.socket, state: str) -> None:
        try:
            watcher.send(state.encode())
        except OSError:
            return  # that agent is gone; the relay goes on


def main(folder: Folder, arguments: List[str]) -> int:
    """Be ``criu``: hold dump and restore, pass everything else straight on."""
    criu = real_criu()
    if arguments[:1] != ["swrk"]:
        os.execv(criu, [criu, *arguments])  # noqa: S606 - the real program, no shell
    up = socket.socket(fileno=int(arguments[1]))
    request = up.recv(BIGGEST, socket.MSG_PEEK)
    if request[:2] not in HELD:
        up.detach()
        os.execv(criu, [criu, *arguments])  # noqa: S606 - version and feature questions need no relay
    up.recv(BIGGEST)
    state = folder.note(relay=os.getpid(), given=given_folder(request, os.getppid()))
    adopt_folders(request, folder)
    if state.get("withhold"):
        if state.get("abandoned"):
            return 1
        folder.note(dump=os.getpid())
        adopt_pages(folder)
    request = rpc.amended(request, rpc.number(rpc.LOG_LEVEL, WARNINGS))
    if state.get("lazy"):  # runc says that it wants no lazy pages, and a request outweighs the options' file
        request = rpc.amended(request, rpc.number(rpc.LAZY_PAGES, 1))
    home = network_of(request)
    if home is not None:  # CRIU starts in it, so there is none for it to empty
        request = rpc.amended(request, rpc.number(rpc.EMPTY_NS, 0))
    elif NETWORK in request:  # it is the engine's; CRIU would walk through its connections all the same
        request = rpc.amended(request, rpc.number(rpc.EMPTY_NS, CLONE_NEWNET))
    warm.breakpoints()  # until this process ends
    return Relay(folder, up, criu, home).serve(request)


class Handle:
    """The agent's connection to a relay."""

    def __init__(self, folder: Folder, timeout: float) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(str(folder.relay))
        self.state = self.socket.recv(64).decode() or "ended"

    def say(self, word: str) -> None:
        """Give it a word."""
        self.socket.send(word.encode())

    def wait(self, *states: str, timeout: float) -> str:
        """Wait until it is in one of these states (or has ended) and tell which. Raises TimeoutError."""
        self.socket.settimeout(timeout)
        wanted = {*states, "ended"}
        while self.state.split(" ")[0] not in wanted:
            answer = self.socket.recv(64).decode()
            self.state = answer or "ended"
        return self.state

    def close(self) -> None:
        """Hang up; the relay goes on."""
        self.socket.close()


def environment(folder: Folder) -> Dict[str, str]:
    """What to add to a runtime's environment so that it meets the relay when it calls ``criu``."""
    return {"PATH": f"{folder.control / 'bin'}:{PATH}"}


def install(folder: Folder, options: List[str]) -> None:
    """Put the stand-in and CRIU's options into the migration's folder."""
    binary = folder.control / "bin" / "criu"
    for each in (binary.parent, folder.work):
        each.mkdir(mode=0o700, exist_ok=True)
    binary.write_text(
        f'#!/bin/sh\nexec {sys.executable} -IS {folder.agent} relay {folder.migration} {folder.role} "$@"\n'
    )
    binary.chmod(0o700)
    tar = shutil.which("tar", path=PATH)
    if tar:
        stand_in = folder.control / "tools" / "tar"
        stand_in.parent.mkdir(mode=0o700, exist_ok=True)
        stand_in.write_text(TAR.format(plain=shlex.quote(str(folder.images / "plain")), tar=shlex.quote(tar)))
        stand_in.chmod(0o700)
    (folder.control / "criu.conf").write_text("\n".join(options) + "\n")
