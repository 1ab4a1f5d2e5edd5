"""What a service file makes of an outer pod."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from umsui.agent import nested
from umsui.interface.deployment import outer_specification
from umsui.interface.deployment_api import EVERYTHING, WITHOUT, impossible, outer_pod
from umsui.interface.outer_ends import as_container, as_pod
from umsui.model import Mount, Specification

WEB = Specification(
    name="web",
    image="registry.example:5000/web:1",
    mounts=(Mount("volume", "data", "/data"), Mount("tmpfs", "", "/cache")),
    memory_limit=100 << 20,
    cpu_limit=0.5,
    network="bridge",
)
CONFIG = {"Entrypoint": ["/web"], "Cmd": ["--port", "80"], "Env": ["COLOUR=blue"], "User": "www"}


def test_it_has_room_for_being_moved_and_the_service_is_described_in_it() -> None:
    made = outer_pod(WEB, CONFIG, "registry.example:5000/web:1-nested-0", EVERYTHING)
    assert made.command == ("/web", "--port", "80")
    assert [(mount.kind, mount.destination) for mount in made.mounts] == [("volume", "/umsui/mounts/data")]
    wanted = json.loads(made.environment[nested.VARIABLE])
    assert wanted["user"] == "www"
    assert [mount["kind"] for mount in wanted["mounts"]] == ["volume", "tmpfs"]
    assert (made.memory_limit, made.cpu_limit) == ((200 << 20) + (256 << 20), 2.0)
    assert {"SYS_ADMIN", "SYS_RESOURCE", "SYS_PTRACE"} <= set(made.cap_add)
    assert made.cap_drop == ("ALL",)


def test_a_node_that_may_not_give_everything() -> None:
    made = outer_pod(WEB, CONFIG, "x", WITHOUT)
    assert "SYS_RESOURCE" not in made.cap_add
    assert "SYS_PTRACE" in made.cap_add


@pytest.mark.parametrize("memory", [0, 1 << 20, 100 << 20, 8 << 30])
def test_an_outer_container_that_was_a_pod_meanwhile_is_what_it_was(memory: int) -> None:
    host = outer_specification(replace(WEB, memory_limit=memory, cpu_limit=4.0), {"Config": CONFIG})
    assert as_container(as_pod(host)) == host
    assert as_container(host) == host
    assert as_pod(as_container(as_pod(host))) == as_pod(host)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": "Web"}, "name"),
        ({"network": "host"}, "network"),
        ({"stop_signal": "SIGQUIT"}, "stop signal"),
        ({"pids_limit": 5}, "processes"),
        ({"health": {"test": ["CMD", "true"]}}, "health"),
    ],
)
def test_what_no_pod_can_have(changes: dict[str, Any], word: str) -> None:
    assert list(impossible(WEB)) == []
    assert word in next(impossible(replace(WEB, **changes)))
