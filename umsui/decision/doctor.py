"""What one node lacks to take part in migrations, with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.decision.node_checks import NODE_CHECKS
from umsui.decision.selection import EXPERIMENTAL, OVERLAY, STORAGE
from umsui.decision.situation import good, warning
from umsui.interface.facts import NodeFacts
from umsui.model import Finding


def strategies(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """What the kernel offers beyond stop-copy."""
    if facts.userfaultfd:
        yield good("userfaultfd", "the kernel can place pages on demand (all strategies but stop-copy)", where)
    else:
        why = "only stop-copy can be used with this node as a destination"
        yield warning("userfaultfd", "the kernel has no userfaultfd", why, "boot one with CONFIG_USERFAULTFD", where)
    if facts.tracks_writes:
        yield good("tracks-writes", "the kernel tells which pages were written (pre-copy, hybrid)", where)
    else:
        why = "pre-copy and hybrid cannot be used with this node as a source"
        yield warning("tracks-writes", "the kernel cannot track written pages", why, "boot Linux 6.7 or newer", where)


def limits(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """What makes a node unfit for some services only."""
    if facts.sys_resource:
        yield good("rlimits", "root may read every process's resource limits", where)
    else:
        why = "CRIU cannot checkpoint services here with processes of other users than root"
        fix = "give it CAP_SYS_RESOURCE: the node is probably a container itself"
        yield warning("rlimits", "root lacks CAP_SYS_RESOURCE", why, fix, where)
    for check, there, what, option in (
        ("seccomp", facts.seccomp, "seccomp filters", "CONFIG_SECCOMP_FILTER"),
        ("time-namespace", facts.time_ns, "time namespaces", "CONFIG_TIME_NS"),
    ):
        if there:
            yield good(check, f"the kernel has {what}", where)
        else:
            why = "services that have them cannot come here"
            yield warning(check, f"the kernel has no {what}", why, f"boot one with {option}", where)


def docker(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """What docker has to have switched on."""
    if facts.orchestrator != "docker" or not facts.orchestrator_version:
        return
    if facts.experimental:
        yield good("docker-restore", "docker can restore checkpoints", where)
    else:
        why = "docker restores checkpoints (orchestrator-level, as a destination) only with its experimental features"
        yield warning("docker-restore", "docker's experimental features are off", why, EXPERIMENTAL, where)
    if facts.storage_driver != OVERLAY:
        what = f"docker keeps root file systems with {facts.storage_driver or 'an unknown driver'}"
        why = "umsui finds their changes only where they are overlays (orchestrator-level)"
        yield warning("docker-storage", what, why, STORAGE, where)


def doctor(where: str, facts: NodeFacts) -> tuple[Finding, ...]:
    """All findings for the node called ``where`` (``cluster/node``)."""
    return tuple(finding for check in (*NODE_CHECKS, strategies, limits, docker) for finding in check(where, facts))
