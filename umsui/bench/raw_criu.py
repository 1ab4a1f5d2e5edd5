"""CRIU alone, without container, engine or checks: what stop-and-copy costs at the least on this machine.

A plain process, its memory straight to a page server at the destination, not encrypted. All that could wait
inside the move is warm before it: page server, ssh connection. What it does with no memory is the floor of every way.
"""

from __future__ import annotations

import time
from typing import Any

from umsui.bench import service
from umsui.bench.movers import KEY, KNOWN, REPLY, Measured, admit, watcher
from umsui.bench.service import IMAGE, Load
from umsui.lab import LabError
from umsui.lab import host as hosts
from umsui.lab.topology import Host
from umsui.model import Approach, Outcome, Strategy

PROGRAM = "/usr/local/bin/umsui-bench-memhog"
IMAGES = "/dev/shm/umsui-bench"  # noqa: S108 -- of a lab host
PIDS = 100_000  # where its process numbers begin, so that they are free at the other end, too
PAGE_PORT = 9998

_INSTALL = f"[ -x {PROGRAM} ] || {{ podman create -q --name umsui-bench-image {IMAGE} >/dev/null && \
podman cp umsui-bench-image:/memhog {PROGRAM}; podman rm umsui-bench-image >/dev/null; }}"

_START = f"""
mkdir -p {IMAGES}
echo {PIDS} > /proc/sys/kernel/ns_last_pid
setsid {PROGRAM} "$@" </dev/null >/dev/null 2>&1 &
echo $! > {service.RAW_PID}
"""

_SERVE = f"""
mkdir -p {IMAGES}
criu page-server -D {IMAGES} -W /tmp -o server.log --address "$1" --port {PAGE_PORT} --daemon \
    </dev/null >/dev/null 2>&1
"""

_SSH = f"ssh -i {KEY} -o UserKnownHostsFile={KNOWN} -o BatchMode=yes -c aes128-gcm@openssh.com -S /run/umsui-bench-ssh"

# $1: the destination's address.
_DUMP = f"""
set -e
criu dump -t "$(cat {service.RAW_PID})" -D {IMAGES} -W /tmp -o dump.log --tcp-close \
    --page-server --address "$1" --port {PAGE_PORT}
"""
_RESTORE = f"""
set -e
tar -C {IMAGES} -cf - . | {_SSH} "root@$1" 'tar -C {IMAGES} -xf - &&
    criu restore -d -D {IMAGES} -W /tmp -o restore.log --tcp-close --pidfile {service.RAW_PID}'
"""


class RawCriu:
    """``criu dump`` to a page server, the other images over ssh, ``criu restore`` (a ``movers.Mover``)."""

    tool = "criu"
    approach = Approach.ORCHESTRATOR.value
    strategy = Strategy.STOP_COPY.value

    def __init__(self, source: Host, destination: Host) -> None:
        self.ends = self._source, self._destination = source, destination
        admit(source)
        for host in (source, destination):
            hosts.run_in(host, ["sh", "-c", _INSTALL])

    def start(self, load: Load) -> dict[str, Any]:
        """As a process of the host."""
        hosts.run_in(self._source, ["sh", "-c", _START, "sh", *load.arguments])
        return service.first_answer(self._source)

    def move(self) -> Measured:
        """Each command as soon as the one before has ended. Raises LabError for what has to be there before."""
        there = self._destination.address
        hosts.run_in(self._destination, ["sh", "-c", _SERVE, "sh", there])
        hosts.run_in(self._source, ["sh", "-c", f"{_SSH} -f -N -M root@{there} </dev/null >/dev/null 2>&1"])
        try:
            with watcher(self._source, self._destination) as seen:
                began = time.monotonic()
                hosts.run_in(self._source, ["sh", "-c", _DUMP, "sh", there], timeout=300)
                dumped = time.monotonic()
                hosts.run_in(self._source, ["sh", "-c", _RESTORE, "sh", there])
                restored = time.monotonic()
                if not seen.wait(REPLY):
                    note = f"no reply at the destination within {REPLY:g} s"
                    return Measured(Outcome.UNKNOWN.value, note=note)
        except LabError as error:
            return Measured(Outcome.UNKNOWN.value, note=error.message)
        finally:
            hosts.run_in(self._source, ["sh", "-c", f"{_SSH} -O exit root@{there} 2>&1"])
        return Measured(
            Outcome.COMMITTED.value,
            seen.downtime,
            restored - began,
            dumped - began,
            0.0,
            dumped - began,
            0.0,
            restored - dumped,
        )
