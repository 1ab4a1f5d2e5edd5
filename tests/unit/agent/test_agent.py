"""The agent as it is shipped: packed, sent over a pipe, checked, started; it leaves nothing behind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from umsui.agent import framing
from umsui.agent.framing import Reader, encode
from umsui.core import shipping
from umsui.core.shipping import package

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the agent must run as root")
AGENT = Path(shipping.__file__).parents[1] / "agent"


def test_the_package_is_the_same_whenever_it_is_packed() -> None:
    first = package()
    package.cache_clear()
    assert package() == first
    with zipfile.ZipFile(BytesIO(first.data)) as archive:
        assert "__main__.py" in archive.namelist()
        assert {item.date_time for item in archive.infolist()} == {shipping.STAMP}
    assert len(first.data) < 144_000


def test_it_is_for_python_3_9_and_needs_nothing_else() -> None:
    for path in AGENT.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        assert not [node for node in ast.walk(tree) if type(node).__name__ == "Match"]
        for node in ast.walk(tree):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("umsui.agent"), (path, name)


class Started:
    def __init__(self, data: bytes | None = None, size: int | None = None, ready: str = "") -> None:
        packed = package()
        argv = [sys.executable, *packed.command("root", ready)[1:]]
        if size is not None:
            argv[-2] = str(size)
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(argv, bufsize=0, env={"PATH": os.defpath}, cwd="/", **pipes)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.stdin.write(packed.data if data is None else data)
        self.reader = Reader(lambda count: os.read(self.stdout.fileno(), count))

    @property
    def file(self) -> Path:
        return Path(f"/run/umsui/agent-{self.process.pid}.pyz")

    def ask(self, number: int, method: str, **params: Any) -> None:
        self.stdin.write(encode({"id": number, "method": method, "params": params}))

    def answer(self) -> Mapping[str, Any]:
        message = self.reader.next()
        assert message is not None
        return message

    def call(self, method: str, **params: Any) -> Any:
        self.ask(1, method, **params)
        found = self.answer()
        assert found["id"] == 1
        return found.get("result", found.get("error"))

    def hang_up(self) -> tuple[int, str]:
        assert self.process.stderr is not None
        self.stdin.close()
        words = self.process.stderr.read().decode()
        return self.process.wait(10), words


@pytest.fixture
def agent() -> Iterator[Started]:
    made = Started()
    yield made
    made.process.kill()
    made.process.wait()


@root_only
def test_it_starts_answers_and_goes(agent: Started) -> None:
    hello = agent.answer()
    assert hello["event"] == "hello"
    assert hello["pid"] == agent.process.pid
    assert not agent.file.exists()
    assert agent.call("ping") == {}
    agent.stdin.write(encode({"beat": True}))
    facts = agent.call("node", engine="podman")
    assert facts["kernel"] == os.uname().release
    assert facts["root"] is True
    assert agent.hang_up() == (0, "")


@root_only
@pytest.mark.parametrize("fits", [True, False])
def test_one_that_is_compiled_already_is_taken_if_it_is_for_this_python(tmp_path: Path, fits: bool) -> None:
    """It is an image's: it stays for the next."""
    ready = tmp_path / package().name
    compiler = shipping.COMPILER if fits else shipping.COMPILER.replace("importlib.util.MAGIC_NUMBER", "bytes(4)")
    argv = [sys.executable, "-ISc", compiler]
    ready.write_bytes(subprocess.run(argv, input=package().data, stdout=subprocess.PIPE, check=True).stdout)
    for _ in range(2):
        started = Started(ready=str(ready))
        assert started.answer()["event"] == "hello"
        assert started.call("ping") == {}
        words = Path(f"/proc/{started.process.pid}/cmdline").read_bytes().split(b"\0")
        assert (os.fsencode(ready) in words) is fits
        assert started.hang_up() == (0, "")
    assert list(tmp_path.iterdir()) == [ready]


@root_only
def test_answers_come_in_any_order(agent: Started) -> None:
    agent.answer()
    port = agent.call("listen")["port"]
    agent.ask(7, "measure", address="127.0.0.1", port=port, bulk=None, seconds=0.1)
    for number in range(10, 40):
        agent.ask(number, "ping")
    got = {agent.answer()["id"] for _ in range(31)}
    assert got == {7, *range(10, 40)}


@root_only
@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nonsense", {}, "bad-input"),
        ("source._log", {"migration": "a1"}, "bad-input"),
        ("source.open", {"migration": "../etc"}, "bad-input"),
        ("listen", {"more": 1}, "agent-fault"),
        ("source.fly", {"migration": "a1"}, "agent-fault"),
        ("source.thaw", {}, "agent-fault"),
    ],
)
def test_what_cannot_be_done_is_said(agent: Started, method: str, params: dict[str, Any], code: str) -> None:
    agent.answer()
    error = agent.call(method, **params)
    assert error["code"] == code
    assert error["message"]
    assert agent.call("ping") == {}


@root_only
def test_a_migrations_folders_come_and_go(agent: Started) -> None:
    agent.answer()
    name = f"unit{os.getpid()}"
    control, images = Path(f"/run/umsui/{name}.source"), Path(f"/dev/shm/umsui/{name}.source")
    try:
        for _ in range(2):
            assert agent.call("source.open", migration=name, engine="podman") == {}
            shipped = zipfile.ZipFile(BytesIO(package().data)).namelist()
            compiled = zipfile.ZipFile(control / "agent.pyz").namelist()  # once, for all that is started from it
            assert compiled == [f"{name}c" for name in shipped]
            assert images.is_dir()
        assert agent.call("source.noted", migration=name) == {"state": {}}
        assert agent.call("source.thaw", migration=name) == {"thawed": False}
        for _ in range(2):
            assert agent.call("source.close", migration=name) == {}
            assert not control.exists()
            assert not images.exists()
    finally:
        agent.call("source.close", migration=name)


@root_only
@pytest.mark.parametrize(
    "noise", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00"], ids=["long", "list", "cut"]
)
def test_a_coordinator_that_speaks_otherwise_is_left(agent: Started, noise: bytes) -> None:
    agent.answer()
    agent.stdin.write(noise)
    assert agent.hang_up()[0] == 0


@root_only
@pytest.mark.parametrize("damage", ["changed", "short"])
def test_a_damaged_package_is_not_started(damage: str) -> None:
    data = package().data
    started = Started(data[:-9] if damage == "short" else data[:500] + b"\0" + data[501:])
    status, words = started.hang_up()
    assert status == 1
    assert f"the agent arrived {'incomplete' if damage == 'short' else 'damaged'}" in words
    assert not started.file.exists()


def test_an_answer_that_is_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from umsui.agent import serve

    sent: list[framing.Message] = []
    monkeypatch.setattr(framing, "LIMIT", 200)
    made = object.__new__(serve.Agent)
    made.writer = framing.Writer(lambda data: sent.append({"size": len(data)}))
    made._method = lambda name: lambda: {"x": "y" * 300}  # type: ignore[method-assign]
    made._answer({"id": 5, "method": "any"})
    assert len(sent) == 1  # not the answer, but that it is too long
