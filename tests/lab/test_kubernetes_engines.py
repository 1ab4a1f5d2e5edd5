"""One service from podman to Kubernetes, docker and back: orchestrators that know nothing of each other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.clusters import Clusters
from tests.lab.job import containers, memhog, started, traces, umsui, wait_for_outcome, wait_for_step
from tests.waiting import waiting_for
from umsui import locations
from umsui.lab.kubernetes import cluster

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(600)]

NESTED = """
name = "hog"
image = "{image}"
command = ["MIB=48", "CHILDREN=3"]
ports = ["8200:8000"]
volumes = ["hog-data:/data"]
memory = "100MiB"
restart = "always"
"""
NODE = {"azure-lab": ("--node", "azure-1"), "gke-lab": ()}
OUTCOMES = {  # a coordinator that dies while the service is dumped may have decided by then
    "copy-ahead": ("rolled-back",),
    "checkpoint": ("rolled-back", "committed"),
    "remove-source": ("committed",),
}
BASE = "localhost/umsui/memhog:1"
RUN = (
    *("--cap-drop", "all", "--cap-add", "CHECKPOINT_RESTORE,SYS_PTRACE,SETPCAP"),
    *("--security-opt", "seccomp=unconfined", "-p", "8100:8000", "--name", "web", "-v", "web-data:/data"),
)


@pytest.fixture
def everywhere(kubernetes_lab: RunningLab) -> Iterator[Clusters]:
    """All orchestrators, and the image with umsui inside under one name at each."""
    kubernetes_lab.select()
    kubernetes_lab.reset()
    image = f"{cluster.registry(kubernetes_lab.host('aks-1'))}/umsui/memhog:1-umsui"
    for host, where in (("azure-1", "azure-lab/azure-1"), ("gcp-1", "gcp-lab/gcp-1")):
        built = umsui("image", "build", "--approach", "service", BASE, "--node", where)
        assert built.code == 0, built.err
        kubernetes_lab.run(host, kubernetes_lab.host(host).orchestrator, "tag", f"{BASE}-umsui", image)
    kubernetes_lab.run("azure-1", "podman", "push", "-q", "--tls-verify=false", image)
    yield Clusters(kubernetes_lab, image)
    umsui("coordinator", "stop", "--force")


def test_a_service_goes_through_all_orchestrators_and_comes_home(everywhere: Clusters) -> None:
    lab = everywhere.lab
    lab.run("azure-1", "podman", "run", "-d", *RUN, "-e", "MIB=32", everywhere.image)
    before = started(lab, "azure-1", 8100)
    lab.sh("azure-1", "echo carried > $(podman volume inspect web-data --format '{{.Mountpoint}}')/note")
    checksum = memhog(lab, "azure-1", "/checksum", 8100)

    def move(service: str, to: str) -> None:
        done = umsui("migrate", service, "--to", to, *NODE.get(to, ()), "--approach", "service", "--json", "--yes")
        assert done.code == 0, f"{done.err}{done.out}"
        assert done.document["outcome"] == "committed"
        assert done.document["downtime_source"] == "client"

    move("azure-lab/web", "gke-lab")
    at_pod = everywhere.get("gke-lab", "web")
    assert (at_pod["nonce"], at_pod["pid"]) == (before["nonce"], before["pid"])
    assert everywhere.get("gke-lab", "web", "/checksum") == checksum
    assert "web" not in containers(lab, "azure-1")

    move("gke-lab/web", "gcp-lab")
    at_docker = memhog(lab, "gcp-1", port=8100)  # where it was published before it was a pod
    assert at_docker["nonce"] == before["nonce"]
    assert everywhere.read("gke-lab", "web") is None

    move("gcp-lab/web", "aks-lab")
    move("aks-lab/web", "azure-lab")
    home = memhog(lab, "azure-1", port=8100)
    assert home["nonce"] == before["nonce"]
    assert before["count"] < at_pod["count"] < at_docker["count"] < home["count"]
    assert memhog(lab, "azure-1", "/checksum", 8100) == checksum
    note = lab.sh("azure-1", "cat $(podman volume inspect web-data --format '{{.Mountpoint}}')/note")
    assert note.strip() == "carried"
    for host in ("azure-1", "gcp-1"):
        assert traces(lab, host) == []


def test_what_has_no_counterpart_is_named_in_the_plan(everywhere: Clusters) -> None:
    api = everywhere.api("aks-lab")
    api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "settings"}, "data": {"A": "1"}})
    spec = everywhere.spec(envFrom=[{"configMapRef": {"name": "settings"}}])
    api.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "cm"}, "spec": spec})
    everywhere.answers("aks-lab", "cm")
    planned = umsui("plan", "cm", "--to", "azure-lab", "--approach", "service", "--json").document
    blocking = [each["what"] for each in planned["findings"] if each["blocking"] and not each["ok"]]
    assert "its variables come from a ConfigMap, Secret or field: all of an object" in blocking
    api.delete("/api/v1/namespaces/default/pods/cm", {"gracePeriodSeconds": 0})
    api.delete("/api/v1/namespaces/default/configmaps/settings")


def test_an_unchanged_image_goes_through_all_orchestrators_nested(everywhere: Clusters, tmp_path: Path) -> None:
    """The same nested image at each: put together in a registry, pulled by podman, docker and kubelets."""
    lab = everywhere.lab
    base = f"{cluster.registry(lab.host('aks-1'))}/umsui/memhog:1"
    image = umsui("image", "build", "--approach", "container", base).out.strip()
    file = tmp_path / "hog.toml"
    file.write_text(NESTED.format(image=image))
    done = umsui("deploy", str(file), "--cluster", "azure-lab", "--node", "azure-1", "--approach", "container")
    assert done.code == 0, done.err
    before = started(lab, "azure-1", 8200)
    limits = lab.run("azure-1", "podman", "inspect", "hog", "--format", "{{.HostConfig.Memory}}").strip()
    lab.sh("azure-1", "podman exec hog sh -c 'echo kept >/umsui/mounts/data/note; echo changed >/umsui/rootfs/note'")
    checksum = memhog(lab, "azure-1", "/checksum", 8200)

    def move(service: str, to: str, *more: str) -> None:
        done = umsui("migrate", service, "--to", to, "--json", "--yes", *more)
        assert done.code == 0, f"{done.err}{done.out}"
        document = done.document
        assert (document["outcome"], document["approach"]) == ("committed", "container")
        assert document["downtime_source"] == "client"

    move("azure-lab/hog", "gke-lab")
    at_pod = everywhere.get("gke-lab", "hog")
    assert (at_pod["nonce"], at_pod["pid"]) == (before["nonce"], before["pid"])
    assert everywhere.get("gke-lab", "hog", "/checksum") == checksum
    assert "hog" not in containers(lab, "azure-1")
    move("gke-lab/hog", "gcp-lab", "--strategy", "stop-copy")
    at_docker = memhog(lab, "gcp-1", port=8200)
    move("gcp-lab/hog", "aks-lab", "--strategy", "post-copy")
    move("aks-lab/hog", "azure-lab", "--node", "azure-1", "--strategy", "hybrid")
    home = memhog(lab, "azure-1", port=8200)
    assert before["nonce"] == at_docker["nonce"] == home["nonce"]
    assert before["count"] < at_pod["count"] < at_docker["count"] < home["count"]
    assert memhog(lab, "azure-1", "/checksum", 8200) == checksum
    notes = lab.run("azure-1", "podman", "exec", "hog", "cat", "/umsui/mounts/data/note", "/umsui/rootfs/note")
    assert notes.split() == ["kept", "changed"]
    assert lab.run("azure-1", "podman", "inspect", "hog", "--format", "{{.HostConfig.Memory}}").strip() == limits
    assert [everywhere.read(where, "hog") for where in ("aks-lab", "gke-lab")] == [None, None]
    for host in ("azure-1", "gcp-1"):
        assert traces(lab, host) == []


@pytest.mark.parametrize(("here", "there"), [("azure-lab", "gke-lab"), ("gke-lab", "azure-lab")])
@pytest.mark.parametrize("step", ["copy-ahead", "checkpoint", "remove-source"])
def test_a_coordinator_killed_between_a_host_and_a_pod_leaves_one_service(
    everywhere: Clusters, tmp_path: Path, here: str, there: str, step: str
) -> None:
    lab = everywhere.lab
    base = f"{cluster.registry(lab.host('aks-1'))}/umsui/memhog:1"
    file = tmp_path / "hog.toml"
    file.write_text(NESTED.format(image=umsui("image", "build", "--approach", "container", base).out.strip()))
    done = umsui("deploy", str(file), "--cluster", here, *NODE[here], "--approach", "container")
    assert done.code == 0, done.err

    def answer(where: str) -> dict[str, Any]:
        return everywhere.answers(where, "hog") if where == "gke-lab" else started(lab, "azure-1", 8200)

    before = answer(here)
    begun = umsui("migrate", f"{here}/hog", "--to", there, *NODE[there], "--json", "--yes", "--detach")
    identity = begun.document["id"]
    wait_for_step(identity, step)
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    outcome = wait_for_outcome(identity, 120)["outcome"]  # asking starts it again
    assert outcome in OUTCOMES[step]
    place = there if outcome == "committed" else here
    assert answer(place)["nonce"] == before["nonce"]
    if place == "azure-lab":
        waiting_for(lambda: everywhere.read("gke-lab", "hog") is None, 60)
        assert memhog(lab, "azure-1", "/checksum", 8200)["ok"] is True
    else:
        assert "hog" not in containers(lab, "azure-1")
        assert everywhere.get("gke-lab", "hog", "/checksum")["ok"] is True
    assert traces(lab, "azure-1") == []
