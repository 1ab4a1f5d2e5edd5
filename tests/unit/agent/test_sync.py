# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH112, PTH115, PTH116, PTH118, PTH120, PTH123, PTH211
# (names that are no UTF-8 are handled as the agent handles them)
from __future__ import annotations

import os
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umsui import locations
from umsui.agent import sync, wire
from umsui.agent.host import PATH, Folder, Trouble
from umsui.agent.sync import RACY, Root, changed, listed, scan

ODD = [
    b"plain",
    b"\xff\xfe",
    b"new\nline",
    b"#hash",
    b";semi",
    b"-dash",
    b" space ",
    "é".encode(),
    b"a\\b",
    b"*?[",
    b".",
]
NAMES = [os.fsdecode(name) for name in ODD[:-1]]
FOLDERS = ["", "d", "d/#e"]
PLACES = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map(lambda pair: os.path.join(*pair))


def settle() -> None:
    """Until what has been done is no longer racy."""
    time.sleep(RACY / 1e9 + 0.015)


def content(root: str) -> dict[str, Any]:
    """What a tree is, without times."""
    found: dict[str, Any] = {}
    inodes: dict[int, str] = {}
    for path, entry in sorted(sync.entries(root), key=lambda item: item[0]):
        full = os.path.join(root, path)
        what: Any = None
        if stat.S_ISREG(entry.st_mode):
            what = (Path(full).read_bytes(), inodes.setdefault(entry.st_ino, path))
        elif stat.S_ISLNK(entry.st_mode):
            what = os.readlink(full)
        found[path] = (entry.st_mode, what)
    return found


class Tree:
    """Things that a service does to its files."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        for folder in FOLDERS:
            os.makedirs(os.path.join(self.root, folder), exist_ok=True)

    def at(self, path: str) -> str:
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def write(self, path: str, other: str, number: int) -> None:
        with open(self.at(path), "wb") as file:
            file.write(b"%d" % number)

    def rewrite_unseen(self, path: str, other: str, number: int) -> None:
        """The same size, and the mtime set back."""
        full = self.at(path)
        before = os.stat(full)
        with open(full, "r+b") as file:
            file.write(bytes(number % 256 for _ in range(before.st_size)))
        os.utime(full, ns=(before.st_atime_ns, before.st_mtime_ns))

    def sparse(self, path: str, other: str, number: int) -> None:
        with open(self.at(path), "wb") as file:
            file.truncate(1 << 20)
            file.seek(number * 4096)
            file.write(b"x")

    def remove(self, path: str, other: str, number: int) -> None:
        os.unlink(self.at(path))

    def rename(self, path: str, other: str, number: int) -> None:
        os.rename(self.at(path), self.at(other))

    def link(self, path: str, other: str, number: int) -> None:
        os.link(self.at(path), self.at(other))

    def symlink(self, path: str, other: str, number: int) -> None:
        os.symlink(other, self.at(path))

    def chmod(self, path: str, other: str, number: int) -> None:
        os.chmod(self.at(path), 0o600 + number)

    def folder_instead(self, path: str, other: str, number: int) -> None:
        full = self.at(path)
        if os.path.lexists(full) and not os.path.isdir(full):
            os.unlink(full)
        os.makedirs(full, exist_ok=True)

    def remove_folder(self, path: str, other: str, number: int) -> None:
        shutil.rmtree(os.path.join(self.root, "d/#e" if number % 2 else "d"))

    def rename_folder(self, path: str, other: str, number: int) -> None:
        os.rename(self.at("d/#e"), self.at("d/moved"))

    def do(self, deed: str, path: str, other: str, number: int) -> None:
        try:
            getattr(self, deed)(path, other, number)
        except OSError:
            return  # it is not there, or is a folder: the service would have got the same


DEEDS = [
    "write",
    "rewrite_unseen",
    "sparse",
    "remove",
    "rename",
    "link",
    "symlink",
    "chmod",
    "folder_instead",
    "remove_folder",
    "rename_folder",
]
DONE = st.lists(st.tuples(st.sampled_from(DEEDS), PLACES, PLACES, st.integers(0, 63)), max_size=8)
FEW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(st.lists(DONE, min_size=1, max_size=4))
def test_law_no_change_is_overlooked(tmp_path_factory: pytest.TempPathFactory, rounds: list[Any]) -> None:
    """However close to a scan it happens (no waiting in between)."""
    tree = Tree(tmp_path_factory.mktemp("t"))
    root = Root("/", tree.root, "unused")
    before = content(tree.root)
    assert root.observe() == before.keys()
    for deeds in rounds:
        for deed in deeds:
            tree.do(*deed)
        after = content(tree.root)
        seen = root.observe()
        differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert differing <= seen
        before = after


def test_what_has_not_changed_is_not_named(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for number, name in enumerate(NAMES):
        tree.write(f"d/{name}", "", number)
    root = Root("/", tree.root, "unused")
    settle()
    root.observe()
    assert root.observe() == set()
    tree.rewrite_unseen("d/plain", "", 7)
    os.link(tree.at("d/#hash"), tree.at("two"))
    settle()
    assert root.observe() == {"d/plain", "d/#hash", "two"}
    os.unlink(tree.at("two"))
    shutil.rmtree(tree.at("d/#e"))
    settle()
    assert root.observe() == {"two", "d/#hash", "d", "d/#e"}
    assert root.observe() == set()


def test_a_change_right_before_the_scan_is_racy() -> None:
    entry = (1, 0o100644, 0, 0, 5, 0, 1_000_000_000, 0, 1)
    assert changed({"f": entry}, {"f": entry}, 1_000_000_000 + RACY - 1) == {"f"}
    assert changed({"f": entry}, {"f": entry}, 1_000_000_000 + RACY) == set()


def test_files_mapped_shared_always_go(tmp_path: Path) -> None:
    (tmp_path / "map").write_bytes(b"x")
    root = Root("/v", str(tmp_path), "unused")
    root.always = {"map", "gone"}
    settle()
    root.observe()
    assert root.observe() == {"map"}


def test_what_vanishes_while_we_look_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("x")
    real = os.scandir

    def vanishing(path: Any) -> Any:
        if path == str(tmp_path / "a"):
            shutil.rmtree(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert {"a", "b", "b/f"} == scan(str(tmp_path)).keys()


@given(st.sets(st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name)))
def test_law_the_list_for_rsync(names: set[bytes]) -> None:
    given_paths = {os.fsdecode(name) for name in names}
    lines = listed(given_paths).split(b"\0")
    assert lines.pop() == b""
    assert {line[2:] for line in lines} == names
    assert all(line.startswith(b"./") for line in lines)
    for number, line in enumerate(lines):
        assert not any(later == line.rpartition(b"/")[0] for later in lines[number:])


# -- with the real rsync -------------------------------------------------------------------------------------------


def lab_rsync() -> list[str]:
    """The lab's rsync, where this machine has none of its own."""
    for root in sorted((locations.cache_dir() / "lab").glob("rootfs-*")):
        loaders = [*root.glob("usr/lib64/ld-linux-*.so.2"), *root.glob("usr/lib/ld-linux-*.so.1")]
        libraries = [str(path) for path in root.glob("usr/lib/*-linux-gnu")]
        if (root / "usr/bin/rsync").exists() and loaders and libraries:
            return [str(loaders[0]), "--library-path", ":".join(libraries), str(root / "usr/bin/rsync")]
    return []


Send = Callable[[Root], int]


@pytest.fixture
def send(folder: Folder, short: Path, monkeypatch: pytest.MonkeyPatch) -> Send:
    """The final pass, into a folder of this machine."""
    path = PATH
    if shutil.which("rsync", path=PATH) is None:
        words = lab_rsync()
        if not words:
            pytest.skip("rsync is not installed, and the lab has not been prepared")
        path = f"{short}:{PATH}"
        (short / "rsync").write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (short / "rsync").chmod(0o755)
    monkeypatch.setattr(sync, "environment", lambda: {"PATH": path, "LC_ALL": "C.UTF-8"})
    shell = short / "shell"
    shell.write_text(f'#!/bin/sh\nshift\necho "$*" >> {short}/words\nexec sh -c "$*"\n')
    shell.chmod(0o755)

    def pass_on(root: Root, live: bool = False) -> int:
        if live:
            return sync.live_pass(folder, root, str(shell), 0.0)
        log = folder.control / "rsync.log"
        return sync.finish(sync.start(root, str(shell), log, 0.0), root.observe(), log, 20.0)

    return pass_on


def test_a_volume_arrives_byte_for_byte(send: Any, short: Path, tmp_path: Path) -> None:
    tree, there = Tree(tmp_path / "here"), tmp_path / "there"
    there.mkdir()
    (there / "left over").write_text("from a first attempt")
    for number, name in enumerate(NAMES):
        tree.write(f"d/{name}", "", number)
        tree.link(f"d/{name}", f"d/#e/{name}", 0)
        tree.symlink(name, "d/nowhere", 0)
    tree.sparse("hole", "", 9)
    os.mkfifo(tree.at("pipe"))
    root = Root("/data", tree.root, str(there))
    assert send(root, live=True) > 0
    assert content(str(there)) == content(tree.root)
    assert (there / "hole").stat().st_blocks * 512 < 1 << 19

    for number, name in enumerate(NAMES):
        tree.rewrite_unseen(f"d/{name}", "", 64 + number)
        tree.remove(name, "", 0)
    tree.rename_folder("", "", 0)
    tree.folder_instead("hole", "", 0)
    os.unlink(tree.at("pipe"))
    send(root)
    assert content(str(there)) == content(tree.root)
    send(root)
    assert content(str(there)) == content(tree.root)
    asked = (short / "words").read_text().splitlines()
    assert len(asked) == 4  # what was left over there was removed first
    for words in asked:  # the destination's end of the wire lets it
        assert wire.may_receive(shlex.split(words), [str(there)])


def test_what_appears_during_a_pass_and_goes_after_it_is_not_there(
    send: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that no scan has seen must not arrive either: nothing would tell that it has to go again."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    here.chmod(0o710)
    (here / "stays").write_text("x")
    scanned = sync.scan

    def scan_then_write(root: str) -> sync.Snapshot:
        found = scanned(root)
        (here / "passing").write_text("after the scan")
        return found

    root = Root("/data", str(here), str(there))
    monkeypatch.setattr(sync, "scan", scan_then_write)
    send(root, live=True)
    monkeypatch.setattr(sync, "scan", scanned)
    (here / "passing").unlink()
    send(root)
    assert [path.name for path in there.iterdir()] == ["stays"]
    assert there.stat().st_mode & 0o777 == 0o710


RESTLESS = """
cd "$1"; echo hard >hard; echo a >a; n=0
while :; do
  n=$((n+1)); echo $n >.dot; echo $n >>grows; echo x >gone-$n; rm -f gone-$((n-1)); ln -f hard hard-again
  mv -f a b 2>/dev/null || mv -f b a; echo short >truncated
done
"""


def test_what_never_rests_is_whole_when_it_does(send: Any, tmp_path: Path) -> None:
    """Files go and shrink while rsync reads them: the live passes go on, the last one makes up for it."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    for _ in range(8):
        restless = subprocess.Popen(["sh", "-c", RESTLESS, "sh", str(here)], start_new_session=True)
        root = Root("/data", str(here), str(there))
        try:
            for _ in range(3):
                send(root, live=True)
        finally:
            os.killpg(restless.pid, signal.SIGKILL)
            restless.wait()
        send(root)
        assert content(str(there)) == content(str(here))


def test_law_passes_make_them_equal(send: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=5, deadline=None)
    @given(st.lists(DONE, min_size=2, max_size=2))
    def law(rounds: list[Any]) -> None:
        base = tmp_path_factory.mktemp("v")
        tree = Tree(base / "here")
        (base / "there").mkdir()
        root = Root("/data", tree.root, str(base / "there"))
        for number, deeds in enumerate(rounds):
            for deed in deeds:
                tree.do(*deed)
            send(root, live=number == 0)
        assert content(str(base / "there")) == content(tree.root)

    law()


def test_a_failure_has_rsyncs_words(send: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(Trouble, match="rsync ended with") as caught:
        send(Root("/data", str(tmp_path), str(tmp_path / "no" / "such" / "folder")))
    assert caught.value.code == "files-not-copied"


def test_an_rsync_that_hangs_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    process = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE)
    with pytest.raises(Trouble) as caught:
        sync.finish(process, ["a"], log, 0.05)
    assert caught.value.code == "timed-out"
    assert process.wait(5) < 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets the overlay's attributes")
def test_what_an_opaque_folder_hides_goes_too(tmp_path: Path) -> None:
    upper, lower, merged = (tmp_path / name for name in ("upper", "lower", "merged"))
    for base, names in ((lower, ("old", "both")), (upper, ("both", "new")), (merged, ("both", "new"))):
        for folder in ("opaque", "plain"):
            (base / folder).mkdir(parents=True)
            for name in names:
                (base / folder / name).write_text(base.name)
    (merged / "plain" / "old").write_text("lower")
    try:
        os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system has no trusted attributes")
    root = Root("/", str(merged), "unused", upper=str(upper), lower=[str(tmp_path / "no"), str(lower)])
    ours = {f"{folder}{name}" for folder in ("opaque", "plain") for name in ("", "/both", "/new")}
    assert root.observe() == {*ours, "opaque/old"}
