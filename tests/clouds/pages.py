"""Lists whose bytes are made once: the server must not be what a benchmark measures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any


def compact(value: Any) -> bytes:
    """As JSON, in as few bytes as it takes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Pages:
    """Items and their pages; ``pack`` makes a page's inside from its items' numbers."""

    def __init__(self, count: int, size: int, pack: Callable[[Sequence[int]], bytes]) -> None:
        self._size = size
        self._count = count
        self._pack = pack
        self._made: dict[int, bytes] = {}

    def __len__(self) -> int:
        """The number of pages; an empty list has one."""
        return max(-(-self._count // self._size), 1)

    def get(self, number: int) -> bytes:
        """The inside of page ``number`` (from 0)."""
        if number not in self._made:
            start = number * self._size
            self._made[number] = self._pack(range(start, min(start + self._size, self._count)))
        return self._made[number]

    def changed(self, item: int) -> None:
        """The page that holds this item is made anew when it is next asked for."""
        self._made.pop(item // self._size, None)

    def prepare(self) -> None:
        """Make them all now."""
        for number in range(len(self)):
            self.get(number)


class Items:
    """The bytes of each item of a list, and its pages as a JSON array's inside."""

    def __init__(self, count: int, size: int, make: Callable[[int], Any]) -> None:
        self._make = make
        self._bytes: list[bytes | None] = [None] * count
        self.pages = Pages(count, size, lambda numbers: b",".join(self.item(number) for number in numbers))

    def item(self, number: int) -> bytes:
        """One item."""
        found = self._bytes[number]
        if found is None:
            found = self._bytes[number] = compact(self._make(number))
        return found

    def changed(self, number: int) -> None:
        """Make this item anew when it is next asked for."""
        self._bytes[number] = None
        self.pages.changed(number)
