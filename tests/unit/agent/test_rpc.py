"""Requests to CRIU, read and amended; and a checkpoint of one engine made to fit the other."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui.agent import crossing, rpc
from umsui.agent.host import Folder


def request(kind: bytes, options: bytes) -> bytes:
    return kind + rpc.text(rpc.OPTIONS, options)


@given(st.lists(st.tuples(st.integers(1, 2000), st.one_of(st.integers(0, 1 << 40), st.binary(max_size=300)))))
def test_what_is_written_is_read(written: list[rpc.Field]) -> None:
    parts = [rpc.number(f, v) if isinstance(v, int) else rpc.text(f, v) for f, v in written]
    assert list(rpc.fields(b"".join(parts))) == written


def test_what_comes_last_holds_and_the_rest_stays() -> None:
    asked = request(rpc.RESTORE, rpc.number(rpc.IMAGES_DIR_FD, 200) + rpc.number(rpc.LAZY_PAGES, 0))
    amended = rpc.amended(asked, rpc.number(rpc.LAZY_PAGES, 1))
    assert amended.startswith(asked)
    assert (rpc.number_in(amended, rpc.IMAGES_DIR_FD), rpc.number_in(amended, rpc.LAZY_PAGES)) == (200, 1)
    assert rpc.number_in(amended, rpc.WORK_DIR_FD) == -1


def test_a_restore_is_told_of_what_the_runtime_does_not_bring(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "CONTROL", Path("/run/umsui"))
    root = folder.control / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hostname").write_text("theirs")
    folder.note(roots=[str(root)])
    keys = (b"/etc/hosts", b"/dev/shm", b"/run/.containerenv", b"/etc/hostname", None)
    entries = [rpc.number(2, 5) + (rpc.text(crossing.ENTRY_EXT_KEY, key) if key else b"") for key in keys]
    body = b"".join(struct.pack("<I", len(each)) + each for each in entries)
    (folder.images / "mountpoints-12.img").write_bytes(b"\0" * 8 + body)
    hosts = rpc.text(1, b"/etc/hosts") + rpc.text(2, b"/var/lib/docker/hosts")
    asked = request(rpc.RESTORE, rpc.number(rpc.IMAGES_DIR_FD, 7) + rpc.text(rpc.EXT_MNT, hosts))
    told = [dict(rpc.fields(each)) for each in rpc.messages(crossing.fitted(asked, folder), rpc.EXT_MNT)]
    assert [(each[1], each[2]) for each in told] == [
        (b"/etc/hosts", b"/var/lib/docker/hosts"),
        (b"/dev/shm", b"/run/umsui/abc123.shm"),
        (b"/run/.containerenv", b"/dev/null"),
        (b"/etc/hostname", b"/dev/null"),
    ]
    assert (root / "run" / ".containerenv").read_bytes() == b""  # what is to be mounted over is there
    assert (root / "etc" / "hostname").read_text() == "theirs"
    assert sorted(each.name for each in root.iterdir()) == ["etc", "run"]


def test_what_is_mounted_over_is_never_made_outside(folder: Folder, tmp_path: Path) -> None:
    """A service could put a link there that leads out of its root file system."""
    root = folder.control / "root"
    root.mkdir()
    (root / "etc").symlink_to(tmp_path)
    folder.note(roots=[str(root)])
    entry = rpc.text(crossing.ENTRY_EXT_KEY, b"/etc/resolv.conf")
    (folder.images / "mountpoints-12.img").write_bytes(b"\0" * 8 + struct.pack("<I", len(entry)) + entry)
    with pytest.raises(NotADirectoryError):
        crossing.fitted(request(rpc.RESTORE, rpc.number(rpc.IMAGES_DIR_FD, 7)), folder)
    assert list(tmp_path.iterdir()) == []
