"""Docker to docker: the container is docker's own afterwards, nothing is lost, what fails leaves the source running."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.job import containers, memhog, started, traces, umsui, wait_for_outcome, wait_for_step
from tests.lab.test_main_job import Writer
from tests.waiting import waiting_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

HERE, THERE = "onprem-1", "gcp-1"
PORT = 8011
RUN = f"docker run -d --name m1 -p {PORT}:8000 --restart always -e MARK=1 localhost/umsui/memhog:1"


@pytest.mark.parametrize("strategy", ["stop-copy", "post-copy"])
def test_it_is_dockers_own_afterwards(mixed: RunningLab, strategy: str) -> None:
    mixed.sh(HERE, f"{RUN} MIB=64 CHILDREN=3")
    before = started(mixed, HERE, PORT)
    umsui("services", "--refresh")
    settings = json.loads(mixed.run(HERE, "docker", "inspect", "m1"))[0]
    done = umsui("migrate", "m1", "--to", "gcp-lab", "--strategy", strategy, "--json", "--yes")
    assert done.code == 0, done.err
    now = memhog(mixed, THERE, port=PORT)
    assert (now["nonce"], now["processes"]) == (before["nonce"], 4)
    assert memhog(mixed, THERE, "/checksum", port=PORT)["ok"] is True
    arrived = json.loads(mixed.run(THERE, "docker", "inspect", "m1"))[0]
    for part in ("Config", "HostConfig"):
        mine, theirs = (dict(each[part], Hostname="") for each in (settings, arrived))
        assert mine == theirs
    assert "m1" not in containers(mixed, HERE)
    assert [traces(mixed, host) for host in (HERE, THERE)] == [[], []]
    assert mixed.run(THERE, "docker", "ps", "--filter", "name=m1", "--format", "{{.Status}}").startswith("Up")
    lines = mixed.sh(THERE, "docker logs m1 2>&1").split()  # of all its life, and docker shows all that there is
    assert 100 <= int(lines[0]) < 200  # its first: each hundred is told at the next step that it takes
    assert len(lines) >= int(mixed.sh(THERE, "wc -l < $(docker inspect -f '{{.LogPath}}' m1)")) - 1
    mixed.run(THERE, "docker", "pause", "m1")
    mixed.run(THERE, "docker", "unpause", "m1")
    mixed.run(THERE, "docker", "restart", "-t", "1", "m1")
    assert started(mixed, THERE, PORT)["nonce"] != before["nonce"]
    mixed.run(THERE, "docker", "stop", "-t", "1", "m1")
    mixed.run(THERE, "docker", "rm", "m1")


def test_redis_loses_no_acknowledged_write(mixed: RunningLab) -> None:
    """With a volume and files in its own root file system, there and back, under a writer all the time."""
    mixed.sh(
        HERE,
        "docker run -d --name db -p 6379:6379 -v db-data:/data localhost/umsui/redis:1 >/dev/null; "
        "docker exec db sh -c 'echo kept > /root/new; rm /etc/group; ln -s x /data/.link'",
    )
    umsui("services", "--refresh")
    writer = Writer([mixed.host(name).address for name in (HERE, THERE)])
    writer.start()
    time.sleep(0.5)
    for to in ("gcp-lab", "onprem-lab"):
        done = umsui("migrate", "db", "--to", to, "--json", "--yes")
        assert done.code == 0, done.err
    time.sleep(0.5)
    writer.going = False
    writer.join()
    assert len(writer.acknowledged) > 100
    with socket.create_connection((mixed.host(HERE).address, 6379), timeout=5) as stream:
        reader = stream.makefile("rb")
        for number in writer.acknowledged:
            stream.sendall(f"GET key{number}\r\n".encode())
            assert reader.readline().startswith(b"$"), number
            assert reader.readline() == f"{number}\r\n".encode()
    assert mixed.sh(HERE, "docker exec db sh -c 'cat /root/new; ls /etc; ls -A /data'").split()[0] == "kept"
    assert "group" not in mixed.sh(HERE, "docker exec db ls /etc").split()
    assert ".link" in mixed.sh(HERE, "docker exec db ls -A /data").split()
    assert mixed.run(THERE, "docker", "volume", "ls", "-q").split() == []


KILL_RELAY = "for p in $(grep -lasz relay /proc/[0-9]*/cmdline | cut -d/ -f3); do grep -qasz '^relay$' /proc/$p/cmdline"
KILL_RELAY += " && kill -9 $p; done; true"


@pytest.mark.parametrize("trouble", ["cancelled", "relay killed", "docker killed"])
def test_what_fails_before_the_commit_leaves_the_source_running(mixed: RunningLab, trouble: str) -> None:
    mixed.sh(HERE, f"{RUN} MIB=128")
    before = started(mixed, HERE, PORT)
    umsui("services", "--refresh")
    umsui("lab", "shape", "200mbit")  # the memory takes 5 s: the service is frozen when the trouble comes
    begun = umsui("migrate", "m1", "--to", "gcp-lab", "--strategy", "stop-copy", "--json", "--yes", "--detach")
    migration = str(begun.document["id"])
    wait_for_step(migration, "freeze", "done")
    if trouble == "cancelled":
        umsui("cancel", migration)
    elif trouble == "relay killed":
        mixed.sh(THERE, KILL_RELAY)
    else:
        mixed.sh(THERE, "kill -9 $(pidof containerd-shim-runc-v2)")
    outcome = wait_for_outcome(migration)
    assert outcome["outcome"] == ("cancelled" if trouble == "cancelled" else "rolled-back"), outcome
    umsui("lab", "shape", "none")
    after = memhog(mixed, HERE, port=PORT)
    assert after["nonce"] == before["nonce"]
    waiting_for(lambda: memhog(mixed, HERE, port=PORT)["count"] > after["count"])
    assert memhog(mixed, HERE, "/checksum", port=PORT)["ok"] is True
    assert "m1" not in containers(mixed, THERE)
    assert [traces(mixed, host) for host in (HERE, THERE)] == [[], []]
    done = umsui("migrate", "m1", "--to", "gcp-lab", "--json", "--yes")
    assert done.code == 0, done.err


def test_from_podman_to_docker_and_back(mixed: RunningLab) -> None:
    """It is docker's own there, and podman's own again at home; files in its root and its settings go along."""
    run = "podman run -d --name x1 -p 8012:8000 -v kept:/kept -e MARK=1 --label a=b localhost/umsui/memhog:1 MIB=32"
    mixed.sh("azure-1", f"{run} >/dev/null; echo data > $(podman volume inspect -f '{{{{.Mountpoint}}}}' kept)/file")
    before = started(mixed, "azure-1", 8012)
    umsui("services", "--refresh")
    assert umsui("migrate", "x1", "--to", "gcp-lab", "--json", "--yes").code == 0
    found = json.loads(mixed.run("gcp-1", "docker", "inspect", "x1"))[0]
    assert "MARK=1" in found["Config"]["Env"]
    assert found["Config"]["Labels"]["a"] == "b"
    assert memhog(mixed, "gcp-1", port=8012)["nonce"] == before["nonce"]
    assert mixed.sh("gcp-1", "cat /var/lib/docker/volumes/kept/_data/file").strip() == "data"
    done = umsui("migrate", "x1", "--to", "azure-lab", "--node", "azure-1", "--json", "--yes")
    assert done.code == 0, done.err
    assert memhog(mixed, "azure-1", port=8012)["nonce"] == before["nonce"]
    assert memhog(mixed, "azure-1", "/checksum", port=8012)["ok"] is True
    assert [traces(mixed, host) for host in ("azure-1", "gcp-1")] == [[], []]
    mixed.run("azure-1", "podman", "restart", "-t", "1", "x1")
    assert started(mixed, "azure-1", 8012)["nonce"] != before["nonce"]
    mixed.run("azure-1", "podman", "rm", "-f", "-t", "0", "x1")


def test_from_docker_to_podman(mixed: RunningLab) -> None:
    mixed.sh("gcp-1", "docker run -d --name d1 -p 8014:8000 localhost/umsui/memhog:1 MIB=8 >/dev/null")
    before = started(mixed, "gcp-1", 8014)
    umsui("services", "--refresh")
    for cluster, host in (("azure-lab", "azure-1"), ("gcp-lab", "gcp-1")):
        done = umsui("migrate", "d1", "--to", cluster, "--node", host, "--json", "--yes")
        assert done.code == 0, done.err
        assert memhog(mixed, host, port=8014)["nonce"] == before["nonce"]
        assert memhog(mixed, host, "/checksum", 8014)["ok"] is True


ALIKE, ACROSS = (("azure-1", "azure-2"), ("onprem-1", "gcp-1")), (("azure-1", "gcp-1"), ("gcp-1", "azure-1"))
NETWORKS = [(*pair, network) for pair in (*ALIKE, *ACROSS) for network in ("host", "none")]
NETWORKS += [(*pair, "bridge") for pair in ALIKE]
SETTING = "net.ipv4.ip_unprivileged_port_start"


@pytest.mark.parametrize(("here", "there", "network"), NETWORKS)
def test_the_network_is_that_which_it_is_made_for(mixed: RunningLab, here: str, there: str, network: str) -> None:
    """CRIU is in it already, at both ends; between containers of the same engine its settings go along."""
    engines = [mixed.host(name).orchestrator for name in (here, there)]
    kept = engines[0] == engines[1] and network != "host"
    flags = f"--network {network}" + (f" --sysctl {SETTING}=81" if kept else "")
    flags += " -p 8016:8016" if network == "bridge" else ""
    mixed.sh(here, f"{engines[0]} run -d --name n1 {flags} localhost/umsui/memhog:1 MIB=8 PORT=8016")
    ask = "import json,urllib.request as u; print(u.urlopen('http://127.0.0.1:8016/', timeout=5).read().decode())"

    def asked(host: str, engine: str) -> dict[str, Any]:
        pid = mixed.run(host, engine, "inspect", "-f", "{{.State.Pid}}", "n1").strip()
        words = mixed.sh(host, f'nsenter -t {pid} --net python3 -c "{ask}"')
        found: dict[str, Any] = json.loads(words)
        found["mine"] = mixed.sh(host, f"readlink /proc/{pid}/ns/net /proc/self/ns/net").split()
        found["setting"] = mixed.sh(host, f"nsenter -t {pid} --net cat /proc/sys/{SETTING.replace('.', '/')}").strip()
        return found

    time.sleep(0.5)  # until it listens
    before = asked(here, engines[0])
    umsui("services", "--refresh")
    cluster = mixed.host(there).cluster
    done = umsui("migrate", "n1", "--to", cluster, "--node", there, "--json", "--yes")
    assert done.code == 0, done.err
    assert done.document["approach"] == "orchestrator"
    now = asked(there, engines[1])
    assert now["nonce"] == before["nonce"]
    assert (now["mine"][0] == now["mine"][1]) is (network == "host")
    assert not kept or now["setting"] == "81"
    mixed.sh(there, f"{engines[1]} rm -f n1")
    assert [traces(mixed, host) for host in (here, there)] == [[], []]


def test_what_docker_gives_more_than_podman_goes_along_service_level(mixed: RunningLab, tmp_path: Path) -> None:
    image = "localhost/umsui/memhog:1"
    built = umsui("image", "build", "--approach", "service", image, "--node", "gcp-lab/gcp-1")
    assert built.code == 0, built.err
    file = tmp_path / "inner.toml"
    file.write_text(f'name = "inner"\nimage = "{image}-umsui"\ncommand = ["MIB=4"]\nports = ["8013:8000"]\n')
    done = umsui("deploy", str(file), "--cluster", "gcp-lab", "--node", "gcp-1", "--approach", "service")
    assert done.code == 0, done.err
    before = started(mixed, "gcp-1", 8013)
    for cluster, host in (("azure-lab", "azure-1"), ("gcp-lab", "gcp-1")):
        done = umsui("migrate", "inner", "--to", cluster, "--node", host, "--approach", "service", "--json", "--yes")
        assert done.code == 0, done.err
        assert memhog(mixed, host, port=8013)["nonce"] == before["nonce"]
        assert memhog(mixed, host, "/checksum", 8013)["ok"] is True


def test_doctor_knows_docker(mixed: RunningLab) -> None:
    checks = {each["check"]: each for each in umsui("doctor", "gcp-lab/gcp-1", "--json").document}
    assert checks["orchestrator"]["ok"]
    assert checks["docker-restore"]["ok"]
    podman = umsui("doctor", "azure-lab/azure-1", "--json").document
    assert "docker-restore" not in {each["check"] for each in podman}
