"""What a container host has, in one remote command: the node's facts, its containers, what they hold in memory.

Podman and docker differ in how they list containers, and in the name of a container's cgroup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from umsui.errors import CommandFailed
from umsui.model import ClusterState, Node, ServiceState

# Sections start with a record separator (octal 036), which JSON never contains and no file read here does either.
# `podman stats` would take a second of the host's time; the cgroups tell the same for a few milliseconds.
_SCRIPT = r"""
export PODMAN_IGNORE_CGROUPSV1_WARNING=1 LC_ALL=C
part() { printf '\036%s\n' "$1"; }
part node
read -r load rest </proc/loadavg; read -r kernel </proc/sys/kernel/osrelease
printf '%s\n' "$(nproc)" "$load" "$kernel"
while read -r key value rest; do case $key in MemTotal:|MemAvailable:) echo "$key $value";; esac; done </proc/meminfo
if [ "$1" = versions ]; then
  part versions
  echo "architecture $(uname -m)"
  @ENGINE@ --version; crun --version 2>/dev/null; runc --version 2>/dev/null; criu --version 2>/dev/null
fi
part cgroups
lines=$(grep -hsE '^(0::|[0-9]+:([a-z,_]+,)?memory(,[a-z,_]+)?:)/.*@CGROUP@[0-9a-f]{64}' /proc/[0-9]*/cgroup)
printf '%s\n' "$lines"
part memory
root=/sys/fs/cgroup/memory; [ -d $root ] || root=/sys/fs/cgroup
printf '%s\n' "$lines" | awk -v root=$root 'match($0, /@AWK@[0-9a-f]+[^\/]*/) {
  path = substr($0, 1, RSTART + RLENGTH - 1); sub(/^[^:]*:[^:]*:/, "", path)
  if (path in seen) next
  seen[path]; file = root path "/memory.stat"
  while ((getline line < file) > 0) if (line ~ /^(total_rss|total_shmem|anon|shmem) /) print file ":" line
  close(file)
}'
part containers
@LIST@
part "end $?"
"""

_ID = re.compile(r"[-/]([0-9a-f]{64})")
_VERSIONS = (
    ("architecture", re.compile(r"^architecture (\S+)", re.M)),
    ("podman", re.compile(r"^podman version (\S+)", re.M)),
    ("docker", re.compile(r"^Docker version ([^\s,]+)", re.M)),
    ("crun", re.compile(r"^crun version (\S+)", re.M)),
    ("runc", re.compile(r"^runc version (\S+)", re.M)),
    ("criu", re.compile(r"^Version: (\S+)", re.M)),
)

STATES = {"running": ServiceState.UP, "stopping": ServiceState.UP, "paused": ServiceState.PAUSED}


@dataclass(frozen=True, slots=True)
class Survey:
    """What the script said, taken apart."""

    node: list[str]
    versions: Mapping[str, str]
    processes: Mapping[str, int] = field(default_factory=dict)  # by container id
    memory: Mapping[str, int] = field(default_factory=dict)
    containers: tuple[Mapping[str, Any], ...] = ()


def script(engine: str, cgroup: str, listing: str) -> bytes:
    """The script for an engine: what stands before a container's id in its cgroup's path, and how it lists them all.

    Its one argument is ``versions`` when the versions of the software are wanted, too.
    """
    awk = cgroup.replace("/", r"\/")
    words = {"@ENGINE@": engine, "@CGROUP@": cgroup, "@AWK@": awk, "@LIST@": listing}
    text = _SCRIPT
    for name, value in words.items():
        text = text.replace(name, value)
    return text.encode()


def parse(output: bytes, errors: bytes, host: str, engine: str) -> Survey:
    """Take the script's output apart. Raises CommandFailed when the engine failed or the output is cut short."""
    parts: dict[str, str] = {}
    for part in output.decode("utf-8", "replace").split("\x1e")[1:]:
        name, _, body = part.partition("\n")
        parts[name] = body
    if "end 0" not in parts:
        said = errors.decode("utf-8", "replace").strip().splitlines()
        if "end 127" in parts:
            raise CommandFailed(f"there is no {engine} on {host}", f"install {engine} there", code=f"no-{engine}")
        raise CommandFailed(
            f"{engine} on {host} could not list its containers: {said[-1] if said else 'output cut short'}"
        )
    try:
        containers = json.loads(parts["containers"].strip() or "[]") or []
    except ValueError as error:
        raise CommandFailed(f"{engine} on {host} answered what is no JSON: {error}") from error
    versions = {name: match[1] for name, regex in _VERSIONS if (match := regex.search(parts.get("versions", "")))}
    processes, memory = _cgroups(parts.get("cgroups", ""), parts.get("memory", ""))
    return Survey(parts.get("node", "").splitlines(), versions, processes, memory, tuple(containers))


def _cgroups(processes: str, memory: str) -> tuple[dict[str, int], dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for line in processes.splitlines():
        hierarchy, _, path = line.partition(":")
        if found := _ID.search(path):
            # A process has a line in each hierarchy, so they are counted apart.
            each = counts.setdefault(found[1], {})
            each[hierarchy] = each.get(hierarchy, 0) + 1
    held: dict[str, dict[str, int]] = {}
    for line in memory.splitlines():
        path, _, fact = line.rpartition(":")
        if (found := _ID.search(path)) and len(words := fact.split()) == 2:
            held.setdefault(found[1], {})[words[0]] = int(words[1])
    sums = {}
    for key, facts in held.items():
        v1 = "total_rss" in facts
        names = ("total_rss", "total_shmem") if v1 else ("anon", "shmem")
        sums[key] = sum(facts.get(name, 0) for name in names)
    return {key: max(each.values()) for key, each in counts.items()}, sums


def node_of(survey: Survey, node: Node) -> Node:
    """The node with its facts filled in; versions that were not asked for stay as they were."""
    lines = survey.node
    memory = dict(line.split()[:2] for line in lines if line.startswith("Mem"))
    software = {**node.software, **survey.versions}
    if len(lines) > 2:
        software["kernel"] = lines[2]
    return replace(
        node,
        state=ClusterState.LIVE,
        error="",
        age=0.0,
        cores=int(lines[0]) if lines else 0,
        load=float(lines[1]) if len(lines) > 1 else 0.0,
        memory=int(memory.get("MemTotal:", 0)) << 10,
        memory_free=int(memory.get("MemAvailable:", 0)) << 10,
        software=software,
    )


def obstacle(state: ServiceState) -> str:
    """Why a service in this state cannot move; "" when it can."""
    if state is ServiceState.STOPPED:
        return "stopped"
    if state is ServiceState.PAUSED:
        return "paused: resume it first"
    return ""
