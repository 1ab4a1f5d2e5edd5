"""The sockets of a service: whom it is connected to, found by the inodes of its descriptors.

Unix sockets tell their peers only through the kernel's ``sock_diag`` (linux/unix_diag.h), and only to a process in
their own network namespace.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Set, Tuple

from umsui.agent import namespaces

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_ROOT, NLM_F_MATCH = 1, 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
UDIAG_SHOW_PEER = 4
UNIX_DIAG_PEER = 2
HEADER = struct.Struct("=IHHII")  # nlmsghdr
REQUEST = struct.Struct("=BBHIIIII")  # unix_diag_req
ANSWER = struct.Struct("=BBBxIII")  # unix_diag_msg

Rows = Iterable[List[str]]


def inodes(links: Iterable[str]) -> Set[int]:
    """The sockets among what descriptors lead to (``socket:[123]``)."""
    return {int(found.group(1)) for found in (re.match(r"socket:\[(\d+)\]", link) for link in links) if found}


def rows(kind: str, root: str = "/proc/self") -> Rows:
    """The fields of ``/proc/net/{kind}``, without its heading."""
    try:
        return [row.split() for row in Path(f"{root}/net/{kind}").read_text().splitlines()[1:]]
    except OSError:
        return []


def established(pid: int, own: Set[int]) -> List[str]:
    """The remote ends of the open TCP connections among the sockets ``own`` of a service."""
    root = f"/proc/{pid}"
    return [
        address(row[2]) for kind in ("tcp", "tcp6") for row in rows(kind, root) if row[3] == "01" and int(row[9]) in own
    ]


def address(text: str) -> str:
    """``0A00000A:1F90`` as ``10.0.0.10:8080``."""
    host, _, port = text.partition(":")
    words = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    family = socket.AF_INET if len(words) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, words)}:{int(port, 16)}"


def unix_outside(pid: int, own: Set[int]) -> List[str]:
    """The Unix sockets outside that those of a service (``own``) are connected to: their paths, or their inodes."""
    peers = {peer for mine, peer in peers_in(pid).items() if mine in own and peer and peer not in own}
    # A connection's far end belongs to the namespace of who asked for it; what listens, to its own.
    listed = [row for root in ("/proc/self", f"/proc/{pid}") for row in rows("unix", root)]
    named = {int(row[6]): row[7] for row in listed if len(row) > 7 and row[6].isdigit()}
    return sorted(named.get(peer) or f"socket {peer}" for peer in peers)


def peers_in(pid: int) -> Dict[int, int]:
    """Inode -> inode of its peer, of all Unix sockets in the network namespace of ``pid``; {} when it cannot be asked.

    A thread that has entered a namespace does not come back: it ends.
    """
    found: Dict[int, int] = {}
    thread = threading.Thread(target=_ask_there, args=(pid, found))
    thread.start()
    thread.join(5.0)
    return dict(found)


def _ask_there(pid: int, found: Dict[int, int]) -> None:
    try:
        namespaces.enter(f"/proc/{pid}/ns/net", namespaces.CLONE_NEWNET)
    except OSError:
        return  # it has ended
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as channel:
        channel.settimeout(5.0)
        body = REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, UDIAG_SHOW_PEER, 0xFFFFFFFF, 0xFFFFFFFF)
        flags = NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
        channel.send(HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, flags, 1, 0) + body)
        for mine, peer in _answers(channel):
            found[mine] = peer


def _answers(channel: socket.socket) -> Iterator[Tuple[int, int]]:
    while True:
        data = channel.recv(1 << 16)
        while data:
            length, kind = HEADER.unpack_from(data)[:2]
            if kind in (NLMSG_DONE, NLMSG_ERROR) or length < HEADER.size:
                return
            yield parsed(data[HEADER.size : length])
            data = data[(length + 3) & ~3 :]


def parsed(message: bytes) -> Tuple[int, int]:
    """The inode and its peer's (0: none) of one ``unix_diag_msg`` with its attributes."""
    inode, peer, at = ANSWER.unpack_from(message)[3], 0, ANSWER.size
    while at + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if size < 4:
            break
        if kind == UNIX_DIAG_PEER:
            peer = struct.unpack_from("=I", message, at + 4)[0]
        at += (size + 3) & ~3
    return inode, peer
