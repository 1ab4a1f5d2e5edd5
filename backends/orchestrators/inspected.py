"""What ``podman inspect`` and ``docker inspect`` say in the same words, made neutral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from umsui.model import Port

Raw = Mapping[str, Any]
"""One inspected container."""

_SECOND = 10**9  # nanoseconds


def variables(pairs: Sequence[str] | None) -> dict[str, str]:
    """``["A=b"]`` as a mapping."""
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs or ())}


def ports(bindings: Mapping[str, Any]) -> tuple[Port, ...]:
    """``HostConfig.PortBindings``."""
    found = []
    for inside, bound in bindings.items():
        number, _, protocol = inside.partition("/")
        for each in bound or ():
            address = "" if each.get("HostIp") in ("", "0.0.0.0") else str(each["HostIp"])  # noqa: S104
            found.append(Port(int(each["HostPort"]), int(number), protocol or "tcp", address))
    return tuple(sorted(found, key=lambda port: (port.container, port.protocol, port.host, port.address)))


def restart(policy: Mapping[str, Any]) -> str:
    """``no``, ``always``, ``on-failure:3`` …"""
    name = str(policy.get("Name") or "no")
    count = int(policy.get("MaximumRetryCount") or 0)
    return f"{name}:{count}" if name == "on-failure" and count else name


def capabilities(host: Mapping[str, Any], key: str) -> list[str]:
    """``HostConfig.CapAdd`` or ``CapDrop``, where somebody chose them."""
    # A privileged container's lists are computed: what its host itself has not.
    return [] if host.get("Privileged") else sorted(host.get(key) or ())


def health(check: Mapping[str, Any]) -> dict[str, Any]:
    """``{"test": […], "interval", "timeout", "start_period": seconds, "retries"}``; empty when there is none."""
    if not check:
        return {}
    return {
        "test": list(check.get("Test") or ()),
        "interval": int(check.get("Interval") or 0) / _SECOND,
        "timeout": int(check.get("Timeout") or 0) / _SECOND,
        "start_period": int(check.get("StartPeriod") or 0) / _SECOND,
        "retries": int(check.get("Retries") or 0),
    }
