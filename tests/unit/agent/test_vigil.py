"""What is done to a container behind a migration's back, as its engine tells of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from umsui.agent import host, vigil
from umsui.agent.engine import Engine
from umsui.agent.host import Folder, Trouble


class Told(Engine):
    """An engine that says what it is told to."""

    name = "told"

    def __init__(self, words: str | Trouble) -> None:
        self.words = words

    def ask(self, *words: str, timeout: float = 30.0, code: str = "command-failed") -> str:
        if isinstance(self.words, Trouble):
            raise self.words
        return self.words + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(host, "CONTROL", tmp_path / "run")
    monkeypatch.setattr(host, "IMAGES", tmp_path / "shm")
    found = Folder("abc", "source")
    found.make("podman")
    return found


CHANGES = [
    ("i|web|paused|7", "paused"),
    ("i|web|exited|0", "exited"),
    ("i|other|running|7", "renamed to other"),
    ("i|web|running|9", "started anew"),
    (Trouble("no-such-service", "no such container"), "removed"),
]


@pytest.mark.parametrize(("now", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_changes(folder: Folder, now: str | Trouble, words: str) -> None:
    before = Told("i|web|running|7")
    vigil.look(folder, before, "web", "the service")
    vigil.look(folder, before, "web", "the service")
    with pytest.raises(Trouble, match=words) as caught:
        vigil.look(folder, Told(now), "web", "the service")
    assert caught.value.code == "changed"
    assert caught.value.fix


def test_an_engine_that_holds_it_tells_nothing(folder: Folder) -> None:
    vigil.look(folder, Told("i|web|running|7"), "web", "the service")
    vigil.look(folder, Told(Trouble("timed-out", "it did not end")), "web", "the service")


@pytest.fixture
def stopped() -> Iterator[int]:
    """A process that stands still."""
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        yield process.pid
        process.kill()


def test_who_was_told_to_end(stopped: int) -> None:
    vigil.refuse_ended([stopped])
    os.kill(stopped, signal.SIGTERM)
    with pytest.raises(Trouble, match="signal 15"):
        vigil.refuse_ended([stopped])


def test_who_has_ended() -> None:
    with pytest.raises(Trouble, match="ended"):
        vigil.refuse_ended([2**22 + 1])
