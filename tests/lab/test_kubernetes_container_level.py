"""Container-level between two Kubernetes clusters: an unchanged image, nested in a pod, through both APIs alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators.kubernetes_api import NotFound
from backends.orchestrators.kubernetes_manifests import MARK
from tests.conftest import RunningLab
from tests.lab.clusters import APPS, PODS, Clusters
from tests.lab.job import LEFT, Answer, umsui, wait_for_outcome, wait_for_step
from tests.waiting import waiting_for
from umsui import locations
from umsui.lab.kubernetes import cluster
from umsui.model import Strategy

pytestmark = [pytest.mark.lab, pytest.mark.kubernetes, pytest.mark.timeout(300)]

NODES = {"aks-lab": "aks-1", "gke-lab": "gke-1"}
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
HOG = """
name = "hog"
image = "{registry}/umsui/memhog:1"
command = ["MIB=64", "CHILDREN=3"]
ports = ["8000:8000"]
restart = "always"
labels = {{ app = "hog" }}
"""


@pytest.fixture(scope="module")
def both(cluster_module: RunningLab) -> Clusters:
    """The two clusters, and a coordinator that has seen them."""
    umsui("clusters")
    return Clusters(cluster_module)


@pytest.fixture
def clusters(both: Clusters) -> Iterator[Clusters]:
    yield both
    both.clear()
    waiting_for(lambda: all(both.read(name, "hog") is None for name in NODES), 60)


def deploy(clusters: Clusters, folder: Path, more: str = "", text: str = HOG) -> Answer:
    """Start the service at aks-lab, nested."""
    file = folder / "service.toml"
    file.write_text(text.format(registry=cluster.registry(clusters.lab.host("aks-1"))) + more)
    return umsui("deploy", str(file), "--cluster", "aks-lab", "--approach", "container", "--json")


def deployed(clusters: Clusters, folder: Path, more: str = "") -> dict[str, Any]:
    """The same, and what the service answers."""
    done = deploy(clusters, folder, more)
    assert done.code == 0, done.err
    return clusters.answers("aks-lab", "hog")


def move(service: str, to: str, *more: str) -> dict[str, Any]:
    done = umsui("migrate", service, "--to", to, "--json", "--yes", *more)
    assert done.code == 0, f"{done.err}{done.out}"
    document: dict[str, Any] = done.document
    assert (document["outcome"], document["approach"]) == ("committed", "container")
    return document


def begun(to: str, *more: str) -> str:
    """The id of a migration that goes on."""
    done = umsui("migrate", "hog", "--to", to, "--json", "--yes", "--detach", *more)
    assert done.code == 0, done.err
    return str(done.document["id"])


def marked(clusters: Clusters) -> list[str]:
    """What still belongs to a migration, at either end."""
    paths = [f"/api/v1/namespaces/default/{kind}" for kind in ("pods", "persistentvolumeclaims")]
    items = [e for name in NODES for path in paths for e in clusters.api(name).get(path, labelSelector=MARK)["items"]]
    return [each["metadata"]["name"] for each in items]


def traces(clusters: Clusters, where: str) -> list[str]:
    """What migrations have left in the outer pod."""
    script = LEFT.replace('program == "criu"', 'program in ("criu", "sshd", "sshd-session")')
    return clusters.lab.run(NODES[where], "kubectl", "exec", "hog", "--", "python3", "-c", script).splitlines()


def volume(clusters: Clusters, where: str, claim: str) -> str:
    """The folder of the node that a claim's data is in."""
    api = clusters.api(where)
    name = api.get(f"{CLAIMS}/{claim}")["spec"]["volumeName"]
    return str(api.get(f"/api/v1/persistentvolumes/{name}")["spec"]["hostPath"]["path"])


def same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert after["nonce"] == before["nonce"]
    assert after["pid"] == before["pid"]
    assert after["processes"] == before["processes"]
    assert after["count"] >= before["count"]


def test_there_and_back_with_memory_files_and_a_claim(clusters: Clusters, tmp_path: Path) -> None:
    before = deployed(clusters, tmp_path, 'volumes = ["data:/data"]\nmemory = "110MiB"\n')
    checksum = clusters.get("aks-lab", "hog", "/checksum")
    clusters.lab.sh(
        "aks-1",
        f"cd {volume(clusters, 'aks-lab', 'data')} && echo one >.hidden && mkdir 'a b' && "
        "head -c 300000 /dev/urandom >'a b/big' && ln 'a b/big' linked && truncate -s 5M sparse && chown 12:34 linked",
    )
    summary = "cd {} && find . -printf '%p %y %m %U %G %s %n %l\\n' | sort; sha256sum .hidden linked"
    data = clusters.lab.sh("aks-1", summary.format(volume(clusters, "aks-lab", "data")))
    clusters.lab.run("aks-1", "kubectl", "exec", "hog", "--", "sh", "-c", "echo changed >/umsui/rootfs/note")
    for here, there, *strategy in (("aks-lab", "gke-lab"), ("gke-lab", "aks-lab", "--strategy", "stop-copy")):
        document = move("hog", there, *strategy)
        assert document["downtime_source"] == "client"
        assert document["bytes"]["memory"] >= 60 << 20
        same(before, clusters.get(there, "hog"))
        before = clusters.get(there, "hog")
        assert clusters.get(there, "hog", "/checksum") == checksum
        assert clusters.read(here, "hog") is None
        with pytest.raises(NotFound):
            clusters.api(here).get(f"{CLAIMS}/data")
        assert clusters.lab.sh(NODES[there], summary.format(volume(clusters, there, "data"))) == data
        note = clusters.lab.run(NODES[there], "kubectl", "exec", "hog", "--", "cat", "/umsui/rootfs/note")
        assert note == "changed\n"
        found = clusters.read(there, "hog")
        assert found is not None
        assert found["metadata"]["labels"]["app"] == "hog"
        assert traces(clusters, there) == []
    assert marked(clusters) == []


@pytest.mark.parametrize("strategy", [Strategy.HYBRID, Strategy.POST_COPY])
def test_memory_that_follows_after_the_switch(clusters: Clusters, tmp_path: Path, strategy: Strategy) -> None:
    before = deployed(clusters, tmp_path)
    document = move("hog", "gke-lab", "--strategy", strategy.value)
    assert document["strategy"] == strategy.value
    same(before, clusters.get("gke-lab", "hog"))
    assert clusters.get("gke-lab", "hog", "/checksum")["ok"] is True
    assert traces(clusters, "gke-lab") == []


CUT = """
import os, signal
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{name}/cmdline").read()
    except OSError:
        continue
    if words.startswith("/usr/sbin/sshd") or words.startswith("sshd"):
        os.kill(int(name), signal.SIGKILL)
"""


def test_a_wire_that_is_cut_while_pages_are_missing_is_opened_again(clusters: Clusters, tmp_path: Path) -> None:
    before = deployed(clusters, tmp_path)
    identity = begun("gke-lab", "--strategy", "post-copy", "--bandwidth", "6MB/s")
    wait_for_step(identity, "drain")
    clusters.lab.run("gke-1", "kubectl", "exec", "hog", "--", "python3", "-c", CUT)
    assert wait_for_outcome(identity, 120)["outcome"] == "committed"
    same(before, clusters.get("gke-lab", "hog"))
    assert clusters.get("gke-lab", "hog", "/checksum")["ok"] is True
    waiting_for(lambda: traces(clusters, "gke-lab") == [], 10)


def test_an_owner_follows_probes_wait_and_a_restart_is_a_restart(clusters: Clusters, tmp_path: Path) -> None:
    deployed(clusters, tmp_path)
    api = clusters.api("aks-lab")
    spec = api.get(f"{PODS}/hog")["spec"]
    api.delete(f"{PODS}/hog", {"gracePeriodSeconds": 0})
    (container,) = spec["containers"]
    container = {key: container[key] for key in ("name", "image", "args", "env", "ports", "securityContext")}
    container["livenessProbe"] = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1, "failureThreshold": 2}
    template = {"metadata": {"labels": {"app": "dep"}}, "spec": {"containers": [container]}}
    name = clusters.owned("deployments", "dep", template=template)["metadata"]["name"]
    before = clusters.get("aks-lab", name)
    move(name, "gke-lab")
    same(before, clusters.get("gke-lab", name))
    time.sleep(5)  # were the controller to make a second one, or a probe to find it unwell, it would be so by now
    (found,) = clusters.pods("gke-lab", "dep")
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    assert clusters.api("gke-lab").get(f"{APPS}/deployments/dep")["status"]["availableReplicas"] == 1
    assert clusters.pods("aks-lab", "dep") == []
    clusters.lab.run("gke-1", "kubectl", "exec", name, "--", "sh", "-c", "kill -KILL $(cat /run/umsui-nested/pid)")

    def restarted() -> bool:
        return bool(clusters.api("gke-lab").get(f"{PODS}/{name}")["status"]["containerStatuses"][0]["restartCount"])

    waiting_for(restarted, 60)
    assert clusters.answers("gke-lab", name)["nonce"] != before["nonce"]
    assert marked(clusters) == []


def test_cancelled_while_it_stands_still(clusters: Clusters, tmp_path: Path) -> None:
    before = deployed(clusters, tmp_path, 'volumes = ["data:/data"]\n')
    identity = begun("gke-lab", "--strategy", "stop-copy", "--bandwidth", "4MB/s")
    wait_for_step(identity, "checkpoint")
    assert umsui("cancel", identity).code == 0
    assert wait_for_outcome(identity, 120)["outcome"] == "cancelled"
    same(before, clusters.answers("aks-lab", "hog"))
    assert clusters.get("aks-lab", "hog", "/checksum")["ok"] is True
    assert clusters.read("gke-lab", "hog") is None
    assert marked(clusters) == []
    assert traces(clusters, "aks-lab") == []
    before = clusters.get("aks-lab", "hog")
    move("hog", "gke-lab")
    same(before, clusters.get("gke-lab", "hog"))


def test_what_is_in_the_way_undoes_it(clusters: Clusters, tmp_path: Path) -> None:
    before = deployed(clusters, tmp_path, 'volumes = ["data:/data"]\n')
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    clusters.api("gke-lab").create(CLAIMS, {"metadata": {"name": "data"}, **claim})
    done = umsui("migrate", "hog", "--to", "gke-lab", "--json", "--yes")
    assert done.code == 1
    assert "there is a volume claim data already" in done.document["error"]["message"]
    same(before, clusters.get("aks-lab", "hog"))
    assert clusters.read("gke-lab", "hog") is None
    assert clusters.api("gke-lab").get(f"{CLAIMS}/data")["metadata"]["name"] == "data"  # it is somebody else's
    assert traces(clusters, "aks-lab") == []


@pytest.mark.parametrize("strategy", ["stop-copy", "pre-copy"])
@pytest.mark.parametrize("step", ["copy-ahead", "checkpoint", "remove-source"])
def test_a_coordinator_that_is_killed_leaves_one_service(
    clusters: Clusters, tmp_path: Path, step: str, strategy: str
) -> None:
    before = deployed(clusters, tmp_path)
    identity = begun("gke-lab", "--strategy", strategy)
    wait_for_step(identity, step)
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    document = wait_for_outcome(identity, 120)  # asking starts it again
    outcome = document["outcome"]
    assert outcome in ("committed", "rolled-back"), document["error"]
    if step != "checkpoint":
        assert outcome == ("committed" if step == "remove-source" else "rolled-back"), document
    runs_once(clusters, before, committed=outcome == "committed")


def runs_once(clusters: Clusters, before: dict[str, Any], *, committed: bool) -> None:
    """Where it belongs, whole, and nowhere else; nothing of the move is left."""
    place, other = ("gke-lab", "aks-lab") if committed else ("aks-lab", "gke-lab")
    same(before, clusters.answers(place, "hog"))
    assert clusters.get(place, "hog", "/checksum")["ok"] is True
    waiting_for(lambda: clusters.read(other, "hog") is None, 60)
    assert marked(clusters) == []
    waiting_for(lambda: traces(clusters, place) == [], 10)


def test_a_source_whose_coordinator_is_gone_thaws_by_itself(clusters: Clusters, tmp_path: Path) -> None:
    before = deployed(clusters, tmp_path)
    identity = begun("gke-lab", "--strategy", "stop-copy", "--bandwidth", "2MB/s")
    wait_for_step(identity, "checkpoint")
    os.kill(int(locations.coordinator_pid_file().read_text()), signal.SIGKILL)
    same(before, clusters.answers("aks-lab", "hog", within=40))  # nobody has started another one
    assert wait_for_outcome(identity, 120)["outcome"] == "rolled-back"
    same(before, clusters.answers("aks-lab", "hog"))
    assert clusters.read("gke-lab", "hog") is None
    assert traces(clusters, "aks-lab") == []


def test_a_pod_that_is_removed_meanwhile_ends_the_move(clusters: Clusters, tmp_path: Path) -> None:
    deployed(clusters, tmp_path)
    identity = begun("gke-lab", "--strategy", "stop-copy", "--bandwidth", "4MB/s")
    wait_for_step(identity, "copy-ahead")
    clusters.api("aks-lab").delete(f"{PODS}/hog", {"gracePeriodSeconds": 1})
    document = wait_for_outcome(identity, 120)
    assert document["outcome"] == "rolled-back", document["error"]
    waiting_for(lambda: clusters.read("gke-lab", "hog") is None, 60)
    assert clusters.read("aks-lab", "hog") is None  # whoever removed it wanted that
    assert marked(clusters) == []


@pytest.mark.parametrize("where", ["aks-1", "gke-1"])
def test_an_api_server_that_dies_in_the_middle_leaves_one_service(
    clusters: Clusters, tmp_path: Path, where: str
) -> None:
    before = deployed(clusters, tmp_path)
    identity = begun("gke-lab", "--strategy", "stop-copy", "--bandwidth", "30MB/s")
    wait_for_step(identity, "checkpoint")
    clusters.lab.run(where, cluster.NODE, "stop", "kube-apiserver")
    time.sleep(3)
    threading.Thread(target=clusters.lab.run, args=(where, cluster.NODE, "start", "kube-apiserver")).start()
    document = wait_for_outcome(identity, 120)
    outcome = document["outcome"]
    assert outcome in ("committed", "rolled-back"), document["error"]
    runs_once(clusters, before, committed=outcome == "committed")


def test_a_plan_says_why_not_and_a_file_that_no_pod_can_be_is_refused(clusters: Clusters, tmp_path: Path) -> None:
    plain = umsui("plan", "gke-lab/memhog-pod", "--to", "aks-lab", "--approach", "container", "--json").document
    assert plain["approach"] is None
    assert "not nested" in plain["reason"]
    refused = deploy(clusters, tmp_path, "pids = 10\n")
    assert refused.code == 2
    assert "a limit of processes" in refused.err
    nobody = deploy(clusters, tmp_path, 'user = "nobody-knows"\nvolumes = ["data:/data"]\n')
    assert nobody.code == 1
    assert "nobody-knows" in nobody.err
    assert clusters.read("aks-lab", "hog") is None
    with pytest.raises(NotFound):
        clusters.api("aks-lab").get(f"{CLAIMS}/data")
    nowhere = deploy(clusters, tmp_path, text=HOG.replace("memhog:1", "none:1"))
    assert nowhere.code == 1
    assert "none" in nowhere.err
    deployed(clusters, tmp_path)
    again = deploy(clusters, tmp_path)
    assert "aks-lab/hog already" in again.err
    plan = umsui("plan", "hog", "--to", "gke-lab", "--json").document
    assert plan["approach"] == "container"
    verdicts = {each["approach"]: each for each in plan["verdicts"] if each["strategy"] == "stop-copy"}
    assert "outer container" in verdicts["orchestrator"]["reason"]
