"""SSH to real hosts: whole, quick, strict, and bounded when things go wrong."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.transports.ssh import SshTransport
from tests.conftest import RunningLab
from umsui.errors import CommandFailed, HostKeyChanged, TimedOut, Unreachable

pytestmark = pytest.mark.lab
HOST = "gcp-1"


@pytest.fixture
def reach(lab: RunningLab) -> Iterator[Callable[..., SshTransport]]:
    """Makes transports that are closed when the test ends."""
    made: list[SshTransport] = []

    def make(host: str = HOST, target: str = "", identity: Path | None = None, **more: Any) -> SshTransport:
        settings: dict[str, Any] = {"known_hosts": lab.lab.known_hosts, **more}
        target = target or lab.host(host).ssh
        made.append(SshTransport(target, identity or lab.lab.identity, **settings))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(reach: Callable[..., SshTransport]) -> SshTransport:
    return reach()


def test_a_command_its_words_its_input_its_status(transport: SshTransport, lab: RunningLab) -> None:
    words = ["a b", "$HOME", "'\"", "", "*", "ü", "new\nline", "--", "-x"]
    done = transport.run(["printf", "%s\\0", *words])
    assert done.stdout.decode().split("\0")[:-1] == words
    done = transport.run(["sh", "-c", "cat; echo bad >&2; exit 3"], stdin=b"in\0put")
    assert (done.status, done.stdout, done.stderr) == (3, b"in\0put", b"bad\n")
    assert transport.run(["sh", "-c", "kill -9 $$"]).status == -1
    assert transport.run(["no-such-command"]).status == 127
    assert (transport.address, transport.port, transport.user) == (lab.host(HOST).address, 22, "root")
    assert f"{transport.address} {transport.host_key}" in lab.lab.known_hosts.read_text()


def test_latency(transport: SshTransport) -> None:
    started = time.perf_counter()
    transport.run(["true"])
    first = time.perf_counter() - started
    times = []
    for _ in range(50):
        started = time.perf_counter()
        transport.run(["true"])
        times.append(time.perf_counter() - started)
    print(f"connect and run: {first * 1e3:.0f} ms; run on the warm connection: {statistics.median(times) * 1e3:.1f} ms")
    assert statistics.median(times) < first


def test_big_input_and_output_at_once(transport: SshTransport) -> None:
    data = os.urandom(8 << 20)
    done = transport.run(["sh", "-c", "tee /dev/stderr"], stdin=data, timeout=60)
    assert done.stdout == data
    assert done.stderr == data


def test_runaway_output_is_cut(transport: SshTransport) -> None:
    with pytest.raises(CommandFailed, match="more than 32 MiB") as caught:
        transport.run(["yes"], timeout=60)
    assert caught.value.code == "too-much-output"
    assert transport.run(["pgrep", "-x", "yes"]).stdout == b""


def test_a_timeout_names_and_kills_the_command(transport: SshTransport) -> None:
    transport.run(["true"])
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"`sleep 4711` on .* did not finish within 0.5 s"):
        transport.run(["sleep", "4711"], timeout=0.5)
    assert time.monotonic() - started < 5.0
    time.sleep(0.2)
    assert transport.run(["pgrep", "-f", "sleep 4711"]).stdout == b""


def test_output_closed_but_not_ended(transport: SshTransport) -> None:
    with pytest.raises(TimedOut, match="did not end"):
        transport.run(["sh", "-c", "exec >&- 2>&-; sleep 30"], timeout=0.5)


def test_64_at_once_over_few_connections(transport: SshTransport) -> None:
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(transport.run(["sh", "-c", f"sleep .05; echo {n}"]).stdout))
        for n in range(64)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"64 runs of 50 ms: {time.monotonic() - started:.2f} s, {len(transport._connections)} connections")
    assert sorted(map(int, answers)) == list(range(64))
    assert len(transport._connections) <= 4


def test_many_streams_do_not_starve_commands(transport: SshTransport) -> None:
    streams = [transport.open(["cat"]) for _ in range(30)]
    for number, stream in enumerate(streams):
        stream.write(b"%d" % number)
    assert transport.run(["echo", "ok"]).stdout == b"ok\n"
    assert [stream.read(10) for stream in streams] == [b"%d" % number for number in range(30)]
    for stream in streams:
        stream.close()
        stream.close()
    assert sum(connection.sessions for connection in transport._connections) == 0


def test_a_stream_carries_50_mb_both_ways(transport: SshTransport) -> None:
    data = os.urandom(50_000_000)
    stream = transport.open(["cat"])

    def feed() -> None:
        stream.write(data)
        stream.finish()

    writer = threading.Thread(target=feed)
    started = time.monotonic()
    writer.start()
    digest = hashlib.sha256()
    while block := stream.read(1 << 18):
        digest.update(block)
    seconds = time.monotonic() - started
    writer.join()
    print(f"50 MB there and back: {seconds:.2f} s, {50 / seconds:.0f} MB/s each way")
    assert seconds < 5.0
    assert digest.digest() == hashlib.sha256(data).digest()
    assert stream.status(5) == 0


def test_a_streams_errors_are_kept_apart_and_never_stall_it(transport: SshTransport) -> None:
    stream = transport.open(
        ["sh", "-c", "head -c 8000000 /dev/zero | tr '\\0' x >&2; echo last words >&2; cat; exit 4"]
    )
    stream.write(b"through")
    stream.finish()
    assert stream.read(100) == b"through"
    assert stream.read(100) == b""
    assert stream.status(5) == 4
    assert stream.stderr_tail().endswith("xlast words")
    assert len(stream.stderr_tail()) <= 4096
    stream.close()
    with pytest.raises(Unreachable):
        stream.write(b"late")


def test_writing_to_a_program_that_has_ended(transport: SshTransport) -> None:
    stream = transport.open(["sh", "-c", "echo no thanks >&2; exit 1"])
    assert stream.read(1) == b""
    with pytest.raises(Unreachable, match="no thanks"):
        stream.write(b"x" * (10 << 20))


def test_a_stopped_reader_stops_the_writer_and_close_frees_it(transport: SshTransport) -> None:
    stream = transport.open(["sleep", "60"])
    written: list[int] = []
    raised: list[Exception] = []

    def feed() -> None:
        try:
            while True:
                stream.write(b"x" * (1 << 20))
                written.append(1)
        except Unreachable as error:
            raised.append(error)

    writer = threading.Thread(target=feed)
    writer.start()
    time.sleep(1.0)
    held = len(written)
    time.sleep(0.3)
    assert len(written) == held < 20  # MiB: the window, not all memory
    stream.close()
    writer.join(5)
    assert not writer.is_alive()
    assert raised


def test_a_cut_connection_is_told_and_made_anew(transport: SshTransport) -> None:
    stream = transport.open(["cat"])
    with pytest.raises(Unreachable, match=r"broke during .*: the host closed it") as caught:
        transport.run(["sh", "-c", "kill -9 $PPID; sleep 5"])
    assert caught.value.code == "connection-lost"
    with pytest.raises(Unreachable):  # never taken for the program's end
        stream.read(1)
    assert transport.run(["echo", "again"]).stdout == b"again\n"


def test_a_silent_peer_is_noticed_within_15_s(transport: SshTransport, lab: RunningLab) -> None:
    stream = transport.open(["cat"])
    pid = int(transport.run(["sh", "-c", "echo $PPID"]).stdout)
    lab.sh(HOST, f"kill -STOP {pid}")
    try:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            transport.run(["true"], timeout=1.0)
        assert time.monotonic() - started < 5.0
        with pytest.raises(Unreachable, match="did not answer"):
            stream.read(1)
        print(f"a stopped sshd was noticed after {time.monotonic() - started:.1f} s")
        assert time.monotonic() - started < 15.0
        assert transport.run(["echo", "again"]).stdout == b"again\n"
    finally:
        lab.sh(HOST, f"kill -CONT {pid}; kill -9 {pid} || true")


def test_an_unknown_host_is_refused(reach: Callable[..., SshTransport], tmp_path: Path) -> None:
    transport = reach(known_hosts=tmp_path / "none")
    with pytest.raises(HostKeyChanged, match=r"not known: it offers ssh-ed25519 SHA256:") as caught:
        transport.run(["true"])
    assert f"ssh-keyscan {transport.address} >> {tmp_path}/none" in caught.value.fix


def test_a_changed_host_key_is_refused(reach: Callable[..., SshTransport], lab: RunningLab, tmp_path: Path) -> None:
    address = lab.host(HOST).address
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True)
    record = tmp_path / "known_hosts"
    record.write_text(f"{address} {(tmp_path / 'k.pub').read_text()}")
    with pytest.raises(HostKeyChanged, match="not the one on record") as caught:
        reach(known_hosts=record).run(["true"])
    assert caught.value.message.count("SHA256:") == 2
    assert f"ssh-keygen -f {record} -R {address}" in caught.value.fix
    lines = [line for line in lab.lab.known_hosts.read_text().splitlines() if line.startswith(address)]
    record.write_text("\n".join(lines) + "\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", record], check=True, capture_output=True)
    assert reach(known_hosts=record).run(["true"]).status == 0  # hashed names


@pytest.mark.parametrize("which", ["absent", "another", "locked"])
def test_let_in_by_no_key(reach: Callable[..., SshTransport], tmp_path: Path, which: str) -> None:
    if which != "absent":
        phrase = "secret" if which == "locked" else ""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", tmp_path / which], check=True)
    with pytest.raises(Unreachable, match="does not let root in") as caught:
        reach(identity=tmp_path / which).run(["true"])
    assert caught.value.code == "auth"
    assert str(tmp_path / which) in caught.value.message
    assert "ssh-copy-id" in caught.value.fix


def test_nobody_answers(reach: Callable[..., SshTransport], lab: RunningLab) -> None:
    nowhere = lab.lab.gateway.rpartition(".")[0] + ".99"
    started = time.monotonic()
    with pytest.raises(Unreachable):
        reach(target=f"root@{nowhere}", connect_timeout=1.0).run(["true"])
    with pytest.raises(Unreachable, match="nothing listens on"):
        reach(target=f"{lab.host(HOST).ssh[:-3]}:1").run(["true"])
    with pytest.raises(Unreachable, match="cannot be resolved"):
        reach(target="root@no-such-name.invalid").run(["true"])
    assert time.monotonic() - started < 8.0


def test_those_who_wait_for_a_connection_share_its_failure(reach: Callable[..., SshTransport], lab: RunningLab) -> None:
    nowhere = lab.lab.gateway.rpartition(".")[0] + ".98"
    transport = reach(target=f"root@{nowhere}", connect_timeout=1.0)
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            transport.run(["true"])
        except Unreachable as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 8
    assert time.monotonic() - started < 6.0


@pytest.mark.parametrize("way", ["ProxyJump", "ProxyCommand"])
def test_through_another_host(reach: Callable[..., SshTransport], lab: RunningLab, tmp_path: Path, way: str) -> None:
    hop, files = lab.host("azure-1"), f"-i {lab.lab.identity} -o UserKnownHostsFile={lab.lab.known_hosts}"
    how = hop.ssh if way == "ProxyJump" else f"ssh {files} -W %h:%p root@{hop.address}"
    config = tmp_path / "config"
    config.write_text(f"Host far\n  HostName {lab.host(HOST).address}\n  User root\n  {way} {how}\n")
    transport = reach(target="far", config=config)
    seen = transport.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout.split()
    assert seen[0].decode() == hop.address
    assert transport.address == lab.host(HOST).address
    transport.close()
    assert transport.run(["echo", "again"]).stdout == b"again\n"


def test_a_key_from_the_agent(lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", lab.lab.identity], check=True)
        config = tmp_path / "config"
        config.write_text(f"Host *\n  IdentityFile /nonexistent\n  UserKnownHostsFile {lab.lab.known_hosts}\n")
        transport = SshTransport(lab.host(HOST).ssh, config=config)
        assert transport.run(["echo", "hello"]).stdout == b"hello\n"
        transport.close()
    finally:
        agent.terminate()
        agent.wait()


def test_closing_leaves_no_threads(reach: Callable[..., SshTransport]) -> None:
    before = threading.active_count()
    transport = reach()
    transport.run(["true"])
    transport.close()
    transport.close()
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= before
