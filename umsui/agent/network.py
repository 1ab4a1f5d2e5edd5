"""The network namespace that CRIU runs in: the service's own, at both ends.

CRIU takes along, and makes anew, whatever namespace a service has that is not CRIU's. But the network is the engine's
to make, not the checkpoint's, and the namespace that CRIU would walk through, make or open meanwhile costs the switch
some 25 ms. So CRIU is started in that of the service: at the source in the one that it is in, at the destination in
the one that it is to be in; it then sees none that is not its own. Where the engine leaves it to the runtime to make
one, which a restoring runtime leaves to CRIU (docker), it is made here; the engine's hook connects it, as ever.

A network of another user namespace stays CRIU's matter: it has to belong to the one that CRIU makes.

The kernel's settings for the container's network (``net.*``) are no part of a checkpoint either: a runtime sets them
in what it starts, not in what it restores.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from umsui.agent.namespaces import CLONE_NEWNET, call, same

HERE = "/proc/thread-self/ns/net"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # netdevice(7)


class Home:
    """A network namespace, held open, and the settings that are still to be made in it."""

    def __init__(self, descriptor: int, settings: Dict[str, str]) -> None:
        self._descriptor = descriptor
        self._settings = settings

    def enter(self) -> None:
        """Have this thread, and what it starts, in there. Raises OSError."""
        call("setns", self._descriptor, CLONE_NEWNET)

    def settle(self) -> List[str]:
        """Make the settings that can be made by now; the others, as ``name=value``: an interface may yet come."""
        with _away():
            self.enter()
            for name, value in list(self._settings.items()):
                with contextlib.suppress(OSError):
                    Path("/proc/sys", name.replace(".", "/")).write_text(value)
                    del self._settings[name]
        return [f"{name}={value}" for name, value in self._settings.items()]

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def of_dump(pid: int) -> Optional[Home]:
    """That of a running service; None where CRIU has no other, or has to take care of it. Raises OSError."""
    if same(pid, "net") or not same(pid, "user"):
        return None
    return Home(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC), {})


def of_restore(bundle: Path) -> Optional[Home]:
    """That which a restored container is to be in, its settings made as far as they can be; None as ``of_dump``.

    ``bundle``: the folder of its OCI configuration
    (https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md). Raises OSError, ValueError.
    """
    linux = json.loads((bundle / "config.json").read_text()).get("linux") or {}
    kinds: Dict[str, Dict[str, Any]] = {each["type"]: each for each in linux.get("namespaces") or []}
    if "network" not in kinds or "user" in kinds:
        return None
    path = kinds["network"].get("path")
    settings = {name: str(value) for name, value in (linux.get("sysctl") or {}).items() if name.startswith("net.")}
    home = Home(os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else _made(), settings)
    home.settle()
    return home


def _made() -> int:
    """A new one, with nothing in it but its loopback device, which is up."""
    with _away():
        call("unshare", CLONE_NEWNET)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sh14x", b"lo", 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
        return os.open(HERE, os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Whatever network this thread goes to meanwhile, it is back in its own afterwards."""
    own = os.open(HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            call("setns", own, CLONE_NEWNET)
        finally:
            os.close(own)
