from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest

from umsui import __version__
from umsui.cli import app, output, session
from umsui.cli import lab as lab_commands
from umsui.errors import (
    BadInput,
    Cancelled,
    CommandFailed,
    HostKeyChanged,
    Refused,
    TimedOut,
    UmsuiError,
    Unknown,
    Unreachable,
)
from umsui.model import ClusterState, Exit, Finding

from .conftest import Umsui
from .fake import BLOCKER, Fake, plan

GROUPS = {
    "lab": ["up", "down", "status", "shape", "prepare", "reset"],
    "coordinator": ["run", "status", "stop"],
    "image": ["build"],
}
ALL = [(name,) for name in app.COMMANDS] + [(group, each) for group, inner in GROUPS.items() for each in inner]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_has_help(umsui: Umsui, command: tuple[str, ...]) -> None:
    answer = umsui(*command, "--help")
    assert answer.code == 0
    assert answer.err == ""
    assert f"umsui {' '.join(command)}" in answer.out
    if len(command) == 1:
        assert "Examples:" in answer.out


def test_help_names_every_command(umsui: Umsui) -> None:
    answer = umsui("-h")
    assert answer.code == 0
    for name in app.COMMANDS:
        assert f"  {name} " in answer.out


def test_version_is_fast() -> None:
    best = 9.0
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "umsui", "--version"], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - began)
        assert done.stdout == f"umsui {__version__}\n"
    print(f"umsui --version: {best * 1000:.0f} ms")
    assert best <= 0.2


def test_inventory_starts_without_heavy_imports() -> None:
    heavy = ("rich", "textual", "fastapi", "dbos", "paramiko")
    code = f"import sys, umsui.cli.inventory, umsui.cli.migrate; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_alone_without_a_terminal_prints_the_clusters(umsui: Umsui) -> None:
    answer = umsui()
    assert answer.code == 0
    assert "azure-lab" in answer.out


def test_clusters(umsui: Umsui) -> None:
    answer = umsui("clusters")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].split() == [
        "CLUSTER",
        "PROVIDER",
        "ORCHESTRATOR",
        "AUTHORITY",
        "STATE",
        "SEEN",
        "NODES",
        "SERVICES",
    ]
    assert "● live" in lines[1]
    assert "✗ unreachable" in lines[3]
    assert "no route to host" in answer.err
    assert "fix: start it" in answer.err


def test_inventory_json(umsui: Umsui) -> None:
    clusters = umsui("clusters", "--json").json
    assert [c["name"] for c in clusters] == ["azure-lab", "gcp-lab", "onprem-lab"]
    assert {"name", "provider", "orchestrator", "authority", "state", "age", "nodes", "services"} <= set(clusters[0])
    assert [n["name"] for n in umsui("nodes", "--json").json] == ["azure-1", "gcp-1", "onprem-1"]
    services = umsui("services", "--cluster", "azure-lab", "--json").json
    assert services[0]["ports"] == [{"host": 8000, "container": 8000, "protocol": "tcp", "address": ""}]
    assert umsui("services", "--cluster", "gcp-lab", "--json").json == []


def test_nodes_and_services_tables(umsui: Umsui) -> None:
    assert "podman 5.4.2" in umsui("nodes").out
    answer = umsui("services")
    assert "azure-lab/memhog" in answer.out
    assert "64.0 MiB" in answer.out
    assert "8000/tcp" in answer.out


def test_a_coordinator_that_has_just_started_is_waited_for(umsui: Umsui, fake: Fake) -> None:
    fake.clusters = [replace(fake.clusters[0], state=ClusterState.CONNECTING)]
    assert len(umsui("clusters", "--json").json) == 3
    assert fake.asked == ["refresh"]
    umsui("clusters", "--refresh")
    assert fake.asked == ["refresh", "refresh"]


def test_no_clusters_yet(umsui: Umsui, fake: Fake) -> None:
    fake.clusters = []
    answer = umsui("clusters")
    assert answer.code == 0
    assert "umsui lab up" in answer.err


@pytest.mark.parametrize("command", ["nodes", "services"])
def test_unknown_cluster_suggests(umsui: Umsui, command: str) -> None:
    answer = umsui(command, "--cluster", "azure-lap")
    assert answer.code == 2
    assert "did you mean `azure-lab`?" in answer.err


def test_unknown_command_suggests(umsui: Umsui) -> None:
    answer = umsui("migrat")
    assert answer.code == 2
    assert "did you mean `umsui migrate`?" in answer.err
    assert umsui("zzz").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan",),
        ("plan", "memhog"),
        ("migrate", "memhog", "--to", "gcp-lab", "--approach", "magic"),
        ("migrate", "memhog", "--to", "gcp-lab", "--bandwidth", "fast"),
        ("migrate", "memhog", "--to", "gcp-lab", "--max-downtime", "0"),
        ("migrations", "--trace"),
        ("clusters", "--jsonn"),
        ("cancel",),
        ("resolve",),
        ("lab", "shape"),
    ],
)
def test_bad_usage(umsui: Umsui, arguments: tuple[str, ...]) -> None:
    answer = umsui(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert "--help` tells" in answer.err


ERRORS: list[tuple[UmsuiError, Exit]] = [
    (UmsuiError("x"), Exit.ROLLED_BACK),
    (CommandFailed("x"), Exit.ROLLED_BACK),
    (BadInput("x"), Exit.USAGE),
    (Refused("x"), Exit.REFUSED),
    (Unreachable("x"), Exit.UNREACHABLE),
    (HostKeyChanged("x"), Exit.UNREACHABLE),
    (TimedOut("x"), Exit.UNREACHABLE),
    (Unknown("x"), Exit.UNKNOWN),
    (Cancelled("x"), Exit.CANCELLED),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=[type(e).__name__ for e, _ in ERRORS])
def test_exit_code_of_each_error(umsui: Umsui, fake: Fake, error: UmsuiError, code: Exit) -> None:
    error.fix, error.step = "do this", "verify"
    fake.raises = error
    answer = umsui("plan", "memhog", "--to", "gcp-lab", "--json")
    assert answer.code == code.value
    assert answer.json == {"error": {"step": "verify", "code": error.code, "message": "x", "fix": "do this"}}
    assert answer.err == "error: x\n  at: verify\n  fix: do this\n"
    plain = umsui("plan", "memhog", "--to", "gcp-lab")
    assert plain.code == code.value
    assert plain.out == ""


def test_a_defect_is_told_as_one(umsui: Umsui, fake: Fake) -> None:
    fake.raises = ZeroDivisionError("oops")  # type: ignore[assignment]
    answer = umsui("plan", "memhog", "--to", "gcp-lab", "--json")
    assert answer.code == 5
    assert answer.json["error"]["code"] == "internal"
    assert "UMSUI_DEBUG" in answer.err


def test_interrupt(umsui: Umsui, fake: Fake) -> None:
    fake.raises = KeyboardInterrupt()  # type: ignore[assignment]
    assert umsui("plan", "memhog", "--to", "gcp-lab").code == 130


def test_broken_pipe() -> None:
    command = f"{sys.executable} -m umsui --help | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_plan(umsui: Umsui) -> None:
    answer = umsui("plan", "memhog", "--to", "gcp-lab")
    assert answer.code == 0
    assert "0.20 s (0.10 - 0.30 s) predicted" in answer.out
    assert "orchestrator-level, stop-copy: the only feasible one" in answer.out
    assert "! note   azure-lab/memhog: 1 open connection" in answer.out
    assert "not built yet" in answer.out
    assert "CRIU 4.2.1" not in answer.out
    assert "CRIU 4.2.1" in umsui("plan", "memhog", "--to", "gcp-lab", "--all").out


def test_plan_json(umsui: Umsui) -> None:
    found = umsui("plan", "memhog", "--to", "gcp-lab", "--json").json
    assert set(found) == {
        "service", "source", "destination", "feasible", "approach", "strategy", "reason", "predicted", "bytes",
        "processes", "endpoint", "verdicts", "findings", "start_first",
    }  # fmt: skip
    assert found["predicted"] == {"downtime": [0.1, 0.2, 0.3], "total": [0.9, 1.1, 1.9]}
    assert set(found["findings"][0]) == {"check", "ok", "blocking", "what", "why", "fix", "where"}
    assert set(found["verdicts"][0]) == {"approach", "strategy", "feasible", "reason", "fix", "predicted"}


def test_plan_that_is_blocked(umsui: Umsui, fake: Fake) -> None:
    fake.planned = plan(findings=(BLOCKER,))
    answer = umsui("plan", "memhog", "--to", "gcp-lab")
    assert answer.code == 3
    assert "✗ blocks gcp-lab/gcp-1: port 8000/tcp is taken there" in answer.out
    assert "fix: stop it" in answer.out
    fake.planned = plan(approach=None, strategy=None, downtime=None, total=None)
    answer = umsui("plan", "memhog", "--to", "gcp-lab", "--json")
    assert answer.code == 3
    assert answer.json["approach"] is None
    assert answer.json["predicted"] == {"downtime": [], "total": []}


def test_request_options(umsui: Umsui, fake: Fake) -> None:
    umsui(
        "plan", "memhog", "--to", "gcp-lab", "--node", "gcp-1", "--approach", "orchestrator", "--strategy", "stop-copy",
        "--max-downtime", "200ms", "--bandwidth", "100mbit", "--deadline", "2min",
    )  # fmt: skip
    request = fake.asked[-1][1]
    assert (request.service, request.to, request.node) == ("memhog", "gcp-lab", "gcp-1")
    assert (request.approach, request.strategy) == ("orchestrator", "stop-copy")
    assert (request.max_downtime, request.bandwidth, request.deadline) == (0.2, 12.5e6, 120)


def test_doctor(umsui: Umsui, fake: Fake) -> None:
    answer = umsui("doctor")
    assert answer.code == 0
    assert "2 checks at 2 nodes, 1 to look at" in answer.err
    umsui("doctor", "gcp-1")
    assert fake.asked[-1] == ("doctor", "gcp-lab/gcp-1")
    umsui("doctor", "gcp-lab/gcp-1")
    assert fake.asked[-1] == ("doctor", "gcp-lab/gcp-1")
    fake.findings = [Finding("criu", False, True, "CRIU is not installed", "it is needed", "apt install criu", "a/b")]
    bad = umsui("doctor", "--json")
    assert bad.code == 3
    assert bad.json[0]["fix"] == "apt install criu"
    for unknown in ("gcp-9", "gcp-lab/gcp-9", "gpc-lab/gcp-1"):
        assert umsui("doctor", unknown).code == 2


def test_coordinator(umsui: Umsui, fake: Fake) -> None:
    assert "pid 7" in umsui("coordinator", "status").out
    assert umsui("coordinator", "status", "--json").json["running"] is True
    assert umsui("coordinator", "stop").code == 0
    assert fake.asked == [("shutdown", False)]
    assert umsui("coordinator", "stop").code == 0
    gone = umsui("coordinator", "status", "--json")
    assert gone.code == 4
    assert gone.json == {"running": False}
    assert umsui("coordinator", "status").code == 4


def test_info(umsui: Umsui, fake: Fake) -> None:
    found = umsui("info", "--json").json
    assert set(found) == {"versions", "paths", "coordinator", "adapters", "libraries"}
    assert found["paths"]["socket"].endswith("coordinator.sock")
    assert found["coordinator"]["pid"] == 7
    fake.running = False
    answer = umsui("info")
    assert answer.code == 0
    assert __version__ in answer.out


def test_lab(umsui: Umsui, fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from pathlib import Path

    import umsui.lab as hosts

    done: list[object] = []
    monkeypatch.setattr(hosts, "up", lambda rate, orchestrator, report: done.append((rate, orchestrator)))
    monkeypatch.setattr(hosts, "down", lambda report: done.append("down"))
    monkeypatch.setattr(hosts, "shape", done.append)
    host = hosts.HostStatus("azure-1", "azure-lab", "10.77.0.11", 7, True, ("memhog",))
    monkeypatch.setattr(hosts, "status", lambda: hosts.Status(0, True, (host,), "1gbit", Path("/x/config.toml"), None))
    config = Path("/elsewhere/config.toml")
    monkeypatch.setattr(lab_commands.locations, "lab_config", lambda: config)

    assert "umsui coordinator stop" in umsui("lab", "up", "--rate", "1gbit").err
    assert umsui("lab", "shape", "none").code == 0
    assert umsui("lab", "down").code == 0
    assert done == [("1gbit", "podman"), None, "down"]
    assert fake.asked == []

    config = Path("/x/config.toml")
    assert "coordinator" not in umsui("lab", "up").err
    assert umsui("lab", "down").code == 0
    assert fake.asked == [("shutdown", True)]

    assert "azure-lab/azure-1" in umsui("lab", "status").out
    status = umsui("lab", "status", "--json").json
    assert status["up"] is True
    assert status["config"] == "/x/config.toml"
    assert status["hosts"][0]["services"] == ["memhog"]


def test_words() -> None:
    assert output.seconds(0.0124) == "12 ms"
    assert output.seconds(99) == "99.00 s"
    assert output.seconds(200) == "3 min 20 s"
    assert output.seconds(7300) == "2 h 1 min"
    assert output.seconds(None) == "-"
    assert output.size(5 << 40) == "5.0 TiB"
    assert output.age(0.2) == "now"
    assert output.age(300) == "5 min ago"
    assert click.unstyle(output.table(("A", "N"), [("xx", "1"), ("y", "22")], right=(1,))) == "A    N\nxx   1\ny   22"


@pytest.mark.parametrize("newer", [False, True])
def test_a_config_that_was_changed_meanwhile_is_mentioned(
    newer: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    session._mention_newer_config({"config": str(config), "started": time.time() + (-60 if newer else 60)})
    assert ("umsui coordinator stop" in capsys.readouterr().err) is newer
    session._mention_newer_config({"config": "", "started": 0.0})
