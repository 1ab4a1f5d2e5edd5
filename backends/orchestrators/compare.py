"""Two containers compared field by field: what podman's and docker's comparison have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_UNORDERED = {"CapAdd", "CapDrop", "BoundingCaps", "EffectiveCaps", "GroupAdd", "Dependencies"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not the same; None where one side does not have it."""

    path: str  # "HostConfig.Memory"
    source: Any
    destination: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.source!r} at the source, {self.destination!r} at the destination"


def differences(source: Mapping[str, Any], destination: Mapping[str, Any]) -> list[Difference]:
    """What is not equal between the settings of two containers, by path."""
    sides = [dict(_flat("", settings)) for settings in (source, destination)]
    return [
        Difference(path, sides[0].get(path), sides[1].get(path))
        for path in sorted({*sides[0], *sides[1]})
        if sides[0].get(path) != sides[1].get(path)
    ]


def variables_differ(source: Mapping[str, str], destination: Mapping[str, str]) -> Iterator[Difference]:
    """Which variables are not equal; they hold secrets, so what is in them is not shown."""
    for name in sorted({*source, *destination}):
        if source.get(name) != destination.get(name):
            one, other = ("set" if name in side else None for side in (source, destination))
            yield Difference(f"Config.Env.{name}", one, "set to something else" if one and other else other)


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        if not value and path:
            return  # podman writes {} and null for the same thing
        for key, each in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), each)
    elif isinstance(value, list) and path.rpartition(".")[2] in _UNORDERED:
        yield path, sorted(map(str, value)) or None
    else:
        yield path, None if value in ([], "") else value
