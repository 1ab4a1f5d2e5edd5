"""The state of both local clouds: fleets, tokens, operations, faults, and who asked for what."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from tests.clouds.faults import Faults
from tests.clouds.fleet import Fleet
from tests.clouds.machines import PROJECT, SUBSCRIPTION
from tests.clouds.operations import Operations
from tests.clouds.tokens import Tokens

HOME = {"azure": SUBSCRIPTION, "google": PROJECT}


@dataclass
class Seen:
    """One request as it came."""

    kind: str
    method: str
    host: str
    path: str
    query: list[tuple[str, str]]
    status: int = 0
    at: float = field(default_factory=time.time)


class Cloud:
    """One of the two."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tokens = Tokens(name)
        self.fleets: dict[str, Fleet] = {HOME[name]: Fleet(HOME[name], [])}
        self.operations = Operations(lambda account, number: self.fleets[account].changed(number))

    def put(self, fleet: Fleet) -> None:
        """This account has these machines now."""
        self.operations.settle(now=True)
        self.fleets[fleet.account] = fleet


class World:
    """All of it. ``public_key``: the Google service account's."""

    def __init__(self, public_key: str) -> None:
        self.public_key = public_key
        self.served: Counter[str] = Counter()  # of all times: by the kind's first word, and faults
        self.reset()

    def reset(self) -> None:
        """As at the start: no machines, no trouble, nothing counted."""
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        self.seen: deque[Seen] = deque(maxlen=5000)
        self.azure = Cloud("azure")
        self.google = Cloud("google")

    def cloud(self, name: str) -> Cloud:
        """By name."""
        return {"azure": self.azure, "google": self.google}[name]

    def settle(self) -> None:
        """Operations whose time has come are over."""
        self.azure.operations.settle()
        self.google.operations.settle()
