"""What one node must have, whatever is moved: shared by preflight (for both ends) and doctor (for one)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from umsui.decision.situation import MIB, blocking, good, size, warning
from umsui.interface.facts import NodeFacts
from umsui.model import Finding

NodeCheck = Callable[[str, NodeFacts], Iterator[Finding]]

LEAST_KERNEL = (5, 9)  # CAP_CHECKPOINT_RESTORE, clone3(set_tid)
LEAST_CRIU = (3, 15)
REQUIRED_TOOLS = {"python3": "python3", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "tar": "tar"}
OPTIONAL_TOOLS = {"rsync": "rsync", "nft": "nftables"}
LEAST_TMPFS = 64 * MIB
_PACKAGE = {"docker": "docker.io"}


def version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``"6.16.3-cloud"`` is ``(6, 16, 3)``; ``()`` when there are none."""
    found = re.match(r"\D*(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def dotted(parts: tuple[int, ...]) -> str:
    """``(4, 2)`` as ``4.2``."""
    return ".".join(map(str, parts))


def criu_needed(facts: NodeFacts) -> tuple[int, ...]:
    """The least CRIU version for a node's kernel."""
    # Linux 6.16 changed what the sock_diag interface answers: older CRIUs do not start, or cannot dump inet sockets.
    by_kernel = (4, 2) if version(facts.kernel) >= (6, 16) else LEAST_CRIU
    return max(by_kernel, facts.criu_needs)


def root(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """CRIU and the orchestrator's own storage need root."""
    if facts.root:
        yield good("root", "the login may act as root", where)
    else:
        yield blocking(
            "root",
            "the login is not root there",
            "checkpoint and restore read and write the memory of the service's processes",
            "log in as root, or let the login use `sudo -n`",
            where,
        )


def orchestrator(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """The orchestrator answers."""
    if facts.orchestrator_version:
        yield good("orchestrator", f"the orchestrator answers (version {facts.orchestrator_version})", where)
    else:
        yield blocking(
            "orchestrator",
            "the orchestrator does not answer there",
            "it has to know the service before and after the move",
            f"install or start it: `apt install {_PACKAGE.get(facts.orchestrator, facts.orchestrator)}`",
            where,
        )


def kernel(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """The kernel has what restoring needs."""
    if version(facts.kernel) >= LEAST_KERNEL:
        yield good("kernel", f"Linux {facts.kernel}", where)
    else:
        yield blocking(
            "kernel",
            f"Linux {facts.kernel or 'of an unknown version'} is too old",
            f"restoring with the same process ids needs Linux {dotted(LEAST_KERNEL)} or newer",
            "boot a newer kernel",
            where,
        )


def criu(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """CRIU is there and new enough for the kernel."""
    needed = criu_needed(facts)
    install = f"install CRIU {dotted(needed)} or newer: `apt install criu` (Debian sid has 4.2)"
    if facts.criu is None:
        yield blocking("criu", "CRIU is not installed", "it takes and restores the checkpoint", install, where)
    elif facts.criu < needed:
        yield blocking(
            "criu",
            f"CRIU {dotted(facts.criu)} is too old for Linux {facts.kernel}",
            f"this kernel needs CRIU {dotted(needed)} or newer; older ones do not start or cannot dump sockets",
            install,
            where,
        )
    else:
        yield good("criu", f"CRIU {dotted(facts.criu)}", where)


def criu_check(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """The kernel features that CRIU asks for."""
    if facts.criu is None:
        return  # said already
    if not facts.criu_check:
        yield good("kernel-features", "`criu check` is content", where)
    else:
        yield blocking(
            "kernel-features",
            f"`criu check` says: {facts.criu_check}",
            "the kernel lacks something that a checkpoint or a restore needs",
            "boot a kernel with CONFIG_CHECKPOINT_RESTORE; see `criu check --all` there",
            where,
        )


def runtimes(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """There is an OCI runtime that can checkpoint."""
    if facts.runtimes:
        listed = ", ".join(f"{name} {facts.runtimes[name]}" for name in sorted(facts.runtimes))
        yield good("runtime", listed, where)
    else:
        yield blocking(
            "runtime",
            "neither crun nor runc is installed",
            "an OCI runtime carries out checkpoint and restore",
            "`apt install crun libcriu2`",
            where,
        )


def tools(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """The programs that the agent uses; what a probe did not look for is not judged."""
    for tool, package in REQUIRED_TOOLS.items():
        if not facts.tools.get(tool, True):
            yield blocking("tools", f"{tool} is missing", "the agent needs it", f"`apt install {package}`", where)
    for tool, package in OPTIONAL_TOOLS.items():
        if not facts.tools.get(tool, True):
            why = "the move works without it, but may be slower or leave new clients unguarded for a moment"
            yield warning("tools", f"{tool} is missing", why, f"`apt install {package}`", where)
    if all(facts.tools.get(tool, True) for tool in (*REQUIRED_TOOLS, *OPTIONAL_TOOLS)):
        yield good("tools", "the programs that the agent uses are there", where)


def tmpfs(where: str, facts: NodeFacts) -> Iterator[Finding]:
    """There is a tmpfs for checkpoint images at all."""
    if facts.run_free >= LEAST_TMPFS:
        yield good("tmpfs", f"{size(facts.run_free)} free in the tmpfs for images", where)
    else:
        yield blocking(
            "tmpfs",
            f"only {size(facts.run_free)} free in the tmpfs for images",
            "checkpoint images are kept in memory, never on disk",
            "free memory, or enlarge it: `mount -o remount,size=50% /run`",
            where,
        )


NODE_CHECKS: tuple[NodeCheck, ...] = (root, orchestrator, kernel, criu, criu_check, runtimes, tools, tmpfs)
