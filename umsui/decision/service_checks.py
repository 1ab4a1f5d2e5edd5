"""What a service is made of: what CRIU cannot dump, what will not survive, and what its destination must leave free."""

from __future__ import annotations

from collections.abc import Iterator

from umsui.decision.situation import Situation, blocking, good, name, size, some, warning
from umsui.model import Finding, ServiceState

_BUILT_IN = ("host", "none", "bridge", "private", "slirp4netns", "pasta", "podman", "default")  # in no list, or in each


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
    if _limits_unreadable(case):
        others = some([f"user {uid}" for uid in facts.uids if uid] + [f"group {gid}" for gid in facts.gids if gid])
        yield blocking(
            "rlimits",
            f"it has processes of {others}, and root lacks CAP_SYS_RESOURCE there",
            "CRIU reads the resource limits of each process; of another user's it may not, there",
            "run the node with CAP_SYS_RESOURCE (is it itself a container?), or the service as root",
            where,
        )
        before = False
    if before:
        yield good("dumpable", "nothing that CRIU cannot dump", where)


def _limits_unreadable(case: Situation) -> bool:
    return not case.source_node.sys_resource and not case.facts.user_ns and any((*case.facts.uids, *case.facts.gids))


def logs(case: Situation) -> Iterator[Finding]:
    """What it has printed goes along, where it is in a file."""
    if case.facts.log_format:
        yield good("logs", f"its log ({case.facts.log_format}) goes along", case.service.key)
    else:
        what, why = "its log stays at the source", "only logs in files can be carried; its driver keeps it elsewhere"
        fix = "run it with `--log-driver k8s-file` (podman) or `json-file` (docker), or collect logs centrally"
        yield warning("logs", what, why, fix, case.service.key)


def unsupported(case: Situation) -> Iterator[Finding]:
    """What the orchestrator cannot create again elsewhere: unknown volume drivers, secrets, pods …"""
    why = "the destination would get another service, or none"
    for words in case.unsupported:
        yield blocking("unsupported", words, why, "recreate the service without it", case.service.key)


def process_ids(case: Situation) -> Iterator[Finding]:
    """Its processes keep their numbers; in a PID namespace of its own nobody else has them."""
    if not case.facts.pid_host:
        yield good("pids", "its process ids are its own (PID namespace)", case.service.key)
        return
    taken = sorted(set(case.facts.pids) & case.destination_node.pids)
    if taken:
        yield blocking(
            "pids",
            f"process id {some([str(pid) for pid in taken])} is taken there",
            "it shares its node's process ids, and programs know their own by number",
            "run it without `--pid=host`, or choose another node",
            name(case.destination),
        )
    else:
        why = "a process that starts there meanwhile may take one, and the restore then fails (and is undone)"
        what = "it shares its node's process ids; they are free there at this moment"
        yield warning("pids", what, why, "run it without `--pid=host`", case.service.key)


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
            f"see whether the source still has it: `{case.source_node.orchestrator} images`",
            where,
        )
    else:
        yield good("image", f"{spec.image} will be transferred first ({_image_words(case)})", where)


def _image_words(case: Situation) -> str:
    layers, there = case.facts.layer_bytes, case.layers_there
    if not layers:
        return size(case.image_bytes())
    return f"{len(layers) - len(there)} of its {len(layers)} layers, {size(case.image_bytes())}"


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
    where, wanted, cli = name(case.destination), case.specification.name, case.destination_node.orchestrator
    missing = sorted(set(case.specification.network.split(",")) - {"", *_BUILT_IN} - case.destination_node.networks)
    missing = [each for each in missing if ":" not in each]
    if missing and case.destination_node.networks:
        fix = f"create it there: `{cli} network create {missing[0]}`"
        yield blocking("network", f"there is no network {some(missing)}", "the service is in it", fix, where)
    if wanted in case.destination_node.container_names:
        fix = f"remove or rename it there: `{cli} rm {wanted}`, `{cli} rename {wanted} OTHER`"
        yield blocking("name", f"there is a container {wanted} already", "names are unique on a node", fix, where)
    else:
        yield good("name", f"the name {wanted} is free", where)
