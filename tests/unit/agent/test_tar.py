"""The stand-in for tar on CRIU's path, with the real one behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from umsui.agent import host, relay
from umsui.agent.host import Folder


def test_tar_does_without_gzip_at_both_ends(folder: Folder, tmp_path: Path) -> None:
    """As CRIU calls it; what was packed with gzip, where the stand-in could not be reached, is unpacked with it."""
    relay.install(folder, [])
    tar = folder.control / "tools" / "tar"
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a file").write_text("as it was")
    create = ["--create", "--gzip", "--no-unquote", "--sparse", "--directory", str(tmp_path / "from"), "."]
    for program, magic in ((shutil.which("tar"), b"\x1f\x8b"), (str(tar), b"./")):
        packed = subprocess.run([str(program), *create], stdout=subprocess.PIPE, check=True).stdout
        assert packed.startswith(magic)
        (tmp_path / "image").write_bytes(packed)
        to = tmp_path / "to"
        to.mkdir()
        with (tmp_path / "image").open("rb") as image:
            subprocess.run([tar, "--extract", "--gzip", "--no-unquote", "--directory", to], stdin=image, check=True)
        assert (to / "a file").read_text() == "as it was"
        shutil.rmtree(to)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts")
@pytest.mark.parametrize("options", ["ro", "rw"])
@pytest.mark.parametrize("name", ["", "a", ".a", "..a", "*"])
def test_what_is_empty_and_cannot_be_written_needs_no_tar(
    folder: Folder, tmp_path: Path, options: str, name: str
) -> None:
    relay.install(folder, [])
    tar = folder.control / "tools" / "tar"
    real, program = shutil.which("tar", path=host.PATH), tmp_path / "program"
    program.write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\nexec {real} "$@"\n')
    program.chmod(0o755)
    tar.write_text(tar.read_text().replace(f"exec {real}", f"exec {program}"))
    cover, to = tmp_path / "cover", tmp_path / "to"
    for each in (cover, to):
        each.mkdir()
    script = f"""mount -t tmpfs tmpfs {cover}
        [ -z "$1" ] || ln -s nowhere "{cover}/$1"
        mount -o remount,{options} {cover}
        {tar} --create --gzip --sparse --directory /proc/self/fd/0 . <{cover} >{tmp_path}/image
        {tar} --extract --gzip --directory {to} <{tmp_path}/image"""
    subprocess.run(["unshare", "--mount", "sh", "-ec", script, "sh", name], check=True)
    assert [each.name for each in to.iterdir()] == [name] * bool(name)
    assert (tmp_path / "ran").exists() is (bool(name) or options == "rw")
