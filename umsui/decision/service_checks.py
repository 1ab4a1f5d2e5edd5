"""What a service is made of: what CRIU cannot dump, what will not survive, and what its destination must leave free."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.decision.situation import Situation, blocking, good, name, size, some, warning
from umsui.model import Finding, ServiceState


def state(case: Situation) -> Iterator[Finding]:
    """It runs, and nobody else is moving it."""
    service = case.service
    if service.migration or service.state in (ServiceState.MOVING, ServiceState.ARRIVING):
        what = f"it is being moved already (migration {service.migration or 'unknown'})"
        fix = f"wait for it: `umsui watch {service.migration}`" if service.migration else "wait for it"
        yield blocking("state", what, "two moves at once would leave two copies, or none", fix, service.key)
    elif service.state is not ServiceState.UP:
        what = f"it is {service.state.value}"
        why = "only what runs has a memory to take along"
        yield blocking("state", what, why, f"start it, or deploy it at {case.destination.cluster}", service.key)
    else:
        yield good("state", "it runs", service.key)


def terminal(case: Situation) -> Iterator[Finding]:
    """A terminal ends at the source's console."""
    if case.facts.tty or case.specification.tty:
        why = "the other end of the terminal is a process at the source that does not move"
        yield blocking("tty", "it has a terminal", why, "run it without `--tty`", case.service.key)


def undumpable(case: Situation) -> Iterator[Finding]:
    """What CRIU cannot put into a checkpoint."""
    facts, where, before = case.facts, case.service.key, True
    if facts.io_uring:
        fix = "switch io_uring off in the service's configuration, or forbid it with seccomp"
        yield blocking("io-uring", "it uses io_uring", "CRIU cannot dump its rings", fix, where)
        before = False
    if facts.devices:
        what = f"it has devices open: {some(facts.devices)}"
        yield blocking("devices", what, "a device's state stays in this machine", "run it without them", where)
        before = False
    if facts.ptraced:
        why = "a process has one tracer, and CRIU has to be it"
        yield blocking("ptrace", "a debugger is attached to it", why, "detach strace, gdb or the profiler", where)
        before = False
    if facts.unix_external:
        what = f"it is connected to Unix sockets outside: {some(facts.unix_external)}"
        yield blocking("unix-sockets", what, "their other end does not move", "let it disconnect first", where)
        before = False
    if before:
        yield good("dumpable", "nothing that CRIU cannot dump", where)


def connections(case: Situation) -> Iterator[Finding]:
    """Open TCP connections end; their peers have to come back."""
    peers, where = case.facts.established, case.service.key
    if peers:
        yield warning(
            "connections",
            f"{len(peers)} open connection{'s' if len(peers) > 1 else ''} will be closed: {some(peers)}",
            "its address changes with its place",
            "nothing, for clients that reconnect",
            where,
        )
    else:
        yield good("connections", "no open connections", where)


def oddities(case: Situation) -> Iterator[Finding]:
    """What usually survives, but has surprised people."""
    facts, where = case.facts, case.service.key
    if facts.inotify:
        why = "watches are set up again by path; changes during the freeze are not reported"
        yield warning("inotify", "it watches files (inotify)", why, "nothing, for most services", where)
    # Anonymous and System V shared memory shows as a deleted file; tmpfs files travel in the checkpoint itself.
    files = [m for m in facts.writable_shared_maps if "(deleted)" not in m and not m.startswith(("/dev/", "/SYSV"))]
    if files:
        why = "their pages are written back and copied once more while it is frozen"
        yield warning("shared-maps", f"it writes files through memory: {some(files)}", why, "nothing", where)
    if facts.user_ns:
        why = "ids are mapped anew at the destination and must be available there"
        yield warning(
            "user-namespace", "it runs in a user namespace", why, "give both ends the same /etc/subuid", where
        )


def mounts(case: Situation) -> Iterator[Finding]:
    """Named volumes go along; what belongs to the source's host does not."""
    where = case.service.key
    binds = [f"{m.source} at {m.destination}" for m in case.specification.mounts if m.kind == "bind"]
    strange = [m.destination for m in case.specification.mounts if m.kind not in ("bind", "volume", "tmpfs")]
    if binds:
        yield blocking(
            "volumes",
            f"it uses folders of its host: {some(binds)}",
            "only named volumes go along; at the destination these folders are missing or different",
            "put the data into a named volume: `--volume NAME:PATH`",
            where,
        )
    if strange:
        what = f"it has mounts of an unknown kind at {some(strange)}"
        yield blocking("volumes", what, "umsui does not know how to move them", "use named volumes", where)
    volumes = [m for m in case.specification.mounts if m.kind == "volume"]
    if not binds and not strange:
        moved = size(sum(case.facts.volume_bytes.values()))
        what = (
            f"{len(volumes)} volume{'s' if len(volumes) > 1 else ''} ({moved}) will go along"
            if volumes
            else "no volumes"
        )
        yield good("volumes", what, where)


def image(case: Situation) -> Iterator[Finding]:
    """The image is there, or can be sent."""
    spec, where = case.specification, name(case.destination)
    if not case.image_transfers:
        yield good("image", f"{spec.image} is there", where)
    elif not spec.image_id:
        yield blocking(
            "image",
            f"the id of {spec.image or 'the image'} is not known",
            "the root file system must be the very same, so the image is compared by its digest",
            "see whether the source still has it: `podman images`",
            where,
        )
    else:
        bulk = f" ({size(case.facts.image_bytes)})" if case.facts.image_bytes else ""
        yield good("image", f"{spec.image} will be transferred first{bulk}", where)


def ports(case: Situation) -> Iterator[Finding]:
    """The ports that it publishes are free at the destination."""
    where = name(case.destination)
    wanted = case.specification.ports
    for port in wanted:
        if (port.protocol, port.host) in case.destination_node.listening_ports:
            yield blocking(
                "port",
                f"port {port.host}/{port.protocol} is taken there",
                "the service publishes this port, and its clients know it",
                f"stop what listens there (`ss -lnp 'sport = :{port.host}'` tells what), or choose another node",
                where,
            )
    taken = case.destination_node.listening_ports
    if wanted and all((p.protocol, p.host) not in taken for p in wanted):
        yield good("port", f"{', '.join(f'{p.host}/{p.protocol}' for p in wanted)} free", where)


def name_free(case: Situation) -> Iterator[Finding]:
    """Nothing of that name is at the destination."""
    where, wanted = name(case.destination), case.specification.name
    if wanted in case.destination_node.container_names:
        fix = f"remove or rename it there: `podman rm {wanted}`, `podman rename {wanted} OTHER`"
        yield blocking("name", f"there is a container {wanted} already", "names are unique on a node", fix, where)
    else:
        yield good("name", f"the name {wanted} is free", where)
