"""Client and AsyncClient against the real application, over a real Unix socket; the engine is a fake."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from tests.waiting import waiting_for
from umsui import errors
from umsui.coordinator import bus as bus_module
from umsui.coordinator import run as run_module
from umsui.coordinator import server as server_module
from umsui.coordinator import streams
from umsui.coordinator.__main__ import listen
from umsui.coordinator.bus import Bus
from umsui.coordinator.client import AsyncClient, Client, ServiceDetail, _UnixConnection
from umsui.coordinator.journal import Journal
from umsui.coordinator.run import Run
from umsui.coordinator.server import application
from umsui.model import Cluster, Event, Exit, Finding, Migration, MigrationRequest, Outcome, Plan

from .world import SPEC, FakeInventory, migration, plan_of, request

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


class Coordinator:
    """The application in a thread."""

    journal: Journal

    def __init__(self, folder: Path) -> None:
        self.path = folder / "c.sock"
        self.bus = Bus()
        self.engine: Any = SimpleNamespace(bus=self.bus, config=SimpleNamespace(path=None))
        self.stopped = threading.Event()
        api = application(self.engine, self.stopped.set)
        self.server = uvicorn.Server(uvicorn.Config(api, log_level="critical", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listen(self.path)]}, daemon=True)
        self.thread.start()
        waiting_for(lambda: self.server.started)
        self.client = Client(self.path)
        self.console = AsyncClient(self.path)

    def run(self, migration_id: str = "aaaa") -> Run:
        self.journal.add(migration(migration_id), request())
        return Run(self.journal.migration(migration_id), self.journal, self.bus)

    def raw(self, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
        connection = _UnixConnection(self.path, 5.0)
        connection.request(method, target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(5)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    made = Coordinator(tmp_path_factory.mktemp("c"))
    yield made
    made.close()


@pytest.fixture
def here(coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Coordinator]:
    """The coordinator with an empty journal."""
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    coordinator.journal = Journal(tmp_path)
    coordinator.engine.journal = coordinator.journal
    coordinator.engine.running = coordinator.journal.running
    coordinator.engine.inventory = FakeInventory()
    coordinator.stopped.clear()
    yield coordinator
    coordinator.journal.close()


# -- what is asked and answered ------------------------------------------------------------------------------------


def test_the_documented_calls_are_the_served_ones(here: Coordinator) -> None:
    documented = set(re.findall(r"`(GET|POST) (/v1/[^` ?]*)", DOCS.read_text()))
    status, openapi = here.raw("GET", "/openapi.json")
    served = {(method.upper(), path) for path, calls in openapi["paths"].items() for method in calls}
    assert status == 200
    assert {(m, re.sub(r"{\w+}", "{}", p)) for m, p in documented} == {
        (m, re.sub(r"{\w+}", "{}", p)) for m, p in served
    }
    assert {"Migration", "Plan", "Cluster", "MigrationRequest"} <= openapi["components"]["schemas"].keys()


async def test_both_clients_get_the_same(here: Coordinator) -> None:
    first, second = migration("aaaa"), replace(migration("bbbb"), started=2.0)
    for each in (first, second):
        here.journal.add(each, request())
    asked: list[tuple[MigrationRequest, str]] = []
    here.engine.plan = plan_of
    here.engine.migrate = lambda wanted, confirm: (asked.append((wanted, confirm)), first)[1]
    here.engine.cancel = here.journal.migration
    full = request(node="n1", max_downtime=0.5, deadline=9.0)

    board = FakeInventory().clusters()
    detail = ServiceDetail(board[0].services[0], SPEC, ("hello", "wörld"))
    for client in (here.client, here.console):

        async def get(name: str, *arguments: Any, client: Any = client) -> Any:
            call = getattr(client, name)
            return await (asyncio.to_thread(call, *arguments) if client is here.client else call(*arguments))

        assert await get("board") == board
        assert await get("refresh") == board
        assert await get("service", "azure-lab/memhog") == detail
        assert await get("plan", full) == plan_of(full)
        assert await get("migrate", full, "memhog") == first
        assert await get("migrations") == [second, first]
        assert await get("cancel", "bbbb") == second
        assert (await get("info"))["migrations_running"] == 2
    assert asked == [(full, "memhog")] * 2
    assert here.engine.inventory.refreshed == 2
    assert here.client.migration("aaaa") == first
    assert len((here.client.info())["recordings"]) > 5


ALL = [
    errors.BadInput,
    errors.Refused,
    errors.Unreachable,
    errors.HostKeyChanged,
    errors.TimedOut,
    errors.CommandFailed,
    errors.Cancelled,
    errors.Unknown,
    errors.UmsuiError,
]


@pytest.mark.parametrize("kind", ALL)
async def test_an_error_arrives_as_what_it_is(here: Coordinator, kind: type[errors.UmsuiError]) -> None:
    def refuse(*_: Any) -> Plan:
        raise kind("what happened", "how to mend it", step="reserve", code="some-code")

    here.engine.plan = refuse
    with pytest.raises(errors.UmsuiError) as caught:
        await asyncio.to_thread(here.client.plan, request())
    with pytest.raises(errors.UmsuiError) as there:
        await here.console.plan(request())
    for error in (caught.value, there.value):
        assert (error.message, error.fix, error.step, error.code) == (
            "what happened",
            "how to mend it",
            "reserve",
            "some-code",
        )
        assert error.exit is kind.exit
        assert type(error) in (kind, *kind.__mro__)
    assert here.raw("POST", "/v1/plans", b'{"service": "a", "to": "b"}')[0] >= 400


def test_every_exit_has_a_class_and_a_status() -> None:
    assert {kind.exit for kind in ALL} == set(Exit) - {Exit.DONE}
    assert {kind.exit for kind in ALL} == server_module.STATUS.keys()


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code", "words"),
    [
        ("POST", "/v1/plans", b'{"to": "b"}', 400, "bad-request", "`service` is missing"),
        (
            "POST",
            "/v1/plans",
            b'{"service": "a", "to": "b", "strategy": "luck"}',
            400,
            "bad-request",
            "stop-copy, pre-copy",
        ),
        ("POST", "/v1/plans", b"{", 400, "bad-request", ""),
        (
            "POST",
            "/v1/migrations",
            b'{"request": {"service": 5, "to": "b"}}',
            400,
            "bad-request",
            "`request.service` = 5",
        ),
        ("GET", "/v1/nonsense", b"", 404, "unknown-call", "GET /v1/nonsense: not found"),
        ("GET", "/v1/plans", b"", 405, "unknown-call", "not allowed"),
        ("GET", "/v1/migrations/zzzz", b"", 400, "unknown-migration", "no migration zzzz"),
        ("GET", "/v1/migrations/zzzz/events", b"", 400, "unknown-migration", "no migration zzzz"),
        ("GET", "/v1/services/azure-lab/nobody", b"", 400, "unknown-service", "nobody"),
        ("GET", "/v1/doctor?node=a/b", b"", 400, "unknown-node", "no node a/b"),
    ],
)
def test_bad_requests_have_the_shape_of_all_errors(
    here: Coordinator, method: str, target: str, body: bytes, status: int, code: str, words: str
) -> None:
    found, document = here.raw(method, target, body)
    assert found == status
    assert document["exit"] == Exit.USAGE.value
    assert document["error"].keys() == {"step", "code", "message", "fix"}
    assert document["error"]["code"] == code
    assert words in document["error"]["message"]
    assert document["error"]["fix"]


def test_a_fault_is_told_as_one(here: Coordinator) -> None:
    def fault(*_: Any) -> Plan:
        raise RuntimeError("oops")

    here.engine.plan = fault
    with pytest.raises(errors.UmsuiError, match="RuntimeError: oops") as caught:
        here.client.plan(request())
    assert caught.value.code == "coordinator-fault"


def test_shutdown_is_refused_while_a_migration_runs(here: Coordinator) -> None:
    here.journal.add(migration(), request())
    with pytest.raises(errors.UmsuiError) as caught:
        here.client.shutdown()
    assert caught.value.code == "busy"
    assert not here.stopped.is_set()
    here.client.shutdown(force=True)
    assert here.stopped.is_set()


# -- events --------------------------------------------------------------------------------------------------------


def numbers(events: list[Event]) -> list[int]:
    return [event.data["n"] for event in events]


def test_recording_and_live_overlap_and_each_event_comes_once(
    here: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module.time, "time", lambda: 7.0)  # all at the same moment
    run = here.run()
    run.log("before")
    read = here.journal.recording

    def meanwhile(migration_id: str) -> Iterator[dict[str, Any]]:
        run.log("listening already, not read yet")
        found = list(read(migration_id))
        run.log("read already, not told yet")
        return iter(found)

    monkeypatch.setattr(here.journal, "recording", meanwhile)
    got: list[Event] = []
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(lambda: got.extend(here.client.events("aaaa")))
        waiting_for(lambda: len(got) >= 3)
        run.log("live")
        here.run("bbbb").log("another's")
        run.emit("outcome", result={})
        following.result(5)
    assert [event.data.get("message") for event in got][:4] == [
        "before",
        "listening already, not read yet",
        "read already, not told yet",
        "live",
    ]
    assert numbers(got) == [0, 1, 2, 3, 4]
    assert got[-1].kind == "outcome"


def test_law_everyone_gets_all_in_order_whenever_they_come(here: Coordinator) -> None:
    run = here.run()
    with ThreadPoolExecutor(12) as pool:
        emitters = [pool.submit(lambda: [run.log("x") for _ in range(60)]) for _ in range(3)]
        followers = []
        for _ in range(6):
            followers.append(pool.submit(lambda: list(here.client.events("aaaa"))))
            time.sleep(0.01)
        for emitter in emitters:
            emitter.result(20)
        run.emit("outcome", result={})
        followers.append(pool.submit(lambda: list(here.client.events("aaaa"))))
        for follower in followers:
            assert numbers(follower.result(20)) == list(range(181))


async def test_the_console_gets_the_same(here: Coordinator) -> None:
    run = here.run()
    for _ in range(3):
        run.log("x")
    stream = here.console.events("aaaa")
    got = [await anext(stream) for _ in range(3)]
    await asyncio.to_thread(run.log, "live")
    await asyncio.sleep(0.12)  # heartbeats come in between
    await asyncio.to_thread(run.emit, "outcome", result={})
    got += [event async for event in stream]
    assert numbers(got) == [0, 1, 2, 3, 4]


def test_a_listener_that_is_too_slow_is_let_go_and_comes_again(
    here: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "BACKLOG", 5)
    run = here.run()
    read = here.journal.recording

    def slow(migration_id: str) -> Iterator[dict[str, Any]]:
        found = list(read(migration_id))
        for _ in range(20):
            run.log("too fast")
        time.sleep(0.1)
        return iter(found)

    monkeypatch.setattr(here.journal, "recording", slow)
    assert list(here.client.events("aaaa")) == []
    monkeypatch.setattr(here.journal, "recording", read)
    run.emit("outcome", result={})
    assert numbers(list(here.client.events("aaaa"))) == list(range(21))
    waiting_for(lambda: not here.bus.watched)


async def test_watch_tells_all_at_the_start_and_then_what_changes(here: Coordinator) -> None:
    here.run("aaaa")
    stream: AsyncIterator[Any] = here.console.watch()
    first = [await anext(stream) for _ in range(3)]
    assert first[:2] == FakeInventory().clusters()
    assert first[2] == migration("aaaa")
    run = Run(here.journal.migration("aaaa"), here.journal, here.bus)
    await asyncio.to_thread(run.log, "x")
    await asyncio.to_thread(run.change, processes=7)
    event, changed = await anext(stream), await anext(stream)
    assert isinstance(event, Event)
    assert isinstance(changed, Migration)
    assert changed.processes == 7


async def test_a_watcher_that_lags_gets_everything_again(here: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "BACKLOG", 5)
    stream: AsyncIterator[Any] = here.console.watch()
    assert isinstance(await anext(stream), Cluster)
    queue = next(iter(here.bus._queues))
    here.server.servers[0].get_loop().call_soon_threadsafe(lambda: [here.bus._spread(("event", 1)) for _ in range(9)])
    seen = [await anext(stream) for _ in range(3)]
    assert [each.name for each in seen] == ["gcp-lab", "azure-lab", "gcp-lab"]
    assert queue not in here.bus._queues


async def test_a_watcher_that_goes_is_forgotten(here: Coordinator) -> None:
    stream: Any = here.console.watch()
    await anext(stream)
    assert here.bus.watched
    await stream.aclose()
    await asyncio.to_thread(waiting_for, lambda: not here.bus.watched)


# -- a coordinator that is none, or dies ---------------------------------------------------------------------------


class Impostor:
    """Answers every connection with these bytes and hangs up."""

    def __init__(self, path: Path, words: bytes) -> None:
        self.path = path
        self.socket = listen(path)
        self.words = words
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            caller, _ = self.socket.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(self.words)
                caller.shutdown(socket.SHUT_WR)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n"
DYING = {
    "silence": b"",
    "half a status": b"HTTP/1.",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "no status": b"HTTP/1.1 OK yes\r\n\r\n",
    "half a body": OK + b'Content-Length: 500\r\n\r\n[{"name": "azu',
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n50\r\nabc",
    "no JSON": OK + b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("words", DYING.values(), ids=DYING.keys())
async def test_a_coordinator_that_dies_is_unreachable(tmp_path: Path, words: bytes) -> None:
    path = Impostor(tmp_path / "c.sock", words).path
    for call in (lambda: asyncio.to_thread(Client(path).board), AsyncClient(path).board):
        with pytest.raises(errors.Unreachable) as caught:
            await call()
        assert caught.value.code == "no-coordinator"
        assert "umsui coordinator status" in caught.value.fix


@pytest.mark.parametrize("what", ["silence", "half a status", "no HTTP", "no status", "half a line", "half a chunk"])
async def test_a_stream_that_breaks_is_unreachable(tmp_path: Path, what: str) -> None:
    words = {**DYING, "half a line": OK + b'\r\ndata: {"t": 1, "migra\n'}[what]
    path = Impostor(tmp_path / "c.sock", words).path
    with pytest.raises(errors.Unreachable):
        await asyncio.to_thread(lambda: list(Client(path).events("aaaa")))
    if what != "half a chunk":  # it speaks HTTP/1.0, which knows no chunks
        with pytest.raises(errors.Unreachable):
            [event async for event in AsyncClient(path).events("aaaa")]


async def test_nobody_is_there(tmp_path: Path) -> None:
    client, console = Client(tmp_path / "none"), AsyncClient(tmp_path / "none")
    calls: list[Callable[[], Any]] = [client.info, client.migrations, lambda: list(client.events("a")), client.shutdown]
    for call in calls:
        with pytest.raises(errors.Unreachable):
            call()
    with pytest.raises(errors.Unreachable):
        await console.board()
    with pytest.raises(errors.Unreachable):
        await anext(console.watch())


async def test_a_coordinator_of_another_version(tmp_path: Path) -> None:
    body = b'[{"nom": "azure"}]'
    path = Impostor(tmp_path / "c.sock", OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)).path
    for call in (lambda: asyncio.to_thread(Client(path).board), AsyncClient(path).board):
        with pytest.raises(errors.UmsuiError) as caught:
            await call()
        assert caught.value.code == "other-version"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error": 5, "exit": 2}', b'{"error": {"message": "x"}, "exit": 77}']
)
def test_an_error_that_is_not_ours(tmp_path: Path, body: bytes) -> None:
    words = b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with pytest.raises(errors.UmsuiError, match="answered 503") as caught:
        Client(Impostor(tmp_path / "c.sock", words).path).board()
    assert caught.value.code == "coordinator-fault"


def test_an_outcome_that_was_never_recorded_is_told_all_the_same(here: Coordinator) -> None:
    run = here.run()
    run.log("a line")
    here.journal.update(replace(run.migration, outcome=Outcome.ROLLED_BACK, finished=5.0))
    events = list(here.client.events("aaaa"))
    assert [event.kind for event in events] == ["log", "outcome"]
    assert events[1].data["result"]["outcome"] == "rolled-back"


def test_a_service_that_moves_already_is_a_conflict(here: Coordinator) -> None:
    def busy(asked: MigrationRequest, confirm: str) -> Migration:
        raise errors.BadInput("it is being moved already", "watch it", code="already-moving")

    here.engine.migrate = busy
    status, body = here.raw("POST", "/v1/migrations", b'{"request": {"service": "a", "to": "b"}}')
    assert (status, body["error"]["code"], body["exit"]) == (409, "already-moving", Exit.USAGE.value)


def test_a_node_that_does_not_answer_hides_no_other(here: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    class Probes:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def node(self, end: Any) -> Any:
            if end.place.cluster == "azure-lab":
                raise errors.Unreachable("nothing listens there", "start sshd")
            return end.place

    monkeypatch.setattr(server_module, "Probes", Probes)
    monkeypatch.setattr(server_module, "doctor", lambda where, _: [Finding("fine", True, False, "all", where=where)])
    found = here.client.doctor()
    assert [(each.where, each.ok, each.fix) for each in found] == [
        ("azure-lab/n1", False, "start sshd"),
        ("gcp-lab/n1", True, ""),
    ]
