"""Two containers of different engines compared: by what both engines have a word for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from umsui.agent import nested
from umsui.model import Specification

_PLAIN = (
    *("entrypoint", "command", "labels", "ports", "user", "workdir", "hostname", "restart", "stop_timeout"),
    *("read_only", "privileged", "init", "tty", "memory_limit", "cpu_limit", "shm_size", "health"),
)
_UNSAID = {"workdir": "/"}  # what docker leaves empty and podman spells out
_AT_START = ("HOME", "HOSTNAME", "TERM", "container")  # podman adds these to the environment
_GIVEN = frozenset(  # capabilities that each engine gives unless it is told otherwise: podman's, the fewest
    ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
     "SYS_CHROOT")
)  # fmt: skip
_SIGNALS = {"": "SIGTERM", "15": "SIGTERM", "2": "SIGINT", "3": "SIGQUIT"}


def differences(source: Specification, destination: Specification) -> list[str]:
    """What is not equal, in words; what only one engine has, and engines' own defaults, are not looked at."""
    return list(_differences(source, destination))


def with_capabilities(spec: Specification, mask: str) -> Specification:
    """What is to be created elsewhere, so that it has at least the capabilities of ``mask`` (as /proc has it: hex).

    Docker gives a container more than podman does; a process that has them is restored with all of them or not at all.
    """
    bits = int(mask, 16)
    has = {name for name, number in nested.NUMBERS.items() if bits >> number & 1}
    added = {name.upper().removeprefix("CAP_") for name in spec.cap_add}
    return spec if spec.privileged else replace(spec, cap_add=tuple(sorted(added | (has - _GIVEN))))


def _differences(source: Specification, destination: Specification) -> Iterator[str]:
    for field in _PLAIN:
        mine, theirs = (getattr(each, field) or _UNSAID.get(field) for each in (source, destination))
        if mine != theirs:
            yield f"{field}: {mine!r} at the source, {theirs!r} at the destination"
    mine, theirs = (_SIGNALS.get(each.stop_signal, each.stop_signal) for each in (source, destination))
    if mine != theirs:
        yield f"stop_signal: {mine} at the source, {theirs} at the destination"
    for field in ("cap_add", "cap_drop"):
        names = [{str(name).removeprefix("CAP_") for name in getattr(each, field)} for each in (source, destination)]
        if names[0] != names[1]:
            yield f"{field}: {sorted(names[0])} at the source, {sorted(names[1])} at the destination"
    mounts = [{m.destination: (m.kind, m.source, m.read_only) for m in each.mounts} for each in (source, destination)]
    if mounts[0] != mounts[1]:
        yield f"mounts: {mounts[0]} at the source, {mounts[1]} at the destination"
    for name in _unlike(source.environment, destination.environment):
        yield f"the variable {name}"


def _unlike(source: Mapping[str, Any], destination: Mapping[str, Any]) -> list[str]:
    """The names of what is not equal; variables hold secrets, so what is in them is not shown."""
    names = sorted({*source, *destination})
    late = {name for name in _AT_START if name not in source or name not in destination}
    return [name for name in names if name not in late and source.get(name) != destination.get(name)]
