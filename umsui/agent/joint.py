"""The wire where no node of the one end reaches one of the other: the coordinator carries it, and cannot read it.

At the destination an SSH server talks on its standard input and output (``server``); at the source a program joins its
own with a socket (``main``), where ssh finds the connection (``dial``). The coordinator starts both and passes bytes
between them. Keys, streams, and what the source may run there, are as everywhere.
"""

from __future__ import annotations

import os
import select
import shlex
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

from umsui.agent.host import Folder, run, widen
from umsui.agent.pages import write_all

CHUNK = 1 << 20
BUFFER = 4 << 20  # bytes that may be under way in the socket: fewer, larger steps cost less
DIALLED = 20.0  # seconds until the coordinator has joined both ends
SERVER = "/usr/sbin/sshd"
EMPTY = Path("/run/sshd")  # where the part of it that talks to strangers is locked in


def server(folder: Folder) -> Dict[str, Any]:
    """An SSH server for this migration: the command for one connection, and the key that it is known by."""
    key, settings = folder.control / "host_key", folder.control / "sshd.conf"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)])
    lines = [
        f"HostKey {key}",
        "PermitRootLogin forced-commands-only",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "DisableForwarding yes",
        "PermitTTY no",
        "PidFile none",
        "LogLevel ERROR",
    ]
    settings.write_text("\n".join(lines) + "\n")
    EMPTY.mkdir(mode=0o755, exist_ok=True)
    public = key.with_suffix(".pub").read_text().split()[:2]
    return {"command": [SERVER, "-i", "-e", "-f", str(settings)], "host_key": " ".join(public)}


def socket_of(folder: Folder) -> str:
    """Where the source's end waits for ssh."""
    return str(folder.control / "joint")


def command(folder: Folder, program: str = "joint") -> List[str]:
    """What starts one of the source's two programs."""
    return [sys.executable, "-IS", str(folder.agent), program, folder.migration, folder.role]


def ssh_options(folder: Folder) -> List[str]:
    """The lines of ssh's configuration that lead to the coordinator."""
    return [f"  ProxyCommand {shlex.join(command(folder, 'dial'))}", "  ProxyUseFdpass yes"]


def dial(folder: Folder) -> int:
    """Hand the connection over to ssh, which listens on standard output for it."""
    way, end = socket.socket(socket.AF_UNIX), time.monotonic() + DIALLED
    while True:
        try:
            way.connect(socket_of(folder))
            break
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end or not folder.exists:  # the migration may be over by now
                sys.stderr.write("the coordinator has not joined both ends\n")
                return 1
            time.sleep(0.02)
    with socket.socket(fileno=1) as ssh:
        socket.send_fds(ssh, [b"\0"], [way.fileno()])
    return 0


def main(folder: Folder) -> int:
    """Join standard input and output with ssh, until one of them ends."""
    path = socket_of(folder)
    Path(path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        if not _called(listener):
            return 1
        way, _ = listener.accept()
    widen(way, BUFFER)
    threading.Thread(target=_in, args=(way,), daemon=True).start()
    while True:
        part = way.recv(CHUNK)
        if not part:
            return 0
        write_all(1, part)


def _called(listener: socket.socket) -> bool:
    """Wait for ssh; False when the coordinator hangs up before."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    waiting.register(0, 0)  # only its end
    return {descriptor for descriptor, _ in waiting.poll()} == {listener.fileno()}


def _in(way: socket.socket) -> None:
    try:
        while part := os.read(0, CHUNK):
            way.sendall(part)
    finally:
        way.shutdown(socket.SHUT_RDWR)
