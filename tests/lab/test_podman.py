"""Podman on real hosts: what it has, and the same container made again elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.orchestrators.podman import Podman
from backends.orchestrators.podman_survey import SCRIPT
from backends.transports.ssh import SshTransport
from tests.conftest import RunningLab
from umsui.errors import BadInput, CommandFailed
from umsui.model import ClusterState, Node, ServiceState, Specification

pytestmark = pytest.mark.lab
IMAGE = "localhost/umsui/memhog:1"
HERE, THERE = "azure-1", "gcp-1"
PODMAN = Podman()
ENV = {
    "PLAIN": "b",
    "QUOTES": "a \"b\" 'c' $x `d`",
    "LINES": "one\ntwo",
    "EMPTY": "",
    "odd.name": " x #y ",
    "HOME": "/h",
}

VARIANTS: dict[str, str] = {
    "plain": "",
    "command": '--entrypoint \'["/memhog", "1"]\'',
    "cleared": "--entrypoint '' --rm -i",
    "environment": "-e A=b -e 'SP=a b \"c\" $x' -e 'NL=a\nb' -e HOME=/data --label l1=v1 --label 'weird=a=b c' "
    "--annotation an.n/x=y --hostname myhost --user 1000:1000 -w /data",
    "ports": "-p 127.0.0.1:8301:8000 -p 8302-8304:9002-9004/udp -p 8305:8000 --expose 99",
    "dynamic-ports": "-P --expose 1234",
    "mounts": "-v t-vol:/data:ro -v t-vol2:/d2:nosuid,noexec -v /tmp:/host:rslave --tmpfs /scratch:size=1m,mode=1777 "
    "--mount type=tmpfs,destination=/sc2,tmpfs-size=2m -v /anonymous "
    "--mount 'type=bind,\"src=/tmp/t:o,d d\",dst=/x: y,ro'",
    "network": "--network t-net --network-alias other --dns 1.1.1.1 --dns-search ex.org --dns-option ndots:2 "
    "--add-host foo:1.2.3.4 --sysctl net.core.somaxconn=512",
    "host-network": "--network host --uts host --ipc host --pid host --tty --restart always",
    "static": "--network podman:ip=10.88.0.77,mac=44:33:22:11:00:99 --network t-net:alias=foo --no-hosts",
    "limits": "--memory 64m --memory-swap 100m --cpus 1.5 --pids-limit 77 --shm-size 32m --ulimit nofile=100:200 "
    "--ulimit core=0 --cpu-shares 512 --cpuset-cpus 0 --oom-score-adj 100 --memory-reservation 20m",
    "unlimited": "--pids-limit -1 --cpu-quota 20000 --cpu-period 50000 --stop-timeout 0 --stop-signal SIGINT",
    "security": "--cap-drop all --cap-add CHECKPOINT_RESTORE,SYS_PTRACE --security-opt no-new-privileges "
    "--security-opt label=disable --security-opt mask=/proc/foo:/proc/bar --security-opt unmask=/proc/kcore "
    "--security-opt seccomp=/usr/share/containers/seccomp.json --read-only --read-only-tmpfs=false",
    "privileged": "--privileged --security-opt seccomp=unconfined --init",
    "health": "--health-cmd 'true  || exit 1' --health-interval 7s --health-timeout 3s --health-retries 4 "
    "--health-start-period 9s --health-on-failure kill",
    "health-words": '--health-cmd \'["/memhog","x y"]\' --health-interval disable --restart on-failure:3',
    "no-health": "--no-healthcheck --log-opt max-size=1m --log-opt tag=x --tz UTC --umask 0077 --group-add 44 "
    "--device /dev/null:/dev/xnull --timeout 100 --cgroupns private",
}


@pytest.fixture(scope="module")
def hosts(lab: RunningLab) -> Iterator[dict[str, SshTransport]]:
    made = {name: SshTransport(lab.host(name).ssh, lab.lab.identity, lab.lab.known_hosts) for name in (HERE, THERE)}
    folder, init = "/tmp/t:o,d d", "/usr/libexec/podman/catatonit"
    for name in made:  # an init that is never started, for containers that are only created
        lab.sh(
            name,
            f"mkdir -p '{folder}' /usr/libexec/podman; [ -e {init} ] || {{ touch {init}.ours; cp /bin/true {init}; }}",
        )
        lab.sh(name, "podman network create t-net")
    yield made
    for name, transport in made.items():
        lab.sh(name, "podman ps -aq --filter name=^t- | xargs -r podman rm -f -t 0; podman volume prune -f >/dev/null")
        lab.sh(name, f"podman network rm t-net; rmdir '{folder}'; [ ! -e {init}.ours ] || rm {init} {init}.ours")
        transport.close()


@pytest.mark.parametrize("variant", VARIANTS)
def test_made_again_elsewhere_it_is_equal(hosts: dict[str, SshTransport], lab: RunningLab, variant: str) -> None:
    here, there, name = hosts[HERE], hosts[THERE], f"t-{variant}"
    lab.sh(HERE, f"podman create --name {name} {VARIANTS[variant]} {IMAGE} 1 8300")
    try:
        spec = replace(PODMAN.specification(here, name), name=f"{name}-copy")
        PODMAN.create(there, spec, PODMAN.particulars(here, name))
        found = PODMAN.differences(PODMAN.raw(here, name), PODMAN.raw(there, spec.name))
        assert [str(each) for each in found] == []
        again = PODMAN.specification(there, spec.name)  # and so the way back loses nothing either
        assert replace(again, mounts=()) == replace(spec, mounts=())
        assert [(mount.destination, set(mount.options)) for mount in again.mounts] == [
            (mount.destination, set(mount.options)) for mount in spec.mounts
        ]
        assert PODMAN.unsupported(PODMAN.raw(here, name)) == ()
    finally:
        PODMAN.remove(here, name)
        PODMAN.remove(there, f"{name}-copy")


def test_a_running_container_equals_its_fresh_copy(hosts: dict[str, SshTransport], lab: RunningLab) -> None:
    here, there = hosts[HERE], hosts[THERE]
    lab.sh(HERE, f"podman run -d --name t-runs -e A=b -p 8306:8000 --restart always {IMAGE} 1 8000")
    try:
        PODMAN.create(there, PODMAN.specification(here, "t-runs"), PODMAN.particulars(here, "t-runs"))
        assert PODMAN.differences(PODMAN.raw(here, "t-runs"), PODMAN.raw(there, "t-runs")) == []
        PODMAN.start(there, "t-runs")
        assert PODMAN.differences(PODMAN.raw(here, "t-runs"), PODMAN.raw(there, "t-runs")) == []
    finally:
        PODMAN.remove(here, "t-runs")
        PODMAN.remove(there, "t-runs")


def test_a_setting_that_was_changed_is_told(hosts: dict[str, SshTransport]) -> None:
    spec = Specification("t-one", IMAGE, memory_limit=64 << 20)
    for name, more in (("t-one", spec), ("t-two", replace(spec, name="t-two", memory_limit=32 << 20, user="1"))):
        PODMAN.create(hosts[HERE], more)
        assert PODMAN.raw(hosts[HERE], name)["Name"] == name
    found = PODMAN.differences(PODMAN.raw(hosts[HERE], "t-one"), PODMAN.raw(hosts[HERE], "t-two"))
    assert {each.path for each in found} >= {"Config.User", "HostConfig.Memory"}


def test_environment_arrives_and_is_in_no_command(hosts: dict[str, SshTransport]) -> None:
    here = hosts[HERE]
    env = {**ENV, "TOKEN": "hunter2", "BIG": "x" * 100_000}
    PODMAN.create(here, Specification("t-env", IMAGE, environment=env))
    assert PODMAN.specification(here, "t-env").environment == env
    assert "hunter2" not in " ".join(PODMAN.raw(here, "t-env")["Config"]["CreateCommand"])


def test_survey(hosts: dict[str, SshTransport], lab: RunningLab) -> None:
    here = hosts[HERE]
    lab.sh(HERE, f"podman run -d --name t-hog -p 8307:8000 --label 'k=a \"b\"' -v t-vol9:/d {IMAGE} 32")
    time.sleep(0.5)
    try:
        node, services = PODMAN.survey(here, "azure-lab", Node("azure-lab", HERE, lab.host(HERE).ssh))
        assert node.state is ClusterState.LIVE
        assert node.memory > node.memory_free > 0
        assert node.software["podman"].startswith("5.")
        assert {"criu", "crun", "kernel", "architecture"} <= set(node.software)
        hog = next(service for service in services if service.name == "t-hog")
        assert (hog.state, hog.processes, hog.obstacle) == (ServiceState.UP, 1, "")
        assert 32 << 20 <= hog.memory < 40 << 20
        assert (hog.ports[0].host, hog.labels["k"], hog.volumes) == (8307, 'a "b"', 1)
        assert abs(hog.started - time.time()) < 60
        again, _ = PODMAN.survey(here, "azure-lab", node)
        assert again.software == node.software
        PODMAN.remove(here, "t-hog", volumes=["t-vol9", "never-was"])
        assert b"t-vol9" not in here.run(["podman", "volume", "ls"]).stdout
    finally:
        PODMAN.remove(here, "t-hog")


def test_what_a_survey_costs(hosts: dict[str, SshTransport], lab: RunningLab) -> None:
    here = hosts[HERE]
    node = PODMAN.survey(here, "c", Node("c", HERE, ""))[0]
    started = time.monotonic()
    for _ in range(5):
        PODMAN.survey(here, "c", node)
    wall = (time.monotonic() - started) / 5
    here.run(["sh", "-c", "cat > /tmp/t-survey"], stdin=SCRIPT)
    times = here.run(
        ["bash", "-c", "TIMEFORMAT='%U %S'; time for i in 1 2 3 4 5; do sh /tmp/t-survey; done >/dev/null"]
    )
    here.run(["rm", "/tmp/t-survey"])
    cpu = sum(map(float, times.stderr.split())) / 5
    print(f"a survey: {wall * 1e3:.0f} ms, of which {cpu * 1e3:.0f} ms of the node's processor")
    assert cpu < 0.25


@pytest.mark.parametrize("policy", ["no", "always"])
def test_a_paused_container_is_removed_at_once(hosts: dict[str, SshTransport], lab: RunningLab, policy: str) -> None:
    here = hosts[HERE]
    lab.sh(HERE, f"podman run -d --name t-frozen --restart {policy} {IMAGE} 1 8308; podman pause t-frozen")
    assert PODMAN.survey(here, "c", Node("c", HERE, ""))[1]
    started = time.monotonic()
    PODMAN.remove(here, "t-frozen")
    print(f"a paused container was removed in {time.monotonic() - started:.2f} s")
    assert time.monotonic() - started < 5.0
    PODMAN.remove(here, "t-frozen")
    with pytest.raises(BadInput):
        PODMAN.raw(here, "t-frozen")


def test_logs_images_and_what_is_not_there(hosts: dict[str, SshTransport], lab: RunningLab) -> None:
    here = hosts[HERE]
    spec = Specification(
        "t-log", "localhost/umsui/redis:1", command=("sh", "-c", "echo a; echo b >&2; echo c; sleep 9")
    )
    PODMAN.create(here, spec)
    PODMAN.start(here, "t-log")
    until = time.monotonic() + 10
    while len(PODMAN.logs(here, "t-log", 9)) < 3 and time.monotonic() < until:
        time.sleep(0.1)
    assert sorted(PODMAN.logs(here, "t-log", 9)) == ["a", "b", "c"]
    assert len(PODMAN.logs(here, "t-log", 2)) == 2
    assert PODMAN.has_image(here, IMAGE)
    assert PODMAN.has_image(here, PODMAN.raw(here, "t-log")["Image"])
    assert not PODMAN.has_image(here, "no/such:image")
    assert PODMAN.image_size(here, IMAGE) > 100_000
    for call in (PODMAN.raw, PODMAN.specification, PODMAN.logs, PODMAN.image_size):
        with pytest.raises(BadInput):
            call(here, "no-such-thing")
    with pytest.raises(CommandFailed, match="no such container"):
        PODMAN.start(here, "no-such-thing")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"network": "t-nowhere"}, "no-network"),
        ({"image": "no/such:1"}, "no-image"),
        ({"name": "t-taken"}, "name-taken"),
    ],
)
def test_what_cannot_be_created(hosts: dict[str, SshTransport], change: dict[str, str], code: str) -> None:
    here = hosts[HERE]
    taken = Specification("t-taken", IMAGE)
    PODMAN.remove(here, "t-taken")
    PODMAN.create(here, taken)
    with pytest.raises(CommandFailed) as caught:
        PODMAN.create(here, Specification(**{"name": "t-new", "image": IMAGE, **change}))
    assert caught.value.code == code
    assert caught.value.fix
    PODMAN.remove(here, "t-taken")


def test_a_volume_in_use_is_not_removed(hosts: dict[str, SshTransport], lab: RunningLab) -> None:
    here = hosts[HERE]
    lab.sh(HERE, f"podman create --name t-a -v t-shared:/d {IMAGE}; podman create --name t-b -v t-shared:/d {IMAGE}")
    with pytest.raises(CommandFailed, match="being used"):
        PODMAN.remove(here, "t-a", volumes=["t-shared"])
    PODMAN.remove(here, "t-b", volumes=["t-shared"])
