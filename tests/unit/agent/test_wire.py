from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from umsui.agent import wire
from umsui.agent.host import Folder

REPO = Path(__file__).parents[3]
GOOD = ["rsync", "--server", "-logDtpHAXSIre.iLsfxCIvu", "--numeric-ids", "--delete", "--force", ".", "/roots/one/"]


def test_the_receiving_rsync_may_write_into_a_root() -> None:
    assert wire.may_receive(GOOD, ["/roots/two", "/roots/one"])
    assert wire.may_receive(GOOD, ["/roots/one/"])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["rsync"],
        ["rsync", "--server", ".", "/"],
        ["sh", *GOOD[1:]],
        [*GOOD[:-1], "/etc/"],
        [*GOOD[:-1], "/roots/one/../../etc/"],
        [*GOOD[:-1], "/roots/one"],
        [*GOOD, "/etc/"],
        [*GOOD[:-2], "/etc/", "/roots/one/"],
        [*GOOD[:2], "--sender", *GOOD[2:]],
        [*GOOD[:2], "--log-file=.bashrc", *GOOD[2:]],
        [*GOOD[:2], "--log-file=/etc/cron.d/x", *GOOD[2:]],
        [*GOOD[:2], "--backup-dir=/etc", *GOOD[2:]],
        [*GOOD[:2], "-T", "/etc", *GOOD[2:]],
        [*GOOD[:2], "--link-dest=/etc", *GOOD[2:]],
        [*GOOD[:2], "--daemon", *GOOD[2:]],
        [*GOOD[:2], "-s", *GOOD[2:]],
        [*GOOD[:2], "-logsre.iLsf", *GOOD[3:]],
        [*GOOD[:2], "--secluded-args", *GOOD[2:]],
    ],
    ids=" ".join,
)
def test_and_nothing_else(words: list[str]) -> None:
    assert not wire.may_receive(words, ["/roots/one", "/roots/two"])


def test_without_roots_nothing() -> None:
    assert not wire.may_receive(GOOD, [])


class World:
    def __init__(self, short: Path) -> None:
        self.short = short
        self.folder = Folder("abc123", "destination")

    def run(self, words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """One stream, as sshd starts it."""
        program = f"""
import sys
from pathlib import Path
from umsui.agent import host, wire
host.CONTROL, host.IMAGES = Path({str(self.short / "run")!r}), Path({str(self.short / "shm")!r})
sys.exit(wire.main("abc123"))
"""
        environment = {**os.environ, "SSH_ORIGINAL_COMMAND": words}
        argv = [sys.executable, "-c", program]
        return subprocess.run(argv, input=data, capture_output=True, env=environment, cwd=REPO, timeout=20, check=False)


@pytest.fixture
def world(folder: Folder, short: Path) -> World:
    made = World(short)
    made.folder.make("podman")
    return made


@pytest.mark.parametrize("words", ["", "sh", "bash -i", "pages", "rsync --server . /etc/", "images; sh", "image x"])
def test_other_commands_are_refused(world: World, words: str) -> None:
    done = world.run(words)
    assert done.returncode == 1
    assert b"umsui wire: " in done.stderr
    assert done.stdout == b""


def test_a_migration_that_is_over_takes_nothing(world: World) -> None:
    world.folder.remove()
    done = world.run("images")
    assert b"this migration is over" in done.stderr


def archive(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
            member.size = 3 if kind == tarfile.REGTYPE else 0
            made.addfile(member, io.BytesIO(b"abc"))
    return packed.getvalue()


@pytest.mark.parametrize("name", ["../x", "/tmp/umsui-x", "a/b", ".hidden", ".."])
def test_a_checkpoint_file_is_no_path(world: World, name: str) -> None:
    done = world.run("images", archive("core-1.img", name))
    assert done.returncode == 1
    assert b"is no checkpoint file" in done.stderr
    assert [path.name for path in world.folder.images.iterdir()] == ["core-1.img"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_nor_anything_but_a_file(world: World, kind: bytes) -> None:
    done = world.run("images", archive("core-1.img", kind=kind))
    assert done.returncode == 1
    assert list(world.folder.images.iterdir()) == []


def test_half_a_checkpoint_starts_nothing(world: World) -> None:
    done = world.run("images", archive("core-1.img"))
    assert done.stdout == b"ready\n"
    assert b"the checkpoint ended early" in done.stderr
