from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.waiting import waiting_for
from umsui.agent.framing import Reader, encode
from umsui.core import session as session_module
from umsui.core.session import AgentError, Session
from umsui.core.shipping import package
from umsui.errors import CommandFailed, TimedOut, Unreachable

HELLO = {"event": "hello", "pid": 77}


class Wire:
    """A stream and the transport that opens it; ``say`` is the agent's end."""

    def __init__(self) -> None:
        self.incoming: queue.Queue[bytes] = queue.Queue()
        self.written = bytearray()
        self.closed = 0
        self.rest = b""
        self.broken: Exception | None = None
        self.argv: Sequence[str] = ()

    def open(self, argv: Sequence[str]) -> Wire:
        self.argv = argv
        return self

    def say(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.incoming.put(encode(message))

    def hang_up(self) -> None:
        self.incoming.put(b"")

    def read(self, size: int) -> bytes:
        if not self.rest:
            self.rest = self.incoming.get()
        part, self.rest = self.rest[:size], self.rest[size:]
        return part

    def write(self, data: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.written += data

    def close(self) -> None:
        self.closed += 1
        self.hang_up()

    def stderr_tail(self) -> str:
        return "python3: not found"

    def asked(self) -> list[dict[str, Any]]:
        data = bytes(self.written[len(package().data) :])
        position = [0]

        def read(size: int) -> bytes:
            part = data[position[0] : position[0] + size]
            position[0] += len(part)
            return part

        reader, found = Reader(read), []
        while (message := reader.next()) is not None:
            found.append(message)
        return [message for message in found if "id" in message]

    def next_question(self, number: int) -> dict[str, Any]:
        waiting_for(lambda: len(self.asked()) >= number)
        return self.asked()[number - 1]


@pytest.fixture
def wire() -> Wire:
    return Wire()


Events = list[tuple[str, str, Any]]


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def session(wire: Wire, events: Events) -> Iterator[Session]:
    wire.say(HELLO)
    made = Session(wire, "gcp-lab/n1", "root", lambda *event: events.append(event))  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(30) as made:
        yield made


def test_it_ships_the_package_and_greets(wire: Wire, session: Session) -> None:
    assert session.pid == 77
    assert session.alive
    assert wire.argv == package().command("root")
    assert bytes(wire.written[: len(package().data)]) == package().data


def test_who_is_not_root_is_with_sudo(wire: Wire) -> None:
    wire.say(HELLO)
    Session(wire, "a/b", "ops").close()  # type: ignore[arg-type]
    assert wire.argv[:3] == ["sudo", "-n", "python3"]


def test_question_and_answer(wire: Wire, session: Session, pool: ThreadPoolExecutor) -> None:
    asking = pool.submit(session.call, "source.copy", roots=[1], migration="m")
    question = wire.next_question(1)
    assert question == {"id": 1, "method": "source.copy", "params": {"roots": [1], "migration": "m"}}
    wire.say({"id": 1, "result": {"bytes": 5}})
    assert asking.result(5) == {"bytes": 5}


def test_answers_in_any_order(wire: Wire, session: Session, pool: ThreadPoolExecutor) -> None:
    asking = [pool.submit(session.call, "echo", n=n) for n in range(20)]
    wire.next_question(20)
    for question in reversed(wire.asked()):
        wire.say({"id": question["id"], "result": question["params"]})
    assert [each.result(5)["n"] for each in asking] == list(range(20))


def test_events_in_between(wire: Wire, session: Session, events: Events, pool: ThreadPoolExecutor) -> None:
    asking = pool.submit(session.call, "x")
    wire.next_question(1)
    wire.say({"event": "step", "migration": "m", "data": {"step": "freeze"}}, {"event": "log"}, {"id": 1, "result": {}})
    assert asking.result(5) == {}
    assert events == [("step", "m", {"step": "freeze"}), ("log", "", {})]


def test_an_event_that_cannot_be_noted_costs_no_answer(wire: Wire, pool: ThreadPoolExecutor) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    wire.say(HELLO)
    session = Session(wire, "a/b", "root", fail)  # type: ignore[arg-type]
    asking = pool.submit(session.call, "x")
    wire.next_question(1)
    wire.say({"event": "log"}, {"id": 1, "result": {"fine": 1}})
    assert asking.result(5) == {"fine": 1}
    session.close()


def test_a_failed_step(wire: Wire, session: Session, pool: ThreadPoolExecutor) -> None:
    asking = pool.submit(session.call, "source.arm")
    wire.next_question(1)
    wire.say({"id": 1, "error": {"code": "paused", "message": "it is paused", "fix": "unpause it"}})
    with pytest.raises(AgentError) as caught:
        asking.result(5)
    error = caught.value
    assert (error.code, error.message, error.fix) == ("paused", "gcp-lab/n1: it is paused", "unpause it")


def test_no_answer_in_time_and_then_one(wire: Wire, session: Session, pool: ThreadPoolExecutor) -> None:
    with pytest.raises(TimedOut, match=r"gcp-lab/n1 did not answer slow within 0.02 s"):
        session.call("slow", 0.02)
    assert not session._waiting
    wire.say({"id": 1, "result": {"late": True}}, {"id": 99, "result": {}})
    asking = pool.submit(session.call, "next")
    wire.next_question(2)
    wire.say({"id": 2, "result": {"late": False}})
    assert asking.result(5) == {"late": False}


@pytest.mark.parametrize(
    "end",
    [
        lambda wire: wire.hang_up(),
        lambda wire: wire.incoming.put(b"\xff\xff\xff\xff"),
        lambda wire: wire.say({"nonsense": 1}),
        lambda wire: wire.say({"id": "x"}),
        lambda wire: wire.say({"id": 1, "error": {"code": "no words"}}),
        lambda wire: wire.say({"id": 1, "error": 5}),
    ],
    ids=["hangs up", "too long", "no event", "no number", "half an error", "no error"],
)
def test_an_agent_that_goes_or_talks_nonsense(
    wire: Wire, session: Session, pool: ThreadPoolExecutor, end: Callable[[Wire], None]
) -> None:
    asking = [pool.submit(session.call, "x") for _ in range(3)]
    wire.next_question(3)
    end(wire)
    for each in asking:
        with pytest.raises(Unreachable) as caught:
            each.result(5)
        assert caught.value.code == "agent-gone"
    assert not session.alive
    with pytest.raises(Unreachable, match=r"gcp-lab/n1 is gone: ."):
        session.call("x")


def test_an_agent_that_goes_has_last_words(wire: Wire, session: Session) -> None:
    wire.hang_up()
    waiting_for(lambda: not session.alive)
    with pytest.raises(Unreachable, match="is gone: python3: not found"):
        session.call("x")


@pytest.mark.parametrize("error", [OSError(32, "Broken pipe"), Unreachable("the link is gone")], ids=repr)
def test_a_link_that_breaks_while_asking(wire: Wire, session: Session, error: Exception) -> None:
    wire.broken = error
    with pytest.raises(Unreachable):
        session.call("x")
    assert not session._waiting


def test_a_question_that_is_too_long(session: Session, pool: ThreadPoolExecutor, wire: Wire) -> None:
    with pytest.raises(CommandFailed) as caught:
        session.call("x", text="y" * (17 << 20))
    assert caught.value.code == "too-long"
    asking = pool.submit(session.call, "next")
    wire.next_question(1)
    wire.say({"id": 2, "result": {}})
    assert asking.result(5) == {}


@pytest.mark.parametrize("first", [b"", b"\xff\xff\xff\xff", encode({"event": "other"}), encode({"id": 1})])
def test_what_does_not_greet_is_no_agent(wire: Wire, first: bytes) -> None:
    wire.incoming.put(first)
    with pytest.raises(Unreachable, match="python3: not found") as caught:
        Session(wire, "gcp-lab/n1")  # type: ignore[arg-type]
    assert caught.value.code == "no-agent"
    assert "sudo -n python3" in caught.value.fix
    assert wire.closed


def test_what_an_engine_says_instead_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "stderr_tail", str)
    wire.incoming.put(b"OCI runtime exec failed: no such process\n")
    with pytest.raises(Unreachable, match=r"does not start on gcp-lab/n1: OCI runtime exec failed: no such process$"):
        Session(wire, "gcp-lab/n1")  # type: ignore[arg-type]


def test_what_says_nothing_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "START", 0.05)
    began = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        Session(wire, "gcp-lab/n1")  # type: ignore[arg-type]
    assert caught.value.code == "no-agent"
    assert time.monotonic() - began < 2
    assert wire.closed


def test_a_link_that_breaks_while_shipping(wire: Wire) -> None:
    wire.broken = Unreachable("the link is gone")
    with pytest.raises(Unreachable, match="the link is gone"):
        Session(wire, "gcp-lab/n1")  # type: ignore[arg-type]
    assert wire.closed


def test_it_keeps_the_lease_until_it_is_closed(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "HEARTBEAT", 0.01)
    wire.say(HELLO)
    session = Session(wire, "gcp-lab/n1")  # type: ignore[arg-type]
    beat = encode({"beat": True})
    waiting_for(lambda: wire.written.count(beat) > 3)
    session.close()
    session.close()
    time.sleep(0.03)
    count = wire.written.count(beat)
    time.sleep(0.05)
    assert wire.written.count(beat) == count
    waiting_for(lambda: not session.alive)
    assert not [t for t in threading.enumerate() if t.name.endswith("gcp-lab/n1") and t.is_alive()]
