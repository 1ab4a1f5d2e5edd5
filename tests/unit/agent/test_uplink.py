"""Pages leave by one stream, whichever agent holds it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from umsui.agent.host import Folder, Trouble
from umsui.agent.uplink import Uplink

SSH = ["bash", "-c", "exec -a ssh sleep 60"]  # what it is known by


@pytest.fixture
def uplink(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Uplink:
    """One without a wire: its streams lead nowhere."""

    def stream(self: Uplink, words: str, **more: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(SSH, **more)

    monkeypatch.setattr(Uplink, "stream", stream)
    return Uplink(folder, lambda *_, **__: None)


def test_who_takes_over_ends_the_stream_of_the_agent_before(uplink: Uplink) -> None:
    with subprocess.Popen(SSH, stdout=subprocess.PIPE) as before:
        assert before.stdout is not None
        subprocess.run(["sh", "-c", f"until grep -q ^ssh /proc/{before.pid}/cmdline; do sleep 0.01; done"], check=True)
        uplink.folder.note(streamer=1, stream=before.pid)
        with pytest.raises(Trouble, match="another agent"):
            uplink.page_stream()
        uplink.take_over()
        assert before.stdout.read() == b""  # it has ended
    with uplink.page_stream() as ours:
        uplink.take_over()  # once more, by the same
        assert ours.poll() is None
        assert uplink.folder.state()["streamer"] == os.getpid()
        ours.kill()


def test_an_agent_that_was_left_behind_opens_no_other_stream(uplink: Uplink) -> None:
    uplink.take_over()
    uplink.folder.note(streamer=1)
    with pytest.raises(Trouble, match="another agent"):
        uplink.page_stream()
