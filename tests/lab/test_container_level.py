"""Container-level: an unchanged service image, nested, moves between engines; its orchestrators manage it as usual."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.job import Answer, containers, memhog, started, traces, umsui
from umsui.model import Strategy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

PORT = 8100

HOG = f"""
name = "hog"
image = "localhost/umsui/memhog:1"
command = ["MIB=64", "CHILDREN=7"]
ports = ["{PORT}:8000"]
volumes = ["data:/data"]
"""

WEB = f"""
name = "web"
image = "localhost/umsui/nginx:1"
ports = ["{PORT}:80"]
memory = "96MiB"
cpus = 0.75
pids = 40
stop_signal = "SIGQUIT"
environment = {{ COLOUR = "deep blue" }}
[health]
test = "cat /srv/index.html"
interval = "1s"
"""


@pytest.fixture
def podman(fresh_lab: RunningLab) -> Iterator[RunningLab]:
    """The lab of podman hosts; the coordinator that commands start ends with the test."""
    umsui("coordinator", "stop", "--force")
    yield fresh_lab
    umsui("coordinator", "stop", "--force")


def deploy(folder: Path, text: str, cluster: str = "azure-lab", node: str = "azure-1") -> Answer:
    """Deploy what ``text`` describes, nested."""
    file = folder / "service.toml"
    file.write_text(text)
    return umsui("deploy", str(file), "--cluster", cluster, "--node", node, "--approach", "container", "--json")


def moved(service: str, to: str, *more: str) -> dict[str, Any]:
    """Migrate it, and the document that comes of it."""
    done = umsui("migrate", service, "--to", to, *more, "--json", "--yes")
    assert done.code == 0, done.err
    assert done.document["approach"] == "container"
    found: dict[str, Any] = done.document
    return found


def inspect(lab: RunningLab, host: str, name: str) -> dict[str, Any]:
    """The orchestrator's own description."""
    found: dict[str, Any] = json.loads(lab.run(host, lab.host(host).orchestrator, "inspect", name))[0]
    return found


def page(lab: RunningLab, host: str) -> str:
    """What nginx answers."""
    with urllib.request.urlopen(f"http://{lab.host(host).address}:{PORT}/", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def eventually(condition: Any, patience: float = 30.0) -> None:
    """Until it holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_debians_nginx_from_podman_to_docker_without_privileges(mixed: RunningLab, tmp_path: Path) -> None:
    assert deploy(tmp_path, WEB).code == 0
    assert "It works" in page(mixed, "azure-1")
    mixed.run("azure-1", "podman", "exec", "web", "/umsui/inside", "sh", "-c", "echo changed >/srv/index.html")
    document = moved("azure-lab/web", "gcp-lab")
    assert document["destination"]["node"] == "gcp-1"
    assert page(mixed, "gcp-1") == "changed\n"
    arrived = inspect(mixed, "gcp-1", "web")
    host = arrived["HostConfig"]
    assert host["Privileged"] is False
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (96 << 20, 750_000_000, 40)
    eventually(lambda: inspect(mixed, "gcp-1", "web")["State"]["Health"]["Status"] == "healthy")
    colour = mixed.run("gcp-1", "docker", "exec", "web", "/umsui/inside", "sh", "-c", "echo $COLOUR")
    assert colour == "deep blue\n"
    assert "web" not in containers(mixed, "azure-1")
    assert [traces(mixed, name) for name in ("azure-1", "gcp-1")] == [[], []]
    mixed.run("gcp-1", "docker", "stop", "web")  # SIGQUIT: nginx ends by itself, and well
    assert inspect(mixed, "gcp-1", "web")["State"]["ExitCode"] == 0
    mixed.run("gcp-1", "docker", "start", "web")
    eventually(lambda: "web" in mixed.run("gcp-1", "docker", "ps", "--filter", "health=healthy"))
    assert page(mixed, "gcp-1") == "changed\n"
    moved("gcp-lab/web", "azure-lab", "--node", "azure-1")
    assert page(mixed, "azure-1") == "changed\n"


def test_processes_files_and_volumes(podman: RunningLab, tmp_path: Path) -> None:
    """Eight processes with 64 MiB there and back, within limits that are just enough for the service alone."""
    assert deploy(tmp_path, HOG + 'memory = "110MiB"\npids = 20\n').code == 0
    before = started(podman, "azure-1", PORT)
    volume = podman.sh("azure-1", "podman volume inspect -f '{{.Mountpoint}}' data").strip()
    podman.sh(
        "azure-1",
        f"cd {volume} && echo one >.hidden && mkdir -p 'a b' && head -c 300000 /dev/urandom >'a b/big' && "
        "ln 'a b/big' linked && truncate -s 5M sparse && ln -s .hidden link && chown 12:34 linked",
    )
    image = podman.run("azure-1", "podman", "inspect", "-f", "{{.Image}}", "hog").strip()
    podman.sh("gcp-1", f"podman rmi -f {image} || true")  # so that it has to be brought along
    summary = f"cd {volume} && find . -printf '%p %y %m %U %G %s %n %l\\n' | sort; sha256sum .hidden linked"
    there = podman.sh("azure-1", summary)
    for to, host in (("gcp-lab", "gcp-1"), ("azure-lab", "azure-1")):
        source = "azure-lab" if to == "gcp-lab" else "gcp-lab"
        assert moved(f"{source}/hog", to, "--node", host)["downtime_source"] == "client"
        now = memhog(podman, host, port=PORT)
        assert (now["nonce"], now["mib"], now["processes"]) == (before["nonce"], 64, 8)
        assert now["count"] > before["count"]
        assert memhog(podman, host, "/checksum", port=PORT)["ok"] is True
        assert podman.sh(host, summary) == there
        limits = inspect(podman, host, "hog")["HostConfig"]
        assert (limits["Memory"], limits["MemorySwap"], limits["PidsLimit"]) == (110 << 20, 220 << 20, 20)
        before = now
    assert [traces(podman, name) for name in ("azure-1", "gcp-1")] == [[], []]
    assert [podman.sh(name, "podman volume ls -q").split() for name in ("azure-1", "gcp-1")] == [["data"], []]


@pytest.mark.parametrize("strategy", [Strategy.PRE_COPY, Strategy.HYBRID, Strategy.POST_COPY])
def test_memory_goes_before_or_after_the_switch(podman: RunningLab, tmp_path: Path, strategy: Strategy) -> None:
    assert deploy(tmp_path, HOG).code == 0
    before = started(podman, "azure-1", PORT)
    for source, to, host in (("azure-lab", "gcp-lab", "gcp-1"), ("gcp-lab", "azure-lab", "azure-1")):
        document = moved(f"{source}/hog", to, "--node", host, "--strategy", strategy.value)
        assert document["strategy"] == strategy.value
        now = memhog(podman, host, port=PORT)
        assert (now["nonce"], now["mib"], now["processes"]) == (before["nonce"], 64, 8)
        assert memhog(podman, host, "/checksum", port=PORT)["ok"] is True
    assert [traces(podman, name) for name in ("azure-1", "gcp-1")] == [[], []]


def test_the_orchestrator_sees_output_exit_code_and_restarts(podman: RunningLab, tmp_path: Path) -> None:
    text = """
name = "short"
image = "localhost/umsui/nginx:1"
command = ["sh", "-c", "echo out; echo err >&2; sleep 1; exit 7"]
restart = "on-failure:1"
"""
    assert deploy(tmp_path, text).code == 0
    eventually(lambda: inspect(podman, "azure-1", "short")["State"]["Status"] == "exited")
    found = inspect(podman, "azure-1", "short")
    assert (found["State"]["ExitCode"], found["RestartCount"]) == (7, 1)
    assert podman.sh("azure-1", "podman logs short 2>&1").split().count("err") == 2
    assert podman.sh("azure-1", "podman logs short 2>/dev/null").split().count("out") == 2


def test_a_move_that_fails_leaves_it_running(podman: RunningLab, tmp_path: Path) -> None:
    assert deploy(tmp_path, HOG).code == 0
    before = started(podman, "azure-1", PORT)
    podman.sh("gcp-1", "podman volume create data")
    taken = umsui("migrate", "azure-lab/hog", "--to", "gcp-lab", "--yes")
    assert taken.code in (1, 3)
    assert "data" in taken.err
    podman.sh("gcp-1", "podman volume rm data")
    slow = ("--bandwidth", "2MB/s", "--strategy", "stop-copy", "--detach", "--yes")
    migration = umsui("migrate", "azure-lab/hog", "--to", "gcp-lab", *slow).out.split()[-1]
    eventually(lambda: umsui("migrations", migration, "--json").document["phase"] == "migration", 150.0)
    assert umsui("cancel", migration).code == 0
    assert umsui("watch", migration).code == 130
    after = memhog(podman, "azure-1", port=PORT)
    assert (after["nonce"], after["processes"]) == (before["nonce"], 8)
    assert memhog(podman, "azure-1", "/checksum", port=PORT)["ok"] is True
    assert "hog" not in containers(podman, "gcp-1")
    assert [traces(podman, name) for name in ("azure-1", "gcp-1")] == [[], []]


def test_what_cannot_be_deployed(podman: RunningLab, tmp_path: Path) -> None:
    unknown = deploy(tmp_path, HOG + 'color = "red"\n')
    assert unknown.code == 2
    assert "service.toml:7: unknown key `color`" in unknown.err
    nobody = deploy(tmp_path, HOG + 'user = "nobody-knows"\n')
    assert nobody.code == 1
    assert "nobody-knows" in nobody.err
    assert "hog" not in containers(podman, "azure-1")
    nowhere = deploy(tmp_path, HOG.replace("memhog:1", "none:1"))
    assert nowhere.code == 1
    assert "none:1" in nowhere.err
    assert deploy(tmp_path, HOG, cluster="azur-lab").code == 2


def test_a_plan_names_the_way(podman: RunningLab, tmp_path: Path) -> None:
    assert deploy(tmp_path, HOG).code == 0
    plan = umsui("plan", "azure-lab/hog", "--to", "gcp-lab", "--json").document
    assert plan["approach"] == "container"
    verdicts = {each["approach"]: each for each in plan["verdicts"] if each["strategy"] == "stop-copy"}
    assert "outer container" in verdicts["orchestrator"]["reason"]
    plain = umsui("plan", "azure-lab/memhog", "--to", "gcp-lab", "--approach", "container", "--json").document
    assert plain["approach"] is None
    assert "not nested" in plain["reason"]
