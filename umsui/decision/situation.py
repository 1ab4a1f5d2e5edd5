"""All that preflight judges, in one value; and three short ways to say what it found."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def ends(self) -> tuple[tuple[str, NodeFacts], tuple[str, NodeFacts]]:
        """Both nodes with their names, source first."""
        return (name(self.source), self.source_node), (name(self.destination), self.destination_node)

    @property
    def image_transfers(self) -> bool:
        """Whether the image is not yet at the destination."""
        wanted = self.specification.image_id.removeprefix("sha256:")
        return wanted not in {each.removeprefix("sha256:") for each in self.destination_node.images}

    def image_bytes(self) -> int:
        """What of the image has to go over the wire."""
        return self.facts.image_bytes if self.image_transfers else 0


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
