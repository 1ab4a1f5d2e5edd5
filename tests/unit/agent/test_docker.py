"""What a docker host is asked and given: the runtime's words, the stand-in on the path, the neighbours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from umsui.agent import relay, stand_in
from umsui.agent.docker import Docker
from umsui.agent.host import Folder, Trouble

ID = "ab" * 32


def test_the_runtime_is_asked_where_docker_keeps_its_containers() -> None:
    words = Docker().checkpoint("runc", ID, Path("/i"), Path("/w"))
    assert words[:4] == ["runc", "--root", "/run/docker/runtime-runc/moby", "checkpoint"]
    assert words[-1] == ID


def test_published_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "one\t0.0.0.0:8000->8000/tcp, :::8000->8000/tcp\ntwo\t127.0.0.1:7000-7002->9000-9002/udp, 6379/tcp\nno\t\n"
    monkeypatch.setattr(Docker, "ask", lambda *_, **__: said)
    udp = {("udp", port) for port in range(7000, 7003)}
    assert Docker().containers() == {"one": {("tcp", 8000)}, "two": udp, "no": set()}


@pytest.fixture
def path(folder: Folder, short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's path of two folders; criu is in the second."""
    for name in ("first", "second"):
        (short / name).mkdir()
    (short / "second" / "criu").write_text('#!/bin/sh\necho "the real one: $*"\n')
    (short / "second" / "criu").chmod(0o755)
    for module in (stand_in, relay):
        monkeypatch.setattr(module, "PATH", f"{short}/first:{short}/second")
        monkeypatch.setattr(module, "CONTROL", folder.control.parent)
    (folder.control / "bin").mkdir()
    (folder.control / "bin" / "criu").write_text('#!/bin/sh\necho "the relay: $*"\n')
    (folder.control / "bin" / "criu").chmod(0o755)
    return short


def criu(path: Path, container: str) -> str:
    """What a runtime whose last word is ``container`` meets when it calls criu."""
    runtime = ["sh", "-c", "criu swrk 3; :", "runc", "restore", container]
    environment = {"PATH": f"{path}/first:{path}/second:{os.environ['PATH']}"}
    return subprocess.run(runtime, capture_output=True, text=True, env=environment, check=True).stdout


def test_the_stand_in_is_only_for_the_container_that_waits(folder: Folder, path: Path) -> None:
    stand_in.put(folder, ID)
    stand_in.put(folder, ID)
    assert criu(path, ID) == "the relay: swrk 3\n"
    assert criu(path, "another") == "the real one: swrk 3\n"
    assert relay.real_criu() == str(path / "second" / "criu")
    other = Folder("def456", "destination")
    other.make("docker")
    stand_in.put(other, "cd" * 32)
    stand_in.take(folder)
    stand_in.take(folder)
    assert criu(path, ID) == "the real one: swrk 3\n"
    assert (path / "first" / "criu").is_symlink()  # another migration still needs it
    stand_in.take(other)
    assert list((path / "first").iterdir()) == []
    assert not stand_in.waiting().exists()


def test_a_restore_may_be_known_by_its_images(folder: Folder, path: Path) -> None:
    """Where nobody knows beforehand what the container's id will be."""
    stand_in.put(folder, folder.migration)
    images = path / "images of it"
    images.mkdir()
    runtime = ["sh", "-c", "criu swrk 3; :", "runc", "restore", "--image-path", str(images), "--detach", ID]
    environment = {"PATH": f"{path}/first:{path}/second:{os.environ['PATH']}"}

    def met() -> str:
        return subprocess.run(runtime, capture_output=True, text=True, env=environment, check=True).stdout

    assert met() == "the real one: swrk 3\n"
    (images / stand_in.KEY).write_text(folder.migration)
    assert met() == "the relay: swrk 3\n"
    stand_in.take(folder)
    assert met() == "the real one: swrk 3\n"


def test_after_a_restart_of_the_node_the_link_leads_nowhere_and_harms_nobody(folder: Folder, path: Path) -> None:
    stand_in.put(folder, ID)
    (folder.control.parent / "criu").unlink()
    assert criu(path, ID) == "the real one: swrk 3\n"


def test_a_criu_that_nothing_can_come_before_is_named(folder: Folder, path: Path) -> None:
    (path / "second" / "criu").rename(path / "first" / "criu")
    with pytest.raises(Trouble) as caught:
        stand_in.put(folder, ID)
    assert caught.value.code == "no-stand-in"
    assert caught.value.fix
