"""Preflight: everything that could stop a migration, found out by name before anything is touched (guarantee 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from umsui.decision import pair_checks as pair
from umsui.decision import service_checks as service
from umsui.decision.node_checks import NODE_CHECKS
from umsui.decision.situation import Situation, blocking, warning
from umsui.model import Estimate, Finding, MigrationRequest

Check = Callable[[Situation], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    service.state,
    service.undumpable,
    service.terminal,
    service.connections,
    service.oddities,
    service.mounts,
    pair.architecture,
    pair.cpu,
    pair.cgroup,
    pair.same_runtime,
    pair.criu_pair,
    pair.lsm,
    pair.clocks,
    pair.route,
    pair.tmpfs_room,
    pair.disk_room,
    service.image,
    service.ports,
    service.name_free,
)


def preflight(case: Situation) -> tuple[Finding, ...]:
    """All findings, in a fixed order: the ends' own, then the service's and the pair's."""
    ends = [finding for where, node in case.ends for check in NODE_CHECKS for finding in check(where, node)]
    return (*ends, *(finding for check in CHECKS for finding in check(case)))


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
