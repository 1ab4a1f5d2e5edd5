"""``podman inspect`` of podman 5.4, recorded, as neutral specifications; and two of them compared."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators.podman_compare import compare
from backends.orchestrators.podman_inspect import specification
from backends.orchestrators.podman_particulars import particulars, unsupported
from umsui.model import Mount, Port

RECORDED = Path(__file__).parent / "recorded"
IMAGE: dict[str, Any] = json.loads((RECORDED / "image-5.4.json").read_text())
CONTAINERS: dict[str, dict[str, Any]] = {
    each["Name"]: each for each in json.loads((RECORDED / "containers-5.4.json").read_text())
}


def test_a_plain_container_has_few_settings() -> None:
    spec = specification(CONTAINERS["t-plain"], IMAGE)
    assert (spec.name, spec.image, spec.image_id) == ("t-plain", "localhost/memhog:1", IMAGE["Id"])
    assert (spec.entrypoint, spec.command) == (("/memhog",), ("1", "8100"))
    assert spec.environment == {}
    assert spec.annotations == {}
    assert (spec.hostname, spec.network, spec.restart) == ("", "bridge", "no")
    assert spec.ulimits == {}  # it runs, so podman shows computed ones
    assert spec.health == {}
    assert (spec.cap_add, spec.cap_drop, spec.security_options) == ((), (), ())


def test_everything_that_was_set() -> None:
    spec = specification(CONTAINERS["t-full"], IMAGE)
    assert spec.environment == {"A": "b", "SP": 'a b "c" $x'}
    assert spec.labels == {"l1": "v1", "weird": "a=b c"}
    assert spec.annotations == {"an.n/x": "y"}
    assert spec.ports[0] == Port(8101, 8000, "tcp", "127.0.0.1")
    assert spec.ports[1:] == tuple(Port(8100 + n, 9000 + n, "udp") for n in (2, 3, 4))
    volume = Mount(
        "volume",
        "t-vol",
        "/data",
        True,
        ("nosuid", "nodev", "rbind", "rprivate"),
        "/var/lib/containers/storage/volumes/t-vol/_data",
    )
    assert volume in spec.mounts
    assert [(mount.kind, mount.destination) for mount in spec.mounts] == [
        ("volume", "/d2"),
        ("volume", "/data"),
        ("bind", "/hosttmp"),
        ("tmpfs", "/sc2"),
        ("tmpfs", "/scratch"),
    ]
    assert (spec.network, spec.hostname, spec.user, spec.workdir) == ("t-net", "myhost", "1000:1000", "/data")
    assert (spec.restart, spec.stop_signal, spec.stop_timeout) == ("on-failure:3", "SIGINT", 33)
    assert (spec.cap_add, spec.cap_drop) == (("CAP_NET_ADMIN", "CAP_SYS_TIME"), ("CAP_CHOWN",))
    assert set(spec.security_options) == {
        "no-new-privileges",
        "label=disable",
        "mask=/proc/foo:/proc/bar",
        "unmask=/proc/kcore",
    }
    assert (spec.read_only, spec.init, spec.tty, spec.privileged) == (True, True, False, False)
    assert (spec.memory_limit, spec.cpu_limit, spec.pids_limit, spec.shm_size) == (64 << 20, 1.5, 77, 32 << 20)
    assert spec.ulimits == {"nofile": (100, 200), "core": (0, 0)}
    assert spec.health == {
        "test": ["CMD-SHELL", "true || exit 1"],
        "interval": 7.0,
        "timeout": 3.0,
        "start_period": 9.0,
        "retries": 4,
    }


def test_privileged_on_the_hosts_network() -> None:
    spec = specification(CONTAINERS["t-priv"], IMAGE)
    assert (spec.privileged, spec.tty, spec.network, spec.hostname) == (True, True, "host", "")
    assert spec.security_options == ("seccomp=unconfined",)
    assert (spec.cap_add, spec.cap_drop) == ((), ())  # podman's lists are computed
    assert spec.environment == {}  # TERM comes with the terminal


def test_an_entrypoint_that_was_cleared() -> None:
    spec = specification(CONTAINERS["t-rm"], IMAGE)
    assert (spec.entrypoint, spec.command) == (("",), ("/memhog", "1"))
    assert spec.health["test"] == ["CMD", "/memhog", "x y"]


def test_what_only_podman_knows() -> None:
    flags = particulars(CONTAINERS["t-dns"], IMAGE)
    assert {
        "--dns=1.1.1.1",
        "--dns-option=ndots:2",
        "--dns-search=ex.org",
        "--add-host=foo:1.2.3.4",
        "--sysctl=net.core.somaxconn=512",
        "--log-opt=max-size=1mb",
        "--log-opt=tag=x",
        "--expose=99/tcp",
        "--pid=host",
        "--ipc=private",
        "--uts=host",
        "--cgroupns=private",
        "--memory-reservation=52428800",
    } <= set(flags)
    flags = particulars(CONTAINERS["t-none"], IMAGE)
    assert {
        "--group-add=44",
        "--device=/dev/null:/dev/xnull",
        "--tz=UTC",
        "--umask=0077",
        "--oom-score-adj=100",
    } <= set(flags)
    assert "--memory-swap=209715200" not in flags  # twice the memory is the default
    flags = particulars(CONTAINERS["t-net2"], IMAGE)
    assert {"--network=podman:ip=10.88.0.77,mac=44:33:22:11:00:99", "--no-hosts", "--uidmap=0:0:1000"} <= set(flags)


@pytest.mark.parametrize(
    ("name", "words"),
    [("t-full", ""), ("t-plain", ""), ("t-inpod", "part of pod"), ("t-net2", "requires another container")],
)
def test_what_cannot_be_carried(name: str, words: str) -> None:
    found = unsupported(CONTAINERS[name])
    assert words in "; ".join(found)
    assert bool(found) == bool(words)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_equals_itself(name: str) -> None:
    assert compare(CONTAINERS[name], CONTAINERS[name]) == []


def changed(name: str, **settings: Any) -> dict[str, Any]:
    raw = copy.deepcopy(CONTAINERS[name])
    for path, value in settings.items():
        *parents, last = path.split("__")
        place = raw
        for parent in parents:
            place = place[parent]
        place[last] = value
    return raw


@pytest.mark.parametrize(
    "settings",
    [
        {"Id": "f" * 64, "Name": "other", "lockNumber": 99, "Created": "now", "ImageDigest": "sha256:0"},
        {"Config__Env": CONTAINERS["t-plain"]["Config"]["Env"][:2]},
        {"HostConfig__Ulimits": []},
        {"HostConfig__LogConfig__Path": "/elsewhere"},
        {"HostConfig__PidsLimit": 2048},
        {"Config__Annotations": {"io.container.manager": "libpod"}},
        {"Config__Labels": {}},
    ],
)
def test_differences_between_hosts_do_not_count(settings: dict[str, Any]) -> None:
    assert compare(CONTAINERS["t-plain"], changed("t-plain", **settings)) == []


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"HostConfig__Memory": 5}, "HostConfig.Memory"),
        ({"Config__User": "1"}, "Config.User"),
        ({"Config__Cmd": ["2"]}, "Config.Cmd"),
        ({"Image": "0"}, "Image"),
        ({"HostConfig__SecurityOpt": ["seccomp=unconfined"]}, "HostConfig.SecurityOpt"),
        ({"Config__Labels": {"a": "b"}}, "Config.Labels.a"),
        ({"Mounts": [{"Type": "bind", "Source": "/x", "Destination": "/y", "RW": True}]}, "Mounts./y.Source"),
        ({"NewInPodman6": True}, "NewInPodman6"),
    ],
)
def test_real_differences_are_told_by_path(settings: dict[str, Any], path: str) -> None:
    found = compare(CONTAINERS["t-plain"], changed("t-plain", **settings))
    assert path in [each.path for each in found]
    assert path in str(found[0]) or len(found) > 1


def test_a_secret_is_not_told() -> None:
    one = changed("t-plain", Config__Env=["TOKEN=hunter2"])
    other = changed("t-plain", Config__Env=["TOKEN=hunter3", "PASSWORD=sesame"])
    words = "; ".join(map(str, compare(one, other)))
    assert "Config.Env.TOKEN" in words
    assert "Config.Env.PASSWORD" in words
    assert "hunter" not in words
    assert "sesame" not in words
