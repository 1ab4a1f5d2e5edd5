"""All that preflight judges, in one value; and three short ways to say what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.model import Finding, Place, Service, Specification

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Situation:
    """A service, both ends and the link between them."""

    service: Service
    specification: Specification
    source: Place
    destination: Place
    source_node: NodeFacts
    destination_node: NodeFacts
    facts: ServiceFacts
    link: LinkFacts
    cpu: str = ""  # what CRIU says against the destination's CPU
    unsupported: tuple[str, ...] = ()  # what the orchestrator cannot create again elsewhere, in words
    paths_here: Mapping[str, str] = field(default_factory=dict)  # bound paths of the host -> what they are
    paths_there: Mapping[str, str] = field(default_factory=dict)  # the same paths at the destination
    parts: tuple[Situation, ...] = ()  # of a service of several containers: each one's own

    @property
    def ends(self) -> tuple[tuple[str, NodeFacts], tuple[str, NodeFacts]]:
        """Both nodes with their names, source first."""
        return (name(self.source), self.source_node), (name(self.destination), self.destination_node)

    @property
    def image_transfers(self) -> bool:
        """Whether the image is not yet at the destination."""
        wanted = self.specification.image_id.removeprefix("sha256:")
        return wanted not in {each.removeprefix("sha256:") for each in self.destination_node.images}

    @property
    def layers_there(self) -> frozenset[str]:
        """Of the image's layers, those that the destination has already, in whatever image."""
        return self.destination_node.layers & self.facts.layer_bytes.keys()

    def image_bytes(self) -> int:
        """What of the image has to go over the wire."""
        if not self.image_transfers:
            return 0
        layers = self.facts.layer_bytes
        return sum(layers[each] for each in layers.keys() - self.layers_there) if layers else self.facts.image_bytes

    @property
    def checkpoint_bytes(self) -> int:
        """What a checkpoint has to carry: its memory, and its file systems in memory."""
        return self.facts.memory + self.facts.tmpfs_bytes


def name(place: Place) -> str:
    """``cluster/node``."""
    return f"{place.cluster}/{place.node}"


def good(check: str, what: str, where: str) -> Finding:
    """Nothing is wrong here."""
    return Finding(check=check, ok=True, blocking=False, what=what, where=where)


def warning(check: str, what: str, why: str, fix: str, where: str) -> Finding:
    """Worth knowing; the migration may go on."""
    return Finding(check=check, ok=False, blocking=False, what=what, why=why, fix=fix, where=where)


def blocking(check: str, what: str, why: str, fix: str, where: str) -> Finding:
    """The migration would fail, or break a promise."""
    return Finding(check=check, ok=False, blocking=True, what=what, why=why, fix=fix, where=where)


def size(count: float) -> str:
    """Bytes for people: ``64 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def some(items: tuple[str, ...] | list[str], limit: int = 3) -> str:
    """The first few of ``items`` and how many more there are."""
    head = ", ".join(items[:limit])
    return head if len(items) <= limit else f"{head} and {len(items) - limit} more"
