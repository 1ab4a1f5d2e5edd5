"""One service from podman to Kubernetes, docker and back: orchestrators that know nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import RunningLab
from tests.lab.clusters import Clusters
from tests.lab.job import containers, memhog, started, traces, umsui
from umsui.lab.kubernetes import cluster

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(600)]

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
        done = umsui("migrate", service, "--to", to, "--approach", "service", "--json", "--yes")
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
