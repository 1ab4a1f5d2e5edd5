"""Which bind mounts are a service's data, and which are a host's own: judged once, for plan and move alike."""

from __future__ import annotations

from typing import Iterable

_LIBRARIES = ("/", "/bin", "/boot", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr")
_HOSTS_OWN = ("/dev", "/proc", "/sys", "/run", "/var/run")
_HOSTS_FILES = (
    *("/etc/localtime", "/etc/timezone", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/machine-id"),
    *("/etc/passwd", "/etc/group", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
)


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders if folder != "/")


def of_the_system(path: str) -> str:
    """``libraries`` or ``host`` for a path that belongs to the operating system; "" for any other."""
    path = path.rstrip("/") or "/"
    if path == "/" or _within(path, _LIBRARIES):
        return "" if _within(path, ("/usr/local/share", "/usr/share/nginx", "/usr/src")) else "libraries"
    return "host" if path == "/etc" or _within(path, (*_HOSTS_OWN, *_HOSTS_FILES)) else ""


def is_data(path: str, kind: str) -> bool:
    """Whether a path of a host, bound into a service, is data that goes along with it.

    ``kind`` is what it is there (``umsui.agent.traits.kind``).
    """
    return not of_the_system(path) and kind in ("folder", "empty", "file")
