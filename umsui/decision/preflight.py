"""Preflight: everything that could stop a migration, found out by name before anything is touched (guarantee 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from umsui.decision import api_checks, pod_checks
from umsui.decision import mount_checks as mounts
from umsui.decision import pair_checks as pair
from umsui.decision import service_checks as service
from umsui.decision.node_checks import NODE_CHECKS
from umsui.decision.situation import Situation, blocking, warning
from umsui.model import Approach, Estimate, Finding, MigrationRequest

Check = Callable[[Situation], Iterator[Finding]]

EACH: tuple[Check, ...] = (
    service.undumpable,
    service.terminal,
    service.connections,
    service.oddities,
    service.unsupported,
    service.process_ids,
    service.logs,
    mounts.volumes,
    mounts.binds,
    pair.same_runtime,
    service.image,
    service.ports,
    service.name_free,
)
"""What is asked of each container of a service."""

WHOLE: tuple[Check, ...] = (
    service.state,
    pair.architecture,
    pair.cpu,
    pair.cgroup,
    pair.criu_pair,
    pair.lsm,
    pair.seccomp,
    pair.time_namespace,
    pair.clocks,
    pair.route,
    pair.tmpfs_room,
    pair.disk_room,
)
"""What is asked once, of the service and both ends."""


# What a node has of its own for checkpoints. From inside, CRIU is the image's: the same at both ends, and without the
# node's runtime, cgroups and root.
OF_THE_NODE = ("criu", "kernel-features", "runtime", "same-runtime", "criu-pair", "cgroup", "rlimits")


def preflight(case: Situation, approach: Approach | None = None) -> tuple[Finding, ...]:
    """All findings that concern ``approach``, in a fixed order: the ends' own, then the service's and the pair's."""
    if "kubernetes" in (case.source_node.orchestrator, case.destination_node.orchestrator):
        found = list(api_checks.findings(case))
        if approach is Approach.ORCHESTRATOR:
            found = [each for each in found if each.check not in api_checks.OF_THE_APIS] + list(
                pod_checks.findings(case)
            )
        return tuple(dict.fromkeys(found))
    found = [finding for where, node in case.ends for check in NODE_CHECKS for finding in check(where, node)]
    found += [finding for part in case.parts or (case,) for check in EACH for finding in check(part)]
    found += [finding for check in WHOLE for finding in check(case)]
    if approach is Approach.SERVICE:
        found = [finding for finding in found if finding.check not in OF_THE_NODE]
    return tuple(dict.fromkeys(found))  # what several containers have in common is said once


def budget(request: MigrationRequest, downtime: Estimate, total: Estimate, where: str) -> tuple[Finding, ...]:
    """Whether the prediction keeps the downtime and the deadline that were asked for (guarantee 6)."""
    asked = (
        ("downtime-budget", "downtime", request.max_downtime, downtime, "--max-downtime"),
        ("deadline", "the whole move", request.deadline, total, "--deadline"),
    )
    findings = []
    for check, label, limit, estimate, option in asked:
        if limit is None or estimate.high <= limit:
            continue
        fix = f"raise {option}, use a faster link, or move it when it holds less memory"
        if estimate.mid > limit:
            what = f"{label} is predicted to take {estimate.mid:.2f} s, more than the {limit:g} s allowed"
            findings.append(blocking(check, what, "a budget is kept rather than exceeded", fix, where))
        else:
            what = f"{label} may take up to {estimate.high:.2f} s, {limit:g} s are allowed"
            findings.append(warning(check, what, "it would be called off before commit", fix, where))
    return tuple(findings)


def blockers(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that forbid the migration."""
    return tuple(finding for finding in findings if finding.blocking and not finding.ok)
