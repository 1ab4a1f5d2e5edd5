"""What both ends must have in common, the link between them, and the room at each."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.decision.situation import MIB, Situation, blocking, good, name, size, warning
from umsui.interface.cpu import isa
from umsui.model import Finding

CLOCK_SKEW = 2.0  # seconds; below it is the time that two probes may lie apart
IMAGE_MARGIN = 16 * MIB  # CRIU's images beside the pages: descriptors, mappings, page map
SLOW_LINK = 2 * MIB  # bytes/s
LONG_RTT = 0.15

_MAKERS = {
    "intel": "intel",
    "xeon": "intel",
    "amd": "amd",
    "epyc": "amd",
    "ryzen": "amd",
    "hygon": "hygon",
    "ampere": "arm",
    "neoverse": "arm",
    "cortex": "arm",
    "apple": "apple",
}


def vendor(model: str) -> str:
    """Who made a CPU, from its model's name; "" when it cannot be told."""
    words = model.lower()
    return next((maker for sign, maker in _MAKERS.items() if sign in words), "")


def architecture(case: Situation) -> Iterator[Finding]:
    """Machine code does not change its architecture."""
    ours, theirs = case.source_node.arch, case.destination_node.arch
    where = name(case.destination)
    if ours == theirs:
        yield good("architecture", f"{ours} at both ends", where)
    else:
        yield blocking(
            "architecture",
            f"it is {theirs}, the source {ours}",
            "the memory of a running program holds machine code and pointers of its architecture",
            f"choose a destination with {ours}",
            where,
        )


def cpu(case: Situation) -> Iterator[Finding]:
    """The destination's CPU can do all that the source's can, and is of the same make."""
    source, there, where = case.source_node, case.destination_node, name(case.destination)
    if source.arch != there.arch:
        return  # said already
    makers = vendor(source.cpu_model), vendor(there.cpu_model)
    lacking = sorted(isa(source.cpu_flags, source.arch) - isa(there.cpu_flags, there.arch))
    fix = "choose a node with the same or a newer CPU of the same make, or give both the same baseline CPU model"
    if all(makers) and makers[0] != makers[1]:
        why = "programs and the C library chose code for the CPU they started on"
        yield blocking("cpu", f"its CPU is made by {makers[1]}, the source's by {makers[0]}", why, fix, where)
    if lacking:
        listed = ", ".join(lacking[:6]) + (" …" if len(lacking) > 6 else "")
        why = "the service may be using these instructions and would be killed at the first one"
        yield blocking("cpu", f"its CPU lacks {listed}", why, fix, where)
    elif case.cpu:
        why = "`criu cpuinfo check` compares what programs see of a CPU; the restore would be refused"
        yield blocking("cpu", f"CRIU says of its CPU: {case.cpu}", why, fix, where)
    elif not all(makers) or makers[0] == makers[1]:
        yield good("cpu", "the CPU has every feature of the source's", where)


def cgroup(case: Situation) -> Iterator[Finding]:
    """The same cgroup version at both ends."""
    ours, theirs = case.source_node.cgroup, case.destination_node.cgroup
    where = name(case.destination)
    if ours == theirs:
        yield good("cgroup", f"cgroup {ours or 'version not told'} at both ends", where)
    else:
        yield blocking(
            "cgroup",
            f"it has cgroup {theirs}, the source {ours}",
            "a checkpoint names the cgroups of its processes, and the other version has none of these",
            f"boot it with cgroup {ours} (`systemd.unified_cgroup_hierarchy`)",
            where,
        )


def same_runtime(case: Situation) -> Iterator[Finding]:
    """The runtime that runs the service is there too."""
    needed, there, where = case.facts.runtime, case.destination_node.runtimes, name(case.destination)
    if not needed or case.source_node.orchestrator != case.destination_node.orchestrator:
        return  # between two kinds of engines no runtime restores what another one dumped: the verdicts say so
    if needed in there:
        yield good("same-runtime", f"{needed} at both ends", where)
    else:
        yield blocking(
            "same-runtime",
            f"it has no {needed}, which runs the service at the source",
            "crun and runc do not read each other's checkpoints",
            f"`apt install {needed}` there",
            where,
        )


def criu_pair(case: Situation) -> Iterator[Finding]:
    """An older CRIU may not read what a newer one wrote."""
    ours, theirs = case.source_node.criu, case.destination_node.criu
    if ours and theirs and theirs[:2] < ours[:2]:
        yield warning(
            "criu-pair",
            "its CRIU is older than the source's",
            "an older CRIU may not read a newer one's images; the service would then be restored at the source",
            "install the same version at both ends",
            name(case.destination),
        )


def confining(modules: str) -> str:
    """The module that labels processes, of the kernel's list (``lockdown,capability,yama,apparmor``); "" when none."""
    loaded = modules.replace(",", " ").split()
    return next((module for module in ("selinux", "apparmor", "smack") if module in loaded), "")


def lsm(case: Situation) -> Iterator[Finding]:
    """Security modules' labels are part of a checkpoint."""
    ours, theirs = confining(case.source_node.lsm), confining(case.destination_node.lsm)
    where = name(case.destination)
    if ours == theirs:
        yield good("lsm", f"the same security module ({ours or 'none'})", where)
        return
    what = f"containers are confined by {theirs or 'nothing'} there, by {ours or 'nothing'} at the source"
    why = "CRIU restores the security labels of the processes"
    fix = "use the same security module at both ends, or run the service with `--security-opt label=disable`"
    kind = blocking if "selinux" in (ours, theirs) else warning
    yield kind("lsm", what, why, fix, where)


def seccomp(case: Situation) -> Iterator[Finding]:
    """A service that is confined by seccomp stays so."""
    confined = case.facts.seccomp == "2"
    for where, node in case.ends:
        if confined and not node.seccomp:
            yield blocking(
                "seccomp",
                "the kernel has no seccomp filters",
                "the service is confined by one, and CRIU takes it down and puts it back",
                "boot a kernel with CONFIG_SECCOMP_FILTER",
                where,
            )
    if confined and all(node.seccomp for _, node in case.ends):
        yield good("seccomp", "its seccomp filter goes along", case.service.key)


def time_namespace(case: Situation) -> Iterator[Finding]:
    """A clock of its own needs a kernel that has such."""
    if case.facts.time_ns and not case.destination_node.time_ns:
        yield blocking(
            "time-namespace",
            "the kernel has no time namespaces",
            "the service has a monotonic clock of its own",
            "boot a kernel with CONFIG_TIME_NS (Linux 5.6)",
            name(case.destination),
        )


def clocks(case: Situation) -> Iterator[Finding]:
    """Both ends know what time it is, and since when."""
    ours, theirs, where = case.source_node, case.destination_node, name(case.destination)
    if not (ours.clock and theirs.clock):
        return
    skew = theirs.clock - ours.clock
    if abs(skew) > CLOCK_SKEW:
        yield warning(
            "clock",
            f"its clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}",
            "the service sees time jump; certificates, tokens and caches may mind",
            "let both synchronize: `timedatectl set-ntp true`",
            where,
        )
    else:
        yield good("clock", "the clocks agree", where)
    jump = ours.boot_time - theirs.boot_time
    if ours.boot_time and theirs.boot_time and abs(jump) > 60:
        yield warning(
            "monotonic-clock",
            f"it booted {abs(jump) / 3600:.1f} h {'earlier' if jump > 0 else 'later'} than the source",
            "the monotonic clock jumps by that much; running timers may fire early or late",
            "nothing, for most services; those that keep long timers may want a restart",
            where,
        )


def route(case: Situation) -> Iterator[Finding]:
    """The ends reach each other, fast enough to be worth it."""
    link, where = case.link, f"{name(case.source)} → {name(case.destination)}"
    if not link.reachable:
        yield blocking(
            "route",
            f"the destination cannot be reached from the source: {link.error or 'no answer'}",
            "memory and files go directly from node to node",
            "open the destination's SSH port for the source (firewall, security group), or join their networks",
            where,
        )
    elif link.bandwidth is None:
        why = "the prediction assumes 1 Gbit/s"
        yield warning("bandwidth", "the bandwidth could not be measured", why, "try `umsui plan` again", where)
    elif link.bandwidth < SLOW_LINK or link.rtt > LONG_RTT:
        yield warning(
            "bandwidth",
            f"the link is slow: {size(link.bandwidth)}/s, {link.rtt * 1000:.0f} ms",
            "the service stands still while its memory travels",
            "use a nearer node or a faster link, or move it when it holds less memory",
            where,
        )
    else:
        yield good("route", f"{size(link.bandwidth)}/s, {link.rtt * 1000:.1f} ms", where)


def tmpfs_room(case: Situation) -> Iterator[Finding]:
    """The checkpoint fits in memory, at both ends."""
    need = case.checkpoint_bytes + IMAGE_MARGIN
    for where, node in case.ends:
        # At the destination the restored service stands beside its images for a moment.
        memory = need + (case.checkpoint_bytes if where == name(case.destination) else 0)
        if node.run_free < need:
            have = f"{size(node.run_free)} free in the tmpfs"
            fix = "free memory there, or enlarge it: `mount -o remount,size=75% /run`"
            yield blocking("memory", f"{have}, {size(need)} needed", "images stay off the disk", fix, where)
        elif node.memory_free < memory:
            have = f"{size(node.memory_free)} of memory free, {size(memory)} needed"
            why = "the kernel would kill something, perhaps the service"
            yield blocking("memory", have, why, "stop something there, or choose another node", where)
        else:
            yield good("memory", f"{size(min(node.run_free, node.memory_free))} free, {size(memory)} needed", where)


def disk_room(case: Situation) -> Iterator[Finding]:
    """Image, root file system and volumes fit on the destination's disk."""
    need = case.image_bytes() + case.facts.rootfs_bytes + sum(case.facts.volume_bytes.values())
    free, where = case.destination_node.disk_free, name(case.destination)
    if free < need:
        what = f"{size(free)} of disk free, {size(need)} needed for image, files and volumes"
        fix = f"make room: `{case.destination_node.orchestrator} system prune`, or choose another node"
        yield blocking("disk", what, "the service's files would not all arrive", fix, where)
    else:
        yield good("disk", f"{size(free)} of disk free, {size(need)} needed", where)
