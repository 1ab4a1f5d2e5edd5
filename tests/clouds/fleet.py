"""One subscription's or project's machines and clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.clouds.machines import Machine, Managed
from tests.clouds.pages import Items, Pages

PAGE = 500


class Fleet:
    """What there is, and the bytes that were made of it."""

    def __init__(
        self, account: str, machines: Sequence[Machine], clusters: Sequence[Managed] = (), page: int = PAGE
    ) -> None:
        self.account = account
        self.machines = list(machines)
        self.clusters = list(clusters)
        self.page = page
        self.silent: set[str] = set()  # zones that do not answer
        self.answers: dict[str, bytes] = {}  # by URL: such as are costly to make
        self._items: dict[str, Items] = {}
        self._pages: dict[tuple[str, int], Pages] = {}
        self._numbers = {(machine.group.lower(), machine.name.lower()): n for n, machine in enumerate(self.machines)}
        self._in_place = {(machine.place, machine.name): n for n, machine in enumerate(self.machines)}

    def in_group(self, group: str, name: str) -> int | None:
        """The number of a machine of Azure's, whose names have no case."""
        return self._numbers.get((group.lower(), name.lower()))

    def in_place(self, place: str, name: str) -> int | None:
        """The number of a machine of Google's."""
        return self._in_place.get((place, name))

    def items(self, name: str, make: Callable[[int], Any]) -> Items:
        """The list called ``name``; made by ``make``, the first time."""
        if name not in self._items:
            self._items[name] = Items(len(self.machines), self.page, make)
        return self._items[name]

    def pages(self, name: str, size: int, make: Callable[[], Pages]) -> Pages:
        """Pages of another size or make than ``items``."""
        if (name, size) not in self._pages:
            self._pages[name, size] = make()
        return self._pages[name, size]

    def changed(self, number: int) -> None:
        """A machine's state is another now."""
        for items in self._items.values():
            items.changed(number)
        self.forget()

    def forget(self) -> None:
        """Make all pages anew when they are next asked for."""
        self._pages.clear()
        self.answers.clear()
