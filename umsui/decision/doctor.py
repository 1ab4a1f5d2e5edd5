"""What one node lacks to take part in migrations, with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.decision.node_checks import NODE_CHECKS
from umsui.decision.situation import good, warning
from umsui.interface.facts import NodeFacts
from umsui.model import Finding


def strategies(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """What the kernel offers beyond stop-copy."""
    if facts.userfaultfd:
        yield good("userfaultfd", "the kernel can fetch pages on demand (post-copy)", where)
    else:
        why = "post-copy cannot be used with this node as a destination"
        yield warning("userfaultfd", "the kernel has no userfaultfd", why, "boot one with CONFIG_USERFAULTFD", where)
    if facts.soft_dirty:
        yield good("soft-dirty", "the kernel can track written pages (pre-copy)", where)
    else:
        why = "CRIU's pre-copy cannot be used with this node as a source"
        fix = "boot a kernel with CONFIG_MEM_SOFT_DIRTY"
        yield warning("soft-dirty", "the kernel cannot track written pages", why, fix, where)


def doctor(where: str, facts: NodeFacts) -> tuple[Finding, ...]:
    """All findings for the node called ``where`` (``cluster/node``)."""
    return tuple(finding for check in (*NODE_CHECKS, strategies) for finding in check(where, facts))
