"""Memory ahead from inside: what CRIU's page server is given in the end is what CRIU sent, byte by byte.

CRIU is played by this test, in its own protocol; the supervisor's two ends are the real ones.
"""

from __future__ import annotations

import random
import select
import shutil
import socket
import struct
import subprocess
import threading
from importlib.resources import files
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")

PAGE = 4096
OPEN2, HOLE, ADD_WITH_FLAGS, CLOSE = 4, 2, 6, 0x1023
PRESENT = 4
PASSES = 2

# One end or the other, on descriptors: 3 is the wire, 4 CRIU's, 1 what the session hears. Before each pass the test
# says what the service, a child that shares memory with it, has there.
END = """
#define _GNU_SOURCE
#include "inside.h"
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct state *state;

int main(int argc, char **argv) {
    size_t size = 256 * 4096;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t parent = getpid();
    connection = 1;
    if (argc < 2) {
        connection = 3;
        put_back(4);
        return 0;
    }
    pid_t service = fork();
    if (service == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t at = 0; at < size; at += 4096) *(volatile char *)(memory + at); // else it has none
        return getppid() == parent ? raise(SIGSTOP) : 0;
    }
    waitpid(service, NULL, WUNTRACED);
    for (int passes = atoi(argv[1]); passes--;)
        if (read_all(0, memory, size) || send_ahead(service, 3)) return 1;
    name_known(4, 3);
    return 0;
}
"""


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("pages"), Path(str(files("umsui.inside")))
    (folder / "end.c").write_text(END)
    parts = [str(source / name) for name in ("pages.c", "processes.c", "files.c", "sessions.c")]
    subprocess.run(["gcc", "-O2", "-I", source, "-o", folder / "end", folder / "end.c", *parts], check=True)
    return folder / "end"


def begin(end: Path, words: list[str], wire: socket.socket, criu: socket.socket) -> subprocess.Popen[bytes]:
    """The end, with its wire and CRIU's side at the numbers that it knows."""
    script = f'exec 3<&{wire.fileno()} 4<&{criu.fileno()}; exec "$@"'
    argv, inherited = ["bash", "-c", script, "bash", str(end), *words], (wire.fileno(), criu.fileno())
    return subprocess.Popen(argv, pass_fds=inherited, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def header(new: bool, command: int, count: int = 0, address: int = 0, image: int = 0x2C01) -> bytes:
    """As CRIU 4.2 has it, or those before."""
    return struct.pack("<I4xQQQ" if new else "<IIQQ", command, count, address, image)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_what_arrives_is_what_was_sent(end: Path, seed: int, new: bool) -> None:
    chance = random.Random(seed)
    alike = chance.randbytes(PAGE)
    memory = [alike if chance.random() < 0.1 else chance.randbytes(PAGE) for _ in range(256)]
    (wire, far), (criu, ours), (server, theirs) = (socket.socketpair() for _ in range(3))
    source, there = begin(end, [str(PASSES)], wire, ours), begin(end, [], far, theirs)
    for each in (wire, far, ours, theirs):
        each.close()
    assert source.stdin is not None
    assert source.stdout is not None
    passed = []
    for _ in range(PASSES):
        source.stdin.write(b"".join(memory))
        source.stdin.flush()
        passed.append(int(source.stdout.readline().split()[1]) // PAGE)
        for changed in chance.sample(range(256), 20):
            memory[changed] = chance.randbytes(PAGE)
    assert 200 < passed[0] <= 256 + 40  # alike are one; and the little that the service has besides
    assert 0 < passed[1] < 40  # what has changed
    dump, at = header(new, OPEN2), 0
    expected = len(dump)
    criu.sendall(dump)
    assert server.recv(expected, socket.MSG_WAITALL) == dump
    server.sendall(b"\0")
    assert criu.recv(1) == b"\0"  # it waits for this answer
    while at < len(memory):
        run = min(chance.choice([1, 2, 3, 64, 65, 130]), len(memory) - at)
        dump = header(new, HOLE, 7, at * PAGE) + header(new, PRESENT << 16 | ADD_WITH_FLAGS, run, at * PAGE)
        dump += b"".join(memory[at : at + run])
        threading.Thread(target=criu.sendall, args=(dump,)).start()
        assert server.recv(len(dump), socket.MSG_WAITALL) == dump
        at += run
    criu.sendall(header(new, CLOSE))
    assert server.recv(len(header(new, CLOSE)), socket.MSG_WAITALL) == header(new, CLOSE)
    server.sendall(b"\0\0\0\0")
    assert criu.recv(4, socket.MSG_WAITALL) == b"\0\0\0\0"
    server.close()
    criu.close()
    assert [each.wait(10) for each in (there, source)] == [0, 0]


def test_a_pass_ends_when_it_has_arrived(end: Path) -> None:
    (wire, far), (criu, ours), (server, theirs) = (socket.socketpair() for _ in range(3))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)  # room for all of it on the way
    source = begin(end, ["1"], wire, ours)
    assert source.stdin is not None
    assert source.stdout is not None
    source.stdin.write(random.Random(7).randbytes(256 * PAGE))
    source.stdin.flush()
    sent = select.select([source.stdout], [], [], 0.5)[0]
    there = begin(end, [], far, theirs)
    for each in (wire, far, ours, theirs):
        each.close()
    assert source.stdout.readline().startswith(b"passed ")
    assert not sent
    server.close()
    criu.close()
    assert [each.wait(10) for each in (there, source)] == [0, 0]


def test_what_is_not_known_goes_through_as_it_is(end: Path) -> None:
    """A CRIU that speaks otherwise: nothing of it is understood, and nothing is changed."""
    (wire, far), (criu, ours), (server, theirs) = (socket.socketpair() for _ in range(3))
    source, there = begin(end, ["0"], wire, ours), begin(end, [], far, theirs)
    for each in (wire, far, ours, theirs):
        each.close()
    said = header(new=True, command=OPEN2) + header(new=True, command=9) + random.Random(9).randbytes(100_003)
    threading.Thread(target=criu.sendall, args=(said,)).start()
    assert server.recv(len(said), socket.MSG_WAITALL) == said
    server.sendall(b"answer")
    assert criu.recv(6, socket.MSG_WAITALL) == b"answer"
    criu.close()
    assert server.recv(1) == b""
    server.close()
    assert [each.wait(10) for each in (there, source)] == [0, 0]
