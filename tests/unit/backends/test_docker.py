"""Docker's own words, recorded on docker 26.1, taken apart and put together again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators import survey as surveys
from backends.orchestrators.docker import Docker
from backends.orchestrators.docker_compare import compare
from backends.orchestrators.docker_create import body, particulars
from backends.orchestrators.docker_inspect import specification, unsupported
from backends.orchestrators.docker_survey import services_of
from umsui.adapters import Completed
from umsui.errors import BadInput, CommandFailed
from umsui.model import Mount, Node, Port, ServiceState, Specification

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"docker-26-{name}.json").read_text())[0]


@pytest.fixture
def full() -> Any:
    return recorded("full")


class Answering:
    """A transport that gives recorded answers and keeps what it was asked."""

    address = "h"

    def __init__(self, *answers: Completed) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str], bytes]] = []

    def run(self, argv: Any, *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        self.asked.append((list(argv), stdin))
        return self.answers.pop(0)


# -- survey ---------------------------------------------------------------------------------------------------------


def test_recorded_survey() -> None:
    found = surveys.parse((RECORDED / "docker-26-survey.bin").read_bytes(), b"", "h", "docker")
    node = surveys.node_of(found, Node("c", "n", "root@n:22"))
    assert node.software["docker"] == "26.1.5+dfsg1"
    assert (node.software["runc"], node.software["criu"]) == ("1.1.15+ds1", "4.2.1")
    services = {service.name: service for service in services_of(found, "c", "n")}
    m1 = services["m1"]
    assert (m1.state, m1.obstacle, m1.processes) == (ServiceState.UP, "", 1)
    assert 60 << 20 < m1.memory < 80 << 20
    assert m1.ports == (Port(8001, 8000),)  # told twice, for IPv4 and IPv6
    assert services["nginx"].processes == 3
    assert services["plain2"].obstacle == "paused: resume it first"
    full = services["full"]
    assert (full.state, full.volumes) == (ServiceState.STOPPED, 2)
    assert full.labels == {"odd": 'a,b=c "d"', "tier": "front"}


def test_no_docker_and_a_daemon_that_is_off() -> None:
    with pytest.raises(CommandFailed) as missing:
        surveys.parse(b"\x1enode\n\x1econtainers\n\x1eend 127\n", b"", "h", "docker")
    assert missing.value.code == "no-docker"
    with pytest.raises(CommandFailed, match="Cannot connect"):
        surveys.parse(b"\x1enode\n\x1econtainers\n\x1eend 1\n", b"Cannot connect to the Docker daemon", "h", "docker")


# -- specification --------------------------------------------------------------------------------------------------


def test_everything_with_a_neutral_name(full: Any) -> None:
    spec = specification(full, recorded("image"))
    assert (spec.name, spec.hostname, spec.user, spec.workdir) == ("full", "box", "0:0", "/tmp")
    assert len(spec.image_id) == 64
    assert spec.command == ("redis-server", "--port", "7000")
    assert spec.environment == {"PLAIN": "1", "ODD": 'a b "c" $d'}  # not the image's PATH
    assert (spec.labels["odd"], dict(spec.annotations)) == ('a,b=c "d"', {"io.example/x": "y"})
    assert spec.ports == (Port(8020, 8000), Port(8021, 8001, "tcp", "127.0.0.1"), Port(8022, 8002, "udp"))
    assert (spec.restart, spec.stop_signal, spec.stop_timeout) == ("on-failure:3", "SIGINT", 3)
    assert (spec.cap_add, spec.cap_drop) == (("NET_BIND_SERVICE",), ("ALL",))
    assert spec.security_options == ("no-new-privileges",)
    assert (spec.memory_limit, spec.cpu_limit, spec.pids_limit) == (256 << 20, 0.75, 77)
    assert (spec.shm_size, dict(spec.ulimits), spec.init) == (16 << 20, {"nofile": (512, 1024)}, True)
    assert spec.health["interval"] == 60.0
    assert spec.network == "net1"
    kinds = {mount.destination: (mount.kind, mount.read_only) for mount in spec.mounts}
    assert kinds == {
        "/named": ("volume", False),
        "/anon": ("volume", False),
        "/bound": ("bind", True),
        "/scratch": ("tmpfs", False),
    }


def test_what_cannot_be_created_elsewhere(full: Any) -> None:
    assert unsupported(full) == ()
    full["HostConfig"]["IpcMode"] = "container:abc"
    full["HostConfig"]["DeviceRequests"] = [{"Driver": "nvidia"}]
    full["Mounts"][0]["Driver"] = "nfs"
    words = " ".join(unsupported(full))
    assert "IPC namespace of another container" in words
    assert "GPU" in words
    assert "the driver nfs" in words


# -- creation -------------------------------------------------------------------------------------------------------


def test_docker_to_docker_loses_nothing(full: Any) -> None:
    spec = specification(full, recorded("image"))
    found = body(spec, [particulars(full)])
    assert found["Hostname"] == "box"
    for key in ("Env", "Labels", "Healthcheck", "StopTimeout", "Cmd"):
        assert found[key] == full["Config"][key]
    kept = {k: v for k, v in full["HostConfig"].items() if k not in ("Binds", "ContainerIDFile")}
    assert {k: v for k, v in found["HostConfig"].items() if k != "Binds"} == kept
    (anonymous,) = (m["Name"] for m in full["Mounts"] if m["Destination"] == "/anon")
    assert f"{anonymous}:/anon" in found["HostConfig"]["Binds"]
    assert found["NetworkingConfig"]["EndpointsConfig"]["net1"]["Aliases"] == ["front"]


def test_a_name_that_docker_gave_is_not_kept(full: Any) -> None:
    full["Config"]["Hostname"] = full["Id"][:12]
    assert "Hostname" not in json.loads(particulars(full))


def test_from_a_neutral_specification() -> None:
    spec = Specification(
        "web",
        "nginx:1",
        environment={"A": "b"},
        ports=(Port(8080, 80), Port(5353, 53, "udp", "127.0.0.1")),
        mounts=(Mount("volume", "data", "/data", True), Mount("tmpfs", "", "/t", options=("size=8m",))),
        restart="on-failure:3",
        network="bridge",
        cpu_limit=0.5,
        health={"test": ["CMD", "true"], "interval": 5.0, "retries": 2},
    )
    found = body(spec)
    host = found["HostConfig"]
    assert found["Env"] == ["A=b"]
    assert found["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert host["PortBindings"]["53/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "5353"}]
    assert host["Binds"] == ["data:/data:ro"]
    assert host["Tmpfs"] == {"/t": "size=8m"}
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["NanoCpus"] == 500_000_000
    assert found["Healthcheck"] == {
        "Test": ["CMD", "true"],
        "Interval": 5_000_000_000,
        "Timeout": 0,
        "StartPeriod": 0,
        "Retries": 2,
    }
    assert "Tty" not in found  # what was not chosen is left to docker


def test_creating_asks_the_api_and_names_the_image_by_its_id_where_the_name_means_another() -> None:
    made = b'HTTP/1.0 201 Created\r\nContent-Type: application/json\r\n\r\n{"Id": "abc", "Warnings": []}'
    transport: Any = Answering(Completed(0, b"sha256:other\n", b""), Completed(0, made, b""))
    spec = Specification("a b", "nginx:1", "f" * 64, environment={"SECRET": "hidden"})
    assert Docker().create(transport, spec) == "abc"
    argv, request = transport.asked[1]
    assert argv == ["docker", "system", "dial-stdio"]
    assert request.startswith(b"POST /containers/create?name=a%20b HTTP/1.0\r\n")
    assert json.loads(request.partition(b"\r\n\r\n")[2])["Image"] == "f" * 64
    assert not any("hidden" in word for words, _ in transport.asked for word in words)


def test_what_docker_refuses_is_said_with_what_mends_it() -> None:
    said = b'HTTP/1.0 409 Conflict\r\n\r\n{"message": "The name \\"/x\\" is already in use by container \\"abc\\"."}'
    transport: Any = Answering(Completed(1, b"", b"Error: No such image: i"), Completed(0, said, b""))
    with pytest.raises(CommandFailed, match="already in use") as caught:
        Docker().create(transport, Specification("x", "i"))
    assert caught.value.code == "name-taken"
    assert caught.value.fix


def test_a_service_that_is_not_there() -> None:
    transport: Any = Answering(Completed(1, b"[]", b"Error response from daemon: No such container: x"))
    with pytest.raises(BadInput) as caught:
        Docker().raw(transport, "x")
    assert caught.value.code == "no-service"


# -- comparison -----------------------------------------------------------------------------------------------------


def test_a_twin_is_equal_and_each_setting_that_is_not_is_named(full: Any) -> None:
    twin = copy.deepcopy(full)
    twin.update(Id="0" * 64, Created="later", LogPath="/elsewhere", State={"Status": "created"})
    twin["GraphDriver"]["Data"] = {}
    twin["HostConfig"]["Binds"].reverse()
    twin["HostConfig"]["PortBindings"] = dict(reversed(twin["HostConfig"]["PortBindings"].items()))
    assert compare(full, twin) == []
    twin["HostConfig"]["Memory"] = 1
    twin["Config"]["Env"] = [*full["Config"]["Env"][1:], "NEW=secret"]
    twin["Mounts"] = twin["Mounts"][1:]
    words = [str(each) for each in compare(full, twin)]
    assert any(line.startswith("HostConfig.Memory: 268435456 at the source, 1") for line in words)
    assert any(line.startswith("Mounts.") for line in words)
    assert any("Config.Env.NEW" in line for line in words)
    assert not any("secret" in line for line in words)
