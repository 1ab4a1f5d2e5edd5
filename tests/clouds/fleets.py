"""Ready fleets, made in the server from a name and a number: 10,000 machines need not travel there."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from tests.clouds.machines import AZURE_LOCATIONS, AZURE_SIZES, GOOGLE_SIZES, GOOGLE_ZONES, Machine

BASE = int(ipaddress.ip_address("10.128.0.10"))
PUBLIC = int(ipaddress.ip_address("198.18.0.1"))  # addresses set aside for benchmarks
ROLES = ("web", "worker", "cache", "db")
STATES = ("running",) * 8 + ("deallocated", "stopped")


def plain(cloud: str, count: int) -> list[Machine]:
    """A fleet as companies have it: several regions, a fifth with public addresses, a tenth not running."""
    sizes = tuple(AZURE_SIZES if cloud == "azure" else GOOGLE_SIZES)
    places: Sequence[str] = AZURE_LOCATIONS if cloud == "azure" else GOOGLE_ZONES
    return [
        Machine(
            name=f"{ROLES[number % 4]}-{number:05d}",
            place=places[number % len(places)],
            size=sizes[number % len(sizes)],
            group=f"rg-{number % 40:02d}",
            zone=str(number % 3 + 1),
            state=STATES[number % 10],
            private=str(ipaddress.ip_address(BASE + number)),
            public=str(ipaddress.ip_address(PUBLIC + number)) if number % 5 == 0 else None,
            tags={"team": f"team-{number % 7}", "role": ROLES[number % 4], "umsui": "node"},
            spot=number % 20 == 3,
        )
        for number in range(count)
    ]


def odd(cloud: str, count: int) -> list[Machine]:
    """What real lists hold, too: odd casing, no address, no tags, control characters, long and foreign names."""
    fleet = plain(cloud, count)
    for number, machine in enumerate(fleet):
        kind = number % 7
        if kind == 0:
            machine.odd_case, machine.group = True, "Rg-MiXed"
        elif kind == 1:
            machine.private = machine.public = None
        elif kind == 2:
            machine.tags = None
        elif kind == 3:
            machine.name = f"bell\x07-\x1b[31mred\x1b[0m-\n{number}"
        elif kind == 4:
            machine.name = f"マシン-é-\u202e{number}"
        elif kind == 5:
            machine.name = f"{'x' * 200}{number}"
    return fleet


def zones(cloud: str, count: int) -> list[Machine]:
    """As ``plain``, in 300 zones of Google's; Azure's zones are three in each region."""
    fleet = plain(cloud, count)
    for number, machine in enumerate(fleet if cloud == "google" else ()):
        machine.place = f"region-{number % 100:02d}-{'abc'[number % 300 // 100]}"
    return fleet


FLEETS: dict[str, Callable[[str, int], list[Machine]]] = {"plain": plain, "odd": odd, "zones": zones}
