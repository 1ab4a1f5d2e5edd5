"""Volumes and bind mounts: what goes along, what the destination must have of its own, what cannot be moved."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.agent.binds import is_data, of_the_system
from umsui.decision.situation import MIB, Situation, blocking, good, name, size, some, warning
from umsui.model import Finding, Mount

BIGGEST_FILE = 64 * MIB  # bytes; a file bound by itself travels while the service stands still


def volumes(case: Situation) -> Iterator[Finding]:
    """Named volumes go along, to a place where nobody has one of that name."""
    where, there = case.service.key, name(case.destination)
    strange = [m.destination for m in case.specification.mounts if m.kind not in ("bind", "volume", "tmpfs")]
    if strange:
        what = f"it has mounts of an unknown kind at {some(strange)}"
        yield blocking("volumes", what, "umsui does not know how to move them", "use named volumes", where)
    named = [m for m in case.specification.mounts if m.kind == "volume"]
    taken = sorted({m.source for m in named} & case.destination_node.volumes)
    if taken:
        yield blocking(
            "volume-name",
            f"there is a volume named {some(taken)} already",
            "its data would be overwritten",
            f"look into it, then remove it there: `{case.destination_node.orchestrator} volume rm {taken[0]}`",
            there,
        )
    if not strange and not taken:
        moved = size(sum(case.facts.volume_bytes.values()))
        count = f"{len(named)} volume{'s' if len(named) > 1 else ''} ({moved}) will go along"
        yield good("volumes", count if named else "no volumes", where)


def binds(case: Situation) -> Iterator[Finding]:
    """Folders and files of the host: data goes along, what is the host's own is the destination's own there."""
    for mount in case.specification.mounts:
        if mount.kind != "bind":
            continue
        if of_the_system(mount.source) == "libraries":
            yield blocking(
                "bind",
                f"it uses {mount.source} of its host at {mount.destination}",
                "programs and libraries in memory belong to the files they came from; the destination has others",
                "put what it needs into the image",
                case.service.key,
            )
        elif is_data(mount.source, case.paths_here.get(mount.source, "")):
            yield from _data(case, mount)
        else:
            yield _hosts_own(case, mount)


def _data(case: Situation, mount: Mount) -> Iterator[Finding]:
    there, bulk = case.paths_there.get(mount.source, "missing"), case.facts.volume_bytes.get(mount.destination, 0)
    if there not in ("missing", "empty"):
        yield blocking(
            "bind",
            f"{mount.source} is there already, and not empty",
            f"it holds data of the service (bound at {mount.destination}) that would overwrite it",
            f"look into it, then move it away there: `mv {mount.source} {mount.source}.old`",
            name(case.destination),
        )
    elif case.paths_here.get(mount.source) == "file" and bulk > BIGGEST_FILE:
        yield blocking(
            "bind",
            f"{mount.source} is a file of {size(bulk)}, bound by itself",
            f"such files are copied while the service stands still: {size(BIGGEST_FILE)} at most",
            "bind the folder that it is in",
            case.service.key,
        )
    else:
        what = f"{mount.source} ({size(bulk)}) of its host is data: it is copied to the same path"
        why = "the source's copy stays where it is: umsui deletes no folder that it has not made"
        fix = f"when all is well, remove it at the source: `rm -r {mount.source}`"
        yield warning("bind", what, why, fix, case.service.key)


def _hosts_own(case: Situation, mount: Mount) -> Finding:
    kind, there = case.paths_here.get(mount.source, "missing"), case.paths_there.get(mount.source, "missing")
    if there == "missing":
        what = f"{mount.source} is missing there"
        why = f"it is the host's own ({kind}), bound at {mount.destination}: it is not copied"
        return blocking("bind", what, why, "provide it there, or run the service without it", name(case.destination))
    what = f"{mount.source} is its host's own ({kind}): at the destination it finds that one's"
    why = f"it is bound at {mount.destination} and not copied; what is open in it now may not be found again"
    return warning("bind", what, why, "nothing, if both hosts provide the same", case.service.key)
