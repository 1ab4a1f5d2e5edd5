"""Ways into a container: through a program of this machine."""

from __future__ import annotations

import subprocess
import time

import pytest

from umsui.core.within import InPod, Joined
from umsui.errors import BadInput, TimedOut, Unreachable


class Here:
    """Instead of a cluster's API: what would run in a pod runs here."""

    def program(self, transport: object, service: str, argv: list[str]) -> subprocess.Popen[bytes]:
        assert service == "web"
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def way() -> InPod:
    return InPod(Here(), None, "web")  # type: ignore[arg-type]


def test_a_command_has_its_status_its_words_and_an_input_that_does_not_end_before_it(way: InPod) -> None:
    done = way.run(["sh", "-c", "read line; echo got $line; echo bad >&2; exit 3"], stdin=b"this\n")
    assert (done.status, done.stdout, done.stderr) == (3, b"got this\n", b"bad\n")


def test_a_command_that_does_not_end(way: InPod) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match="web"):
        way.run(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - began < 10


def test_a_stream_goes_both_ways_until_it_is_closed(way: InPod) -> None:
    stream = way.open(["cat"])
    stream.write(b"one")
    assert stream.read(100) == b"one"
    stream.close()
    stream.close()
    with pytest.raises(Unreachable):
        stream.write(b"two")


def test_what_it_complained_of(way: InPod) -> None:
    stream = way.open(["sh", "-c", "echo no such thing >&2; exit 1"])
    assert stream.read(100) == b""
    assert isinstance(stream, Joined)
    assert stream.stderr_tail() == "no such thing"


def test_no_command_line_leads_there(way: InPod) -> None:
    with pytest.raises(BadInput):
        way.program(["sh"])
