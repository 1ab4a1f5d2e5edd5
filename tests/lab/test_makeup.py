"""What a service is made of arrives: settings field by field, bound folders and files, its log, an image by layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, traces, umsui

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

PLACES = ("azure-1", "gcp-1")
PROFILE = json.dumps(
    {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon", "swapoff"], "action": "SCMP_ACT_ERRNO"}],
    }
)
ALL_SETTINGS = (
    "--name full --hostname box --user 0:0 --workdir /tmp --restart on-failure:3 --stop-signal SIGINT --stop-timeout 3 "
    "--label tier=front --label 'odd=a \"b\" c' --annotation io.example/x=y -e PLAIN=1 -e 'ODD=a b \"c\" $d' "
    "-p 8020:8000 -p 127.0.0.1:8021:8001/tcp -p 8022:8002/udp --cap-drop ALL --cap-add NET_BIND_SERVICE "
    "--security-opt seccomp=/etc/umsui-test-seccomp.json --security-opt no-new-privileges "
    "--memory 256m --cpus 0.75 --pids-limit 77 --shm-size 16m --ulimit nofile=512:1024 --tmpfs /scratch:size=8m "
    "--health-cmd /bin/true --health-interval 60s --health-retries 2 --health-start-period 5s "
    "--dns 10.0.0.9 --add-host other:10.9.9.9 --group-add 44 --oom-score-adj 100 --cpu-shares 512 "
    "-v named:/named -v /srv/bound:/bound -v /srv/one.conf:/one.conf:ro -v /etc/localtime:/etc/localtime:ro"
)


@pytest.fixture(autouse=True)
def coordinator(fresh_lab: RunningLab) -> Iterator[None]:
    """The coordinator that commands start ends with the test, and so does what it bound."""
    yield
    umsui("coordinator", "stop", "--force")
    for host in ("azure-1", "gcp-1"):
        fresh_lab.sh(host, "podman rm -f -a -t 0 >/dev/null; rm -rf /srv/bound /srv/one.conf")


def inspect(lab: RunningLab, host: str, name: str) -> dict[str, Any]:
    """``podman inspect``."""
    found: dict[str, Any] = json.loads(lab.run(host, "podman", "inspect", name))[0]
    return found


SAME_CONFIG = (
    *("User", "Env", "Cmd", "Entrypoint", "WorkingDir", "Labels", "StopSignal", "StopTimeout", "Healthcheck", "Tty"),
    *("Image", "OpenStdin", "Umask"),
)
SAME_HOST = (
    *("Memory", "MemorySwap", "NanoCpus", "CpuQuota", "CpuPeriod", "CpuShares", "PidsLimit", "ShmSize", "CapAdd"),
    *("CapDrop", "RestartPolicy", "SecurityOpt", "PortBindings", "OomScoreAdj", "GroupAdd", "Dns", "ExtraHosts"),
    *("ReadonlyRootfs", "Privileged", "NetworkMode", "Tmpfs"),
)


def settings(found: dict[str, Any]) -> dict[str, Any]:
    """What must be equal at both ends; lists whose order means nothing are sorted."""
    config, host = found["Config"], found["HostConfig"]
    same = {key: config.get(key) for key in SAME_CONFIG} | {key: host.get(key) for key in SAME_HOST}
    same |= {key: found.get(key) for key in ("Image", "EffectiveCaps", "BoundingCaps")}
    same["Hostname"] = config["Hostname"]
    same["Tmpfs"] = {where: sorted(options.split(",")) for where, options in host["Tmpfs"].items()}
    same["Ulimits"] = [each for each in host["Ulimits"] if each["Name"] == "RLIMIT_NOFILE"]
    same["Mounts"] = sorted((m["Type"], m["Destination"], m["RW"], sorted(m["Options"])) for m in found["Mounts"])
    return {key: sorted(value, key=str) if isinstance(value, list) else value for key, value in same.items()}


def test_every_setting_arrives(fresh_lab: RunningLab) -> None:
    for host in ("azure-1", "gcp-1"):
        fresh_lab.sh(host, f"cat > /etc/umsui-test-seccomp.json <<'E'\n{PROFILE}\nE")
    fresh_lab.sh("azure-1", "mkdir -p /srv/bound/deep && echo here > /srv/bound/deep/.dot && echo a=1 > /srv/one.conf")
    fresh_lab.sh("azure-1", f"podman run -d {ALL_SETTINGS} localhost/umsui/memhog:1 MIB=8")
    before, seen = inspect(fresh_lab, "azure-1", "full"), memhog(fresh_lab, "azure-1", port=8020)
    done = umsui("migrate", "full", "--to", "gcp-lab", "--json", "--yes")
    assert done.code == 0, done.err
    assert settings(inspect(fresh_lab, "gcp-1", "full")) == settings(before)
    after = memhog(fresh_lab, "gcp-1", port=8020)
    assert (after["nonce"], after["count"] > seen["count"]) == (seen["nonce"], True)
    status = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/$(podman inspect -f '{{.State.Pid}}' full)/status"
    assert "Seccomp:\t2" in fresh_lab.sh("gcp-1", status)
    assert fresh_lab.sh("gcp-1", "cat /srv/bound/deep/.dot /srv/one.conf").split() == ["here", "a=1"]
    assert fresh_lab.sh("azure-1", "cat /srv/bound/deep/.dot").split() == ["here"]
    assert [traces(fresh_lab, host) for host in ("azure-1", "gcp-1")] == [[], []]


def test_a_bound_folder_that_is_taken_is_left_alone(fresh_lab: RunningLab) -> None:
    fresh_lab.sh("azure-1", "mkdir -p /srv/bound && echo ours > /srv/bound/file")
    fresh_lab.sh("gcp-1", "mkdir -p /srv/bound && echo theirs > /srv/bound/file")
    fresh_lab.sh("azure-1", "podman run -d --name b -v /srv/bound:/b localhost/umsui/memhog:1 MIB=1")
    done = umsui("migrate", "b", "--to", "gcp-lab", "--yes")
    assert done.code == 3
    assert "/srv/bound" in done.err
    assert fresh_lab.sh("gcp-1", "cat /srv/bound/file").strip() == "theirs"
    assert "b" in containers(fresh_lab, "azure-1")


def test_the_log_goes_on(fresh_lab: RunningLab) -> None:
    count = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"
    fresh_lab.run("azure-1", "podman", "run", "-d", "--name", "talk", "localhost/umsui/redis:1", "sh", "-c", count)
    done = umsui("migrate", "talk", "--to", "gcp-lab", "--json", "--yes")
    assert done.code == 0, done.err
    lines = fresh_lab.run("gcp-1", "podman", "logs", "talk").split("\n")[:-1]
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert len(lines) > 20


def test_only_the_layers_that_are_missing_travel(fresh_lab: RunningLab) -> None:
    fresh_lab.sh(
        "azure-1",
        "podman run --name base localhost/umsui/redis:1 sh -c 'dd if=/dev/urandom of=/three bs=1M count=3 2>/dev/null'"
        " && podman commit -q -c ENV=X=1 base localhost/derived:1 && podman rm base >/dev/null",
    )
    try:
        fresh_lab.sh("azure-1", "podman run -d --name derived localhost/derived:1 sleep 1000")
        planned = umsui("plan", "derived", "--to", "gcp-lab", "--json").document
        assert 3 << 20 <= planned["bytes"]["image"] < 4 << 20
        done = umsui("migrate", "derived", "--to", "gcp-lab", "--json", "--yes")
        assert done.code == 0, done.err
        assert 3 << 20 <= done.document["bytes"]["image"] < 4 << 20
        images = [fresh_lab.run(host, "podman", "images", "-q", "--no-trunc", "localhost/derived:1") for host in PLACES]
        assert images[0] == images[1] != ""
        sums = [
            fresh_lab.run(
                host, "podman", "run", "--rm", "localhost/derived:1", "sha256sum", "/three", "/usr/bin/redis-server"
            )
            for host in PLACES
        ]
        assert sums[0] == sums[1]
    finally:
        for host in PLACES:
            fresh_lab.sh(
                host, "podman rm -f -a -t 0 >/dev/null; podman rmi -f localhost/derived:1 >/dev/null 2>&1 || true"
            )
