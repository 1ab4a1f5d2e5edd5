"""What is done before the service stands still; no kernel has to allow it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from umsui.agent import warm


def test_a_counter_of_nothing_is_open_until_it_is_closed() -> None:
    descriptor = warm.breakpoints()
    if descriptor >= 0:
        assert str(Path(f"/proc/self/fd/{descriptor}").readlink()) == "anon_inode:[perf_event]"
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)


def test_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm.platform, "machine", lambda: "aarch64")
    assert warm.breakpoints() == -1


def test_this_process_goes_to_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.procs").touch()

    class Here:
        path = tmp_path

        def __init__(self, pid: int) -> None:
            assert pid == os.getpid()

    monkeypatch.setattr(warm, "Cgroup", Here)
    warm.cgroups()
    _join()
    assert (tmp_path / "cgroup.procs").read_text() == "0"


@pytest.mark.parametrize("error", [OSError("read-only"), warm.Trouble("no-cgroup", "none of its own")], ids=repr)
def test_where_it_may_not_it_just_takes_longer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def none(_: Any) -> Any:
        raise error

    failed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(warm, "Cgroup", none)
    warm.cgroups()
    _join()
    assert failed == []


def _join() -> None:
    for thread in threading.enumerate():
        if thread.name == "cgroups":
            thread.join(5)
