from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.waiting import waiting_for
from umsui.agent import engine, guard
from umsui.agent.destination import edit_authorized_keys
from umsui.agent.host import (
    Cgroup,
    Folder,
    Trouble,
    alive,
    awaits_child,
    private_folder,
    run,
    spawn,
    wait_gone,
    write_atomically,
)

ROOT = Path(__file__).parents[3]


# -- folders and state ---------------------------------------------------------------------------------------------


def test_folders_are_private_and_go_without_a_trace(folder: Folder, short: Path) -> None:
    folder.make("podman")
    for path in (folder.control, folder.images):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    other = Folder("def456", "source")
    other.make("podman")
    folder.note(a=1)
    folder.remove()
    folder.remove()
    assert not folder.exists
    assert other.exists
    other.remove()
    assert list(short.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "a b", "../../etc"])
def test_an_id_is_no_path(name: str) -> None:
    with pytest.raises(Trouble) as caught:
        Folder(name, "source")
    assert caught.value.code == "bad-input"


def test_a_planted_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Trouble, match="belongs to someone else"):
        private_folder(tmp_path / "link")
    if os.geteuid() == 0:
        os.chown(tmp_path / "real", 12345, 12345)
        with pytest.raises(Trouble, match="belongs to someone else"):
            private_folder(tmp_path / "real")


def test_no_change_of_the_state_is_lost(folder: Folder) -> None:
    """Threads and another process note at the same time; whoever reads sees a whole state."""
    note = (
        f"from umsui.agent import host; from pathlib import Path; host.CONTROL = Path({str(folder.control.parent)!r})\n"
    )
    note += "folder = host.Folder('abc123', 'source')\nfor k in range(100): folder.note(**{'p%d' % k: k})"
    other = subprocess.Popen([sys.executable, "-c", note], cwd=ROOT)
    stop, seen = threading.Event(), [0]

    def read() -> None:
        while not stop.is_set():
            now = len(folder.state())  # whole JSON each time
            assert now >= seen[0]
            seen[0] = now

    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        list(pool.map(lambda n: [folder.note(**{f"t{n}-{k}": k}) for k in range(50)], range(4)))
        assert other.wait(20) == 0
        stop.set()
        reading.result(5)
    assert len(folder.state()) == 300
    assert sorted(path.name for path in folder.control.iterdir()) == ["approach", "engine", "state.json"]


def test_a_state_that_was_not_noted_is_empty(folder: Folder) -> None:
    assert folder.state() == {}
    assert folder.note(pid=5) == {"pid": 5}
    assert folder.note(voted=True) == {"pid": 5, "voted": True}
    folder.remove()
    assert folder.state() == {}
    with pytest.raises(OSError, match="abc123"):
        folder.note(a=1)


def test_a_write_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old", 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


# -- commands and processes ----------------------------------------------------------------------------------------


def test_commands_say_how_they_failed() -> None:
    assert run(["echo", "a"]) == "a\n"
    cases = {
        "missing-tool": ["no-such-tool-here"],
        "timed-out": ["sleep", "9"],
        "mine": ["sh", "-c", "echo no >&2; exit 3"],
    }
    for code, argv in cases.items():
        with pytest.raises(Trouble) as caught:
            run(argv, timeout=0.1 if code == "timed-out" else 5.0, code="mine")
        assert caught.value.code == code
    assert "ended with 3: no" in caught.value.message


def test_alive_and_gone(tmp_path: Path) -> None:
    process = spawn(["sleep", "60"], tmp_path / "log", os.environ)
    assert os.getsid(process.pid) == process.pid
    assert alive(process.pid)
    assert not wait_gone(process.pid, 0.01)
    process.kill()
    assert wait_gone(process.pid, 5)
    assert not alive(process.pid)  # a zombie is not alive
    process.wait()
    assert not alive(process.pid)


# -- the freezer and the guard -------------------------------------------------------------------------------------


class FakeCgroup(Cgroup):
    """A cgroup of files in a folder; ``obeys`` says whether its processes stand still when told."""

    def __init__(self, path: Path, obeys: bool = True) -> None:
        self.path = path
        self.legacy = False
        self.obeys = obeys
        path.mkdir(exist_ok=True)
        self._write(False)

    def _write(self, freeze: bool) -> None:
        super()._write(freeze)
        (self.path / "cgroup.events").write_text(f"populated 1\nfrozen {int(freeze and self.obeys)}\n")


def test_the_freezer(tmp_path: Path) -> None:
    cgroup = FakeCgroup(tmp_path / "g")
    assert not cgroup.frozen()
    cgroup.freeze()
    assert cgroup.frozen()
    assert (cgroup.path / "cgroup.freeze").read_text() == "1"
    cgroup.thaw()
    cgroup.thaw()
    assert not cgroup.frozen()


def test_what_does_not_stand_still_goes_on(tmp_path: Path) -> None:
    cgroup = FakeCgroup(tmp_path / "g", obeys=False)
    with pytest.raises(Trouble) as caught:
        cgroup.freeze(timeout=0.02)
    assert caught.value.code == "not-frozen"
    assert (cgroup.path / "cgroup.freeze").read_text() == "0"


FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.mark.skipif(os.geteuid() != 0 or not FREEZER.is_dir(), reason="needs root and the freezer of cgroup v1")
def test_who_waits_for_the_child_of_its_vfork_gets_past_it() -> None:
    """A shell does so at each command: one freeze in ten would never come about, and CRIU could not seize the shell."""
    group = FREEZER / f"umsui-test-{os.getpid()}"
    group.mkdir()
    shell = subprocess.Popen(["sh", "-c", "while :; do /bin/true; done"])
    try:
        (group / "cgroup.procs").write_text(str(shell.pid))
        cgroup = Cgroup(shell.pid)
        for _ in range(100):
            cgroup.freeze(timeout=2.0)
            assert cgroup.frozen()
            assert not any(awaits_child(pid) for pid in cgroup.pids())
            cgroup.thaw()
            time.sleep(0.002)
    finally:
        Cgroup(shell.pid).thaw()
        shell.kill()
        shell.wait()
        waiting_for(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_its_processes(tmp_path: Path) -> None:
    cgroup = FakeCgroup(tmp_path / "g")
    (cgroup.path / "cgroup.procs").write_text("5\n3\n")
    (cgroup.path / "below").mkdir()
    (cgroup.path / "below" / "cgroup.procs").write_text("3\n9\n")
    assert cgroup.pids() == [3, 5, 9]


@pytest.fixture
def frozen(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> FakeCgroup:
    cgroup = FakeCgroup(folder.control / "g")
    cgroup.freeze()
    monkeypatch.setattr(engine, "Cgroup", lambda pid: cgroup)
    folder.note(pid=os.getpid(), frozen=1.0)
    return cgroup


def test_who_has_not_voted_goes_on(folder: Folder, frozen: FakeCgroup) -> None:
    assert guard.thaw_unless_voted(folder)
    assert not frozen.frozen()
    assert folder.state()["abandoned"] is True


def test_who_has_voted_waits_for_the_decision(folder: Folder, frozen: FakeCgroup) -> None:
    folder.note(voted=True)
    assert not guard.thaw_unless_voted(folder)
    assert frozen.frozen()
    assert "abandoned" not in folder.state()


def test_a_dump_is_not_disturbed(folder: Folder, frozen: FakeCgroup) -> None:
    dump = subprocess.Popen(["sleep", "0.2"])
    folder.note(dump=dump.pid)
    threading.Thread(target=dump.wait, daemon=True).start()
    began = time.monotonic()
    thawing = threading.Thread(target=guard.thaw_unless_voted, args=(folder,))
    thawing.start()
    time.sleep(0.1)
    assert frozen.frozen()
    assert folder.state()["abandoned"]  # the switch sees it, and does not vote any more
    thawing.join(5)
    assert time.monotonic() - began > 0.15
    assert not frozen.frozen()


def test_a_service_that_is_gone_needs_no_thaw(folder: Folder, frozen: FakeCgroup) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    folder.note(pid=gone.pid)
    assert guard.thaw_unless_voted(folder)
    assert frozen.frozen()


@pytest.mark.parametrize(("word", "thawed"), [(b"done", False), (b"", True)], ids=["done", "the agent died"])
def test_the_guard_waits_for_its_agent(
    folder: Folder, frozen: FakeCgroup, monkeypatch: pytest.MonkeyPatch, word: bytes, thawed: bool
) -> None:
    read, write = os.pipe()
    saved = os.dup(0)
    os.dup2(read, 0)
    try:
        threading.Timer(0.05, lambda: (os.write(write, word), os.close(write))).start()
        assert guard.main(folder) == 0
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read)
    assert frozen.frozen() is not thawed


# -- authorized_keys -----------------------------------------------------------------------------------------------

OTHERS = "# mine\n\nssh-ed25519 AAAA ops@laptop\nrestrict ssh-rsa BBBB umsui:other\n"
LINE = 'restrict,command="x" ssh-ed25519 CCCC umsui:abc'


def keys(home: Path) -> Path:
    return home / ".ssh" / "authorized_keys"


def test_a_key_comes_and_goes(tmp_path: Path) -> None:
    keys(tmp_path).parent.mkdir()
    keys(tmp_path).write_text(OTHERS)
    keys(tmp_path).chmod(0o640)
    for _ in range(2):
        edit_authorized_keys(tmp_path, "umsui:abc", LINE)
        assert keys(tmp_path).read_text() == OTHERS + LINE + "\n"
    edit_authorized_keys(tmp_path, "umsui:abc", LINE.replace("CCCC", "DDDD"))
    assert keys(tmp_path).read_text() == OTHERS + LINE.replace("CCCC", "DDDD") + "\n"
    for _ in range(2):
        edit_authorized_keys(tmp_path, "umsui:abc", "")
        assert keys(tmp_path).read_text() == OTHERS
    assert stat.S_IMODE(keys(tmp_path).stat().st_mode) == 0o640
    assert [path.name for path in keys(tmp_path).parent.iterdir()] == ["authorized_keys"]


def test_where_there_were_none(tmp_path: Path) -> None:
    edit_authorized_keys(tmp_path, "umsui:abc", "")
    assert not keys(tmp_path).exists()
    edit_authorized_keys(tmp_path, "umsui:abc", LINE)
    assert stat.S_IMODE(keys(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(keys(tmp_path).parent.stat().st_mode) == 0o700
    edit_authorized_keys(tmp_path, "umsui:abc", "")
    assert keys(tmp_path).read_text() == ""


def test_a_link_stays_one(tmp_path: Path) -> None:
    keys(tmp_path).parent.mkdir()
    (tmp_path / "elsewhere").write_text(OTHERS)
    keys(tmp_path).symlink_to(tmp_path / "elsewhere")
    edit_authorized_keys(tmp_path, "umsui:abc", LINE)
    assert keys(tmp_path).is_symlink()
    assert (tmp_path / "elsewhere").read_text() == OTHERS + LINE + "\n"


def test_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: edit_authorized_keys(tmp_path, f"umsui:{n}", f"key umsui:{n}"), range(100, 140)))
    assert sorted(keys(tmp_path).read_text().splitlines()) == [f"key umsui:{n}" for n in range(100, 140)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: edit_authorized_keys(tmp_path, f"umsui:{n}", ""), range(100, 140)))
    assert keys(tmp_path).read_text() == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.binary(max_size=60).filter(lambda data: b"umsui:abc" not in data and b"\r" not in data))
def test_law_others_lines_are_theirs(tmp_path: Path, before: bytes) -> None:
    keys(tmp_path).parent.mkdir(exist_ok=True)
    keys(tmp_path).write_bytes(before)
    edit_authorized_keys(tmp_path, "umsui:abc", LINE)
    edit_authorized_keys(tmp_path, "umsui:abc", "")
    after = keys(tmp_path).read_bytes()
    assert after == before or after == before + b"\n"
