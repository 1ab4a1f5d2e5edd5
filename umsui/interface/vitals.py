"""What a service is doing at this moment, read from its node's /proc in one remote command; nothing is changed.

A service's processes are found by its container's id in their cgroup, which podman, docker and containerd all write
there. So this is one way for every orchestrator.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping, Sequence

from umsui.adapters import Stream, Transport
from umsui.errors import CommandFailed
from umsui.vitals import Points, Process, Socket, Vitals, Volume

PATIENCE = 8.0  # seconds for the whole command; counting volumes is given 3 of them

# $1 the container's id, then the volumes' paths. Sections start with a record separator, as in the adapters' surveys.
SCRIPT = r"""
export LC_ALL=C
id=$1; shift
part() { printf '\036%s\n' "$1"; }
pids=$(grep -lsF "$id" /proc/[0-9]*/cgroup | head -n 256 | sed 's|/proc/\([0-9]*\)/.*|\1|')
files() { for pid in $pids; do printf '/proc/%s/%s ' "$pid" "$1"; done; }
part tick; getconf CLK_TCK
if [ -n "$pids" ]; then
  part stat; cat $(files stat) 2>/dev/null
  part status; grep -HE '^(Uid|Threads|VmRSS|NSpid):' $(files status) 2>/dev/null
  part cmdline; for pid in $pids; do printf '%s ' "$pid"; head -c 400 /proc/$pid/cmdline | tr '\0\n' '  '; echo; done
  part fds; ls -ld $(files 'fd/*') 2>/dev/null | grep -F socket:
  part net
  set -- "$@"; first=${pids%%[!0-9]*}
  for kind in tcp tcp6 udp udp6; do echo "# $kind"; tail -n +2 /proc/$first/net/$kind | head -n 2000; done 2>/dev/null
fi
part volumes
for path; do printf '%s ' "$(timeout 3 du -sxB1 -- "$path" 2>/dev/null | cut -f1)"; echo "$path"; done
part end
"""

# $@ a command that prints for ever. It ends with its reader: closing the channel closes this shell's input.
_FOLLOW = r"""
{ "$@" 2>&1 </dev/null; kill -TERM 0; } &
cat >/dev/null
kill -TERM 0
"""

_STATES = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "06": "TIME_WAIT",
    "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING",
}  # fmt: skip


def observe(transport: Transport, container: str, volumes: Sequence[str] = (), memory: Points = ()) -> Vitals:
    """The processes, sockets and volumes of a container; ``memory`` is its past.

    Raises Unreachable, TimedOut, CommandFailed.
    """
    done = transport.run(["sh", "-s", "--", container, *volumes], stdin=SCRIPT.encode(), timeout=PATIENCE)
    parts = {name: body for name, _, body in _sections(done.stdout)}
    if "end" not in parts:
        said = done.stderr.decode("utf-8", "replace").strip() or f"status {done.status}"
        raise CommandFailed(f"{transport.address} did not tell about {container[:12]}: {said}")
    processes = _processes(parts)
    return Vitals(time.time(), processes, _sockets(parts), _volumes(parts["volumes"]), memory)


def follow(transport: Transport, command: Sequence[str]) -> Stream:
    """What a command prints from now on, its errors included; closing the stream ends it there, too."""
    return transport.open(["sh", "-c", _FOLLOW, "sh", *command])


def _sections(output: bytes) -> list[tuple[str, str, str]]:
    return [part.partition("\n") for part in output.decode("utf-8", "replace").split("\x1e")[1:]]


def _processes(parts: Mapping[str, str]) -> tuple[Process, ...]:
    tick = float(parts.get("tick", "").strip() or 100)
    commands = dict(line.split(" ", 1) for line in parts.get("cmdline", "").splitlines() if " " in line)
    facts: dict[str, dict[str, str]] = {}
    for line in parts.get("status", "").splitlines():
        if found := re.match(r"/proc/(\d+)/status:(\w+):\s*(.*)", line):
            facts.setdefault(found[1], {})[found[2]] = found[3]
    out = []
    for line in parts.get("stat", "").splitlines():
        # The name stands in parentheses and may hold spaces and parentheses itself.
        pid, name, rest = (
            line[: line.find(" ")],
            line[line.find("(") + 1 : line.rfind(")")],
            line[line.rfind(")") + 2 :],
        )
        fields, fact = rest.split(), facts.get(pid)
        if len(fields) < 13 or fact is None:
            continue  # it ended between two looks
        out.append(
            Process(
                pid=int(pid),
                inner=int(fact.get("NSpid", pid).split()[-1]),
                user=int(fact.get("Uid", "0").split()[0]),
                state=fields[0],
                memory=int(fact.get("VmRSS", "0").split()[0]) << 10,
                cpu=(int(fields[11]) + int(fields[12])) / tick,
                threads=int(fact.get("Threads", "1")),
                command=commands.get(pid, "").strip() or f"[{name}]",
            )
        )
    return tuple(sorted(out, key=lambda process: process.inner))


def _sockets(parts: Mapping[str, str]) -> tuple[Socket, ...]:
    owners = {
        inode: int(pid) for pid, inode in re.findall(r"/proc/(\d+)/fd/\d+ -> socket:\[(\d+)\]", parts.get("fds", ""))
    }
    out, kind = [], ""
    for line in parts.get("net", "").splitlines():
        if line.startswith("# "):
            kind = line[2:]
            continue
        fields = line.split()
        if len(fields) < 10 or fields[9] not in owners:
            continue
        protocol, remote = kind.rstrip("6"), _address(fields[2])
        state = _STATES.get(fields[3], fields[3]) if protocol == "tcp" else ""
        out.append(
            Socket(protocol, state, _address(fields[1]), "" if remote.endswith(":0") else remote, owners[fields[9]])
        )
    return tuple(
        sorted(out, key=lambda socket: (socket.state != "LISTEN", socket.protocol, socket.local, socket.remote))
    )


def _address(text: str) -> str:
    """``0100007F:1F40`` as ``127.0.0.1:8000``: each 32-bit word in the node's own (little-endian) order."""
    host, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return f"{f'[{address}]' if address.version == 6 else address}:{int(port, 16)}"


def _volumes(text: str) -> tuple[Volume, ...]:
    found = (line.partition(" ") for line in text.splitlines())
    return tuple(Volume(path, int(size) if size.isdigit() else None) for size, _, path in found if path)
