"""What service-level migration needs of a container: umsui inside, and what CRIU needs to work from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from umsui.decision.situation import size
from umsui.interface.facts import ServiceFacts
from umsui.model import Specification

CAPABILITIES = {"SETPCAP": 8, "SYS_PTRACE": 19, "CHECKPOINT_RESTORE": 40}  # and their numbers
ARRIVED = 2.25  # of its memory: what CRIU restores from, with the restored; or with what went ahead (inside/pages.c)
RESTORE = 16 << 20  # bytes that CRIU and the supervisor take themselves
RUN = "--cap-add CHECKPOINT_RESTORE,SYS_PTRACE,SETPCAP --security-opt seccomp=unconfined"


def inside_obstacle(spec: Specification, facts: ServiceFacts) -> tuple[str, str]:
    """Why the service cannot be moved from inside, and what mends it; ("", "") when it can."""
    if spec.init and spec.entrypoint[:1] == ("/umsui/init",):
        return "the orchestrator's own init is its first process, not umsui's", "run it without --init"
    if not facts.inside:
        fix = f"`umsui image build --approach service {spec.image or 'IMAGE'}`; run what it makes with {RUN}"
        return "the image has no umsui agent", fix
    if "error" in facts.inside:
        return f"umsui inside the container does not answer: {facts.inside['error']}", "start the service anew"
    return next(_lacking(facts.inside), _no_room(spec, facts))


def _no_room(spec: Specification, facts: ServiceFacts) -> tuple[str, str]:
    """What arrives is kept in the new container, whose limit counts it, until CRIU has restored it from there."""
    needed = int(ARRIVED * facts.memory) + facts.tmpfs_bytes + RESTORE
    if not spec.memory_limit or needed <= spec.memory_limit:
        return "", ""
    why = f"a restore inside takes its memory twice and more: {size(needed)}, of a limit of {size(spec.memory_limit)}"
    return why, f"raise its limit to {size(needed)} for the move, or choose another approach"


def _lacking(inside: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is in the way, by what the supervisor tells, each with what mends it."""
    missing = [name for name, bit in CAPABILITIES.items() if not int(inside["capabilities"], 16) & 1 << bit]
    if missing:
        fix = f"run it with --cap-add {','.join(sorted(CAPABILITIES))}"
        if inside["uid"] and inside["no_new_privileges"]:
            fix += ", and without no-new-privileges"
        yield f"its container lacks {' and '.join(missing)}", fix
    if inside["seccomp"]:
        yield "a seccomp filter keeps CRIU from working inside", "run it with --security-opt seccomp=unconfined"
    if inside["read_only"]:
        yield "its root file system is read-only", "run it without --read-only, or choose orchestrator-level"
    if not inside["criu"]:
        yield "its image has no CRIU", "build the image again: `umsui image build --approach service`"
    if inside["orphans"]:
        yield "it has processes that do not descend from its command", "start all of them from its command"
