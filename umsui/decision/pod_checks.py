"""What moving a pod by its kubelet's checkpoint asks of both clusters and their nodes."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.decision import pair_checks as pair
from umsui.decision import service_checks as service
from umsui.decision.node_checks import NODE_CHECKS, version
from umsui.decision.situation import Situation, blocking, good, name, size
from umsui.interface.facts import NodeFacts, ServiceFacts
from umsui.model import Cluster, Finding

RESTORES = (2, 1)  # the least containerd that restores a container from a checkpoint's image
PATIENCE = 60.0  # seconds of copying: a kubelet gives up the start of a container, which a restore is, after 120

CHECKS = (
    *(service.undumpable, service.connections, service.oddities, service.logs),
    *(pair.cpu, pair.cgroup, pair.same_runtime, pair.criu_pair, pair.lsm, pair.seccomp, pair.time_namespace),
    *(pair.clocks, pair.route, pair.tmpfs_room, pair.disk_room),
)
"""Beside what each move of a pod is judged by (``api_checks``)."""


def obstacle(source: Cluster, here: NodeFacts, destination: Cluster, there: NodeFacts) -> tuple[str, str]:
    """What at the two ends makes it impossible, and how to mend it; ("", "") when nothing does."""
    for cluster, node in ((source, here), (destination, there)):
        if node.unreached:
            fix = (
                f'log in to its nodes: nodes = [{{ name = "NODE", ssh = "root@HOST" }}] at {cluster.name} in the config'
            )
            return f"no agent can be on the node at {cluster.name}: {node.unreached}", fix
        if "runc" not in node.runtimes:
            return f"there is no runc at {cluster.name}", "use containerd with runc: with crun it does not restore"
    if not here.checkpoints:
        fix = "ask for a ClusterRole with `create` on `nodes/proxy`: docs/kubernetes.md has one"
        return f"the credentials do not allow `create nodes/proxy` at {source.name}", fix
    if version(there.containerd) < RESTORES:
        found = there.containerd or "none"
        return (
            f"containerd at {destination.name} ({found}) does not restore checkpoints",
            "install containerd 2.1 or newer",
        )
    return "", ""


def container_obstacle(facts: ServiceFacts) -> tuple[str, str]:
    """What of the pod's container, as its node sees it, makes it impossible."""
    if facts.runtime != "runc":
        seen = facts.runtime or "nothing that its node tells of"
        return f"it is run by {seen}, not by runc", "run it with containerd's runtime runc"
    return "", ""


def findings(case: Situation) -> Iterator[Finding]:
    """All of them, in a fixed order."""
    for where, node in case.ends:
        for check in NODE_CHECKS:
            yield from check(where, node)
    for each in CHECKS:
        yield from each(case)
    yield from patience(case)


def patience(case: Situation) -> Iterator[Finding]:
    """The restore waits for the files, and the kubelet for the restore."""
    need, rate = case.facts.rootfs_bytes + sum(case.facts.volume_bytes.values()), case.link.bandwidth
    where = name(case.destination)
    if rate and need / rate > PATIENCE:
        what = f"{size(need)} of files take {need / rate:.0f} s there"
        why = (
            "they are copied while the destination's kubelet waits for the pod to start, which it does for two minutes"
        )
        yield blocking("kubelet", what, why, "move it service-level, or raise runtimeRequestTimeout there", where)
    else:
        yield good("kubelet", "its files arrive while the kubelet waits for the pod to start", where)
