"""Names and SSH addresses of machines, as their nodes have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from umsui.config import ClusterConfig
from umsui.model import Node


def clean(name: str) -> str:
    """A name that can be typed and printed: what is no letter, digit or one of ``._-`` becomes ``_``."""
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in name) or "unnamed"


def distinct(nodes: Sequence[Node], scope: Callable[[Node], str]) -> tuple[Node, ...]:
    """Names that occur once stay; the others get their ``scope`` (resource group, zone) added.

    The same machines have the same names, in whatever order they are listed.
    """
    count = Counter(node.name for node in nodes)
    if len(count) == len(nodes):
        return tuple(nodes)
    taken = {name for name, times in count.items() if times == 1}
    named: dict[str, str] = {}
    for node in sorted((node for node in nodes if count[node.name] > 1), key=_id):
        name = first = f"{node.name}.{clean(scope(node))}"
        number = 1
        while name in taken:
            number += 1
            name = f"{first}-{number}"
        taken.add(name)
        named[_id(node)] = name
    return tuple(replace(node, name=named[_id(node)]) if count[node.name] > 1 else node for node in nodes)


def _id(node: Node) -> str:
    return node.machine.id if node.machine else node.name


def ssh_target(config: ClusterConfig, public: Sequence[str], private: Sequence[str]) -> str:
    """``user@address:port`` as the config wants it; "" for a machine that has no such address."""
    choices = {"public": public, "private": private, None: [*public, *private]}[config.address]
    if not choices:
        return ""
    host = f"[{choices[0]}]" if ":" in choices[0] else choices[0]
    user = f"{config.ssh_user}@" if config.ssh_user else ""
    return f"{user}{host}" + (f":{config.ssh_port}" if config.ssh_port != 22 else "")


def wanted(labels: Mapping[str, str] | None, asked: Mapping[str, str]) -> bool:
    """Whether a machine has all of these tags or labels; "*" is any value. Names of tags are the same in any case."""
    if not asked:
        return True
    found = {key.casefold(): value for key, value in (labels or {}).items()}
    return all(key.casefold() in found and value in ("*", found[key.casefold()]) for key, value in asked.items())
