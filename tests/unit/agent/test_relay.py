"""The relay between a fake runtime (this test) and a fake criu, over the sockets that the real ones use."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import waiting_for
from umsui.agent import namespaces, relay, rpc
from umsui.agent.host import Folder

REPO = Path(__file__).parents[3]

# Says what it was started with and was asked; holds a restore at its post-restore notification, like the real one.
CRIU = """#!{python}
import os, socket, sys, time
base = {base!r}
def note(words):
    with open(base + "/criu.log", "a") as log: log.write(words + "\\n")
note("network " + os.readlink("/proc/self/ns/net"))
note("argv " + " ".join(sys.argv[1:2]) + " config " + os.environ.get("CRIU_CONFIG_FILE", "-"))
if sys.argv[1] != "swrk": sys.exit(7)
rpc = socket.socket(fileno=int(sys.argv[2]))
request = rpc.recv(1 << 20)
note("request " + request.hex())
if not request: sys.exit(3)
if request[:2] == b"\\x08\\x02":
    while os.path.exists(base + "/hold"): time.sleep(0.01)
    rpc.send(b"..post-restore..")
    answer = rpc.recv(1 << 20)
    if not answer:
        note("killed what was restored")
        sys.exit(5)
    note("answer " + answer.decode())
read, write = os.pipe()
os.write(write, b"descriptor")
socket.send_fds(rpc, [b"success"], [read])
note("end " + repr(rpc.recv(1 << 20)))
"""

RESTORE, VERSION = b"\x08\x02restore", b"\x08\x0cversion"
EXTERNAL = 37  # criu_opts.external


def dump(pid: int, more: bytes = b"") -> bytes:
    return rpc.DUMP + rpc.text(rpc.OPTIONS, rpc.number(rpc.PID, pid) + more)


DUMP = dump(os.getpid())


class World:
    def __init__(self, folder: Folder, base: Path) -> None:
        self.folder = folder
        self.base = base
        (base / "bin").mkdir()
        (base / "config.json").write_text("{}")  # the bundle that a runtime is in
        (base / "bin" / "criu").write_text(CRIU.format(python=sys.executable, base=str(base)))
        (base / "bin" / "criu").chmod(0o755)
        self.process: subprocess.Popen[str] | None = None

    def start(self, request: bytes | None, *arguments: str) -> socket.socket:
        runtime, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        runtime.settimeout(5)
        words = f"""
import os, sys
sys.path.insert(0, {str(REPO)!r})
os.chdir({str(self.base)!r})
from pathlib import Path
from umsui.agent import host, relay
host.CONTROL, host.IMAGES = Path({str(self.base / "run")!r}), Path({str(self.base / "shm")!r})
relay.PATH = {str(self.base / "bin")!r}
sys.exit(relay.main(host.Folder("abc123", "source"), sys.argv[1:]))
"""
        argv = [sys.executable, "-c", words, *(arguments or ("swrk", str(child.fileno())))]
        self.process = subprocess.Popen(argv, pass_fds=[child.fileno()], stderr=subprocess.PIPE, text=True)
        child.close()
        if request is not None:
            runtime.send(request)
        return runtime

    def handle(self) -> relay.Handle:
        found: list[relay.Handle] = []

        def connected() -> bool:
            try:
                found.append(relay.Handle(self.folder, 5.0))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        waiting_for(connected)
        return found[0]

    def ended(self) -> int:
        assert self.process is not None
        return self.process.wait(5)

    def asked(self) -> bytes:
        """The last request that reached criu."""
        return bytes.fromhex(re.findall("request (.*)", self.log())[-1])

    def log(self) -> str:
        path = self.base / "criu.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def world(folder: Folder, short: Path) -> Iterator[World]:
    made = World(folder, short)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def test_a_dump_is_held_until_it_is_started(world: World) -> None:
    runtime = world.start(DUMP)
    handle = world.handle()
    assert handle.state == "armed"
    waiting_for(lambda: "argv swrk" in world.log())  # criu is up already
    for word in ("go", "status", "nonsense"):
        handle.say(word)
        assert handle.socket.recv(64) == b"armed"
    assert "request" not in world.log()
    handle.say("start")
    assert handle.wait("started", timeout=5) == "started"
    message, descriptors, _, _ = socket.recv_fds(runtime, 100, 4)
    assert message == b"success"
    assert os.read(descriptors[0], 20) == b"descriptor"
    runtime.close()
    assert handle.wait(timeout=5) == "ended 0"
    assert world.ended() == 0
    assert f"request {DUMP.hex()}" in world.log()
    assert f"config {world.folder.control}/criu.conf" in world.log()


def test_a_restore_is_held_at_the_gate_too(world: World) -> None:
    runtime = world.start(RESTORE)
    handle = world.handle()
    handle.say("start")
    assert handle.wait("gated", timeout=5) == "gated"
    runtime.setblocking(False)
    with pytest.raises(BlockingIOError):
        runtime.recv(100)
    runtime.settimeout(5)
    second = world.handle()  # another agent takes over
    assert second.state == "gated"
    handle.close()
    second.say("go")
    assert second.wait("open", timeout=5) == "open"
    assert runtime.recv(100) == b"..post-restore.."
    runtime.send(b"carry on")
    assert runtime.recv(100) == b"success"
    runtime.close()
    assert second.wait(timeout=5) == "ended 0"
    assert world.ended() == 0
    assert "answer carry on" in world.log()


def test_aborted_before_it_began(world: World) -> None:
    runtime = world.start(DUMP)
    handle = world.handle()
    handle.say("abort")
    assert handle.wait(timeout=5) == "ended"
    assert world.ended() == 1
    assert runtime.recv(100) == b""
    waiting_for(lambda: "request \n" in world.log())  # criu saw nothing but the end


def test_aborted_at_the_gate(world: World) -> None:
    runtime = world.start(RESTORE)
    handle = world.handle()
    handle.say("start")
    handle.wait("gated", timeout=5)
    handle.say("abort")
    assert world.ended() == 1
    assert runtime.recv(100) == b""  # the runtime was never told that it is restored
    waiting_for(lambda: "killed what was restored" in world.log())


def test_aborted_in_the_middle_of_a_restore(world: World) -> None:
    (world.base / "hold").touch()
    runtime = world.start(RESTORE)
    handle = world.handle()
    handle.say("start")
    handle.wait("started", timeout=5)
    handle.say("abort")
    handle.say("status")
    assert handle.socket.recv(64) == b"started"
    (world.base / "hold").unlink()
    assert world.ended() == 1
    assert runtime.recv(100) == b""
    waiting_for(lambda: "killed what was restored" in world.log())


def test_no_abort_once_it_is_open(world: World) -> None:
    runtime = world.start(RESTORE)
    handle = world.handle()
    handle.say("start")
    handle.wait("gated", timeout=5)
    handle.say("go")
    handle.wait("open", timeout=5)
    handle.say("abort")
    runtime.recv(100)
    runtime.send(b"carry on")
    assert runtime.recv(100) == b"success"
    runtime.close()
    assert handle.wait(timeout=5) == "ended 0"


@pytest.mark.parametrize("state", ["armed", "gated"])
def test_watchers_come_and_go_as_they_like(world: World, state: str) -> None:
    runtime = world.start(RESTORE)
    if state == "gated":
        handle = world.handle()
        handle.say("start")
        handle.wait("gated", timeout=5)
        handle.close()
    for _ in range(10):
        rude = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        waiting_for(world.folder.relay.exists)
        rude.connect(str(world.folder.relay))
        rude.send(b"status")
        rude.close()  # before it has read anything
    assert world.handle().state == state
    runtime.close()
    assert world.ended() != 0


def test_a_runtime_that_goes_ends_it(world: World) -> None:
    runtime = world.start(DUMP)
    handle = world.handle()
    runtime.close()
    assert handle.wait(timeout=5).startswith("ended")
    assert world.ended() != 0
    assert "request \n" in world.log()


def test_a_runtime_that_goes_while_the_gate_is_closed(world: World) -> None:
    runtime = world.start(RESTORE)
    handle = world.handle()
    handle.say("start")
    handle.wait("gated", timeout=5)
    runtime.close()
    assert handle.wait(timeout=5) == "ended 5"
    assert "killed what was restored" in world.log()


def test_other_questions_go_straight_on(world: World) -> None:
    runtime = world.start(VERSION)
    assert runtime.recv(100) == b"success"
    assert f"request {VERSION.hex()}" in world.log()
    assert not world.folder.relay.exists()
    runtime.close()
    assert world.ended() == 0


def test_other_commands_too(world: World) -> None:
    world.start(None, "--version")
    assert world.ended() == 7
    assert "argv --version config -" in world.log()


def test_the_real_one_is_no_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c", "run"):
        (tmp_path / name).mkdir()
    for name in ("run", "c"):
        (tmp_path / name / "criu").write_text("")
        (tmp_path / name / "criu").chmod(0o755)
    (tmp_path / "b" / "criu").symlink_to(tmp_path / "run" / "criu")
    monkeypatch.setattr(relay, "CONTROL", tmp_path / "run")
    monkeypatch.setattr(relay, "PATH", ":".join(str(tmp_path / name) for name in "abc"))
    assert relay.real_criu() == str(tmp_path / "c" / "criu")
    monkeypatch.setattr(relay, "PATH", str(tmp_path / "a"))
    with pytest.raises(SystemExit, match="criu is not installed"):
        relay.real_criu()


def test_installed_for_the_runtime_to_find(folder: Folder) -> None:
    relay.install(folder, ["tcp-close", "file-locks"])
    relay.install(folder, ["tcp-close", "file-locks"])
    binary = folder.control / "bin" / "criu"
    assert binary.stat().st_mode & 0o777 == 0o700
    assert f"{folder.agent} relay abc123 source" in binary.read_text()
    assert (folder.control / "criu.conf").read_text() == "tcp-close\nfile-locks\n"
    assert relay.environment(folder)["PATH"].startswith(str(binary.parent))


def test_the_migrations_own_folders_stand_where_the_request_names_others(folder: Folder, short: Path) -> None:
    """Field 1 of the options is the images' descriptor, field 17 that of the work folder; 200 needs two bytes."""
    folder.work.mkdir()
    options = b"\x08\xc8\x01" + b"\x52\x03log" + b"\x88\x01\xc9\x01"
    relay.adopt_folders(b"\x08\x02\x12" + bytes([len(options)]) + options, folder)
    try:
        assert Path("/proc/self/fd/200").readlink() == folder.images
        assert Path("/proc/self/fd/201").readlink() == folder.work
    finally:
        os.close(200)
        os.close(201)


def test_a_dump_is_over_when_criu_says_so_whatever_the_runtime_does_then(world: World) -> None:
    criu = world.base / "bin" / "criu"
    criu.write_text(criu.read_text().replace('b"success"', repr(rpc.DUMPED)))
    runtime = world.start(DUMP)
    handle = world.handle()
    handle.say("start")
    assert handle.wait("written", timeout=5) == "written"
    assert runtime.recv(100) == rpc.DUMPED
    assert world.handle().state == "written"
    runtime.close()
    assert handle.wait(timeout=5) == "ended 0"


@pytest.mark.parametrize("external", [True, False])
def test_criu_is_asked_for_few_words_and_not_for_a_network_that_is_the_engines(world: World, external: bool) -> None:
    network = rpc.text(EXTERNAL, b"net[4026531840]:extRootNetNS") if external else b""
    runtime = world.start(dump(os.getpid(), rpc.number(rpc.LOG_LEVEL, 4) + network))
    world.handle().say("start")
    runtime.recv(100)
    asked = world.asked()
    assert rpc.number_in(asked, rpc.LOG_LEVEL) == 2
    assert rpc.number_in(asked, rpc.EMPTY_NS) == (0x40000000 if external else -1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_criu_is_in_the_network_of_the_service_at_both_ends(world: World) -> None:
    """It sees none that is not its own, so there is none for it to empty. What cannot be set there is noted."""
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as service:
        waiting_for(lambda: not namespaces.same(service.pid, "net"))
        there = f"/proc/{service.pid}/ns/net"
        network = {"type": "network", "path": there}
        sysctl = {"net.ipv4.conf.eth7.arp_ignore": "1"}
        (world.base / "config.json").write_text(json.dumps({"linux": {"namespaces": [network], "sysctl": sysctl}}))
        empty = rpc.number(rpc.EMPTY_NS, 0x40000000)
        for request in (dump(service.pid, empty), rpc.RESTORE + rpc.text(rpc.OPTIONS, empty)):
            runtime = world.start(request)
            handle = world.handle()
            handle.say("start")
            if request[:2] == rpc.RESTORE:
                assert handle.wait("gated", timeout=5) == "gated"
                assert world.folder.state()["unset"] == ["net.ipv4.conf.eth7.arp_ignore=1"]
                handle.say("abort")
                assert world.ended() == 1
            else:
                runtime.recv(100)
                runtime.close()
                assert world.ended() == 0
            assert f"network {Path(there).readlink()}" in world.log().splitlines()
            assert rpc.number_in(world.asked(), rpc.EMPTY_NS) == 0
            (world.base / "criu.log").unlink()
            world.folder.relay.unlink()
        service.kill()


@pytest.fixture
def withheld(world: World) -> Iterator[World]:
    """The runtime is not to hear of a dump's end; the agent gives the connection to the page server."""
    world.folder.note(withhold=True)
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    giver.bind(str(world.folder.pages))
    giver.listen(1)

    def give() -> None:
        with contextlib.suppress(OSError), giver.accept()[0] as asking:
            socket.send_fds(asking, [b"."], [giver.fileno()])

    threading.Thread(target=give, daemon=True).start()
    criu = world.base / "bin" / "criu"
    criu.write_text(criu.read_text().replace('b"success"', repr(rpc.DUMPED)))
    yield world
    giver.close()


def test_a_dump_whose_end_is_withheld_is_over_when_it_is_given_up(withheld: World) -> None:
    runtime = withheld.start(DUMP)
    handle = withheld.handle()
    handle.say("start")
    assert handle.wait("dumped", timeout=5) == "dumped"
    runtime.setblocking(False)
    with pytest.raises(BlockingIOError):
        runtime.recv(100)
    assert withheld.handle().state == "dumped"  # also to an agent that comes later
    runtime.setblocking(True)
    handle.say("abort")
    assert runtime.recv(100) == b""
    assert withheld.ended() == 1
    assert withheld.process is not None
    assert withheld.folder.state()["dump"] == withheld.process.pid


def test_a_runtime_that_waits_no_longer_ends_a_withheld_dump(withheld: World) -> None:
    runtime = withheld.start(DUMP)
    handle = withheld.handle()
    handle.say("start")
    assert handle.wait("dumped", timeout=5) == "dumped"
    runtime.close()
    assert handle.wait(timeout=5).startswith("ended")
    withheld.ended()


def test_a_checkpoint_that_comes_when_it_is_given_up_fails_at_once(withheld: World) -> None:
    withheld.folder.note(abandoned=True)
    withheld.start(DUMP)
    assert withheld.ended() == 1
    assert "request" not in withheld.log()
