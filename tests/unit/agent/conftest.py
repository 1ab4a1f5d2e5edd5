from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from umsui.agent import host
from umsui.agent.host import Folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name is short enough for Unix sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="ua-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder(short: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A migration's two folders, made."""
    monkeypatch.setattr(host, "CONTROL", short / "run")
    monkeypatch.setattr(host, "IMAGES", short / "shm")
    made = Folder("abc123", "source")
    made.make("podman")
    return made
