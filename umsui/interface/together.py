"""Several containers that are one service: they move together, at one commit.

Each container is a migration of its own at the nodes (``ID-0``, ``ID-1`` …), over the same two agents. What makes them
one is here: all stand still before the first is dumped, all are restored and gated before anybody decides, all gates
open on the one decision, and whatever goes wrong with one before that undoes them all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import fields, replace
from typing import Any

from umsui.core.agents import Emit
from umsui.errors import UmsuiError
from umsui.interface.composition import shared, users
from umsui.interface.orchestrator_level import OrchestratorLevel
from umsui.interface.protocol import Order
from umsui.model import Mount, Traffic


class Chorus:
    """Many parts' events as one's: a step begins with the first and ends with the last; progress adds up."""

    def __init__(self, emit: Emit, parts: int) -> None:
        self._emit = emit
        self._parts = parts
        self._begun: set[str] = set()
        self._ended: dict[str, list[float]] = {}
        self._progress: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def voice(self, part: int) -> Emit:
        """What this part emits with."""

        def emit(kind: str, **data: Any) -> None:
            with self._lock:
                if kind == "step":
                    self._step(data)
                elif kind == "progress":
                    self._progress[data["what"], part] = data
                    self._add_up(data["what"])
                else:
                    self._emit(kind, **data)

        return emit

    def _step(self, data: Mapping[str, Any]) -> None:
        name = data["step"]
        if data["state"] == "started":
            if name not in self._begun:
                self._begun.add(name)
                self._emit("step", **data)
            return
        ended = self._ended.setdefault(name, [])
        ended.append(float(data.get("seconds") or 0.0))
        if len(ended) == self._parts:
            self._emit("step", **{**data, "seconds": max(ended)})

    def _add_up(self, what: str) -> None:
        parts = [data for (kind, _), data in self._progress.items() if kind == what]
        totals = [data["total"] for data in parts]
        rates = [data["rate"] for data in parts if data["rate"] is not None]
        whole = sum(totals) if None not in totals else None
        done = sum(data["done"] for data in parts)
        self._emit("progress", what=what, done=done, total=whole, rate=sum(rates) if rates else None)


class Part(OrchestratorLevel):
    """One of the containers. ``elsewhere`` are volumes and bound paths that another part carries."""

    def __init__(self, order: Order, elsewhere: frozenset[str]) -> None:
        super().__init__(order)
        self._elsewhere = elsewhere
        self.users: Callable[[Mount], list[dict[str, Any]]] = lambda _: []

    @property
    def _data(self) -> list[Mount]:
        return [mount for mount in super()._data if mount.source not in self._elsewhere]

    def _also(self, mount: Mount) -> list[dict[str, Any]]:
        return self.users(mount)

    def learn(self) -> int:
        """The container's first process, as it is now."""
        self._facts = self._look()
        return int(self._facts["pid"])

    def freeze(self) -> None:
        """Let it stand still; ``switch`` then finds it so."""
        self._ask("source.freeze")

    def give_up(self) -> None:
        """Another part has failed: this one goes no further."""
        self._ask("source.thaw")


class Together:
    """A service of several containers (a ``umsui.interface.protocol.Move``)."""

    def __init__(self, order: Order) -> None:
        self.order = order
        specifications = order.specification.parts
        chorus = Chorus(order.emit, len(specifications))
        self._parts = [
            Part(replace(order, id=f"{order.id}-{number}", specification=part, emit=chorus.voice(number)), elsewhere)
            for number, (part, elsewhere) in enumerate(zip(specifications, shared(specifications), strict=True))
        ]

    def _all(self, work: Callable[[Part], Any]) -> list[Any]:
        """Do it for all parts at once; the first error is raised when all have ended."""
        with ThreadPoolExecutor(len(self._parts)) as pool:
            return [future.result() for future in [pool.submit(work, part) for part in self._parts]]

    def connect(self) -> None:
        """Agents at both ends; a key and a wire for each part."""
        self._all(Part.connect)

    def reserve(self) -> None:
        """One after the other: what several share is made by the first."""
        for part in self._parts:
            part.reserve()

    def copy_ahead(self) -> None:
        """Each part's files; of a shared volume it matters what any of them has mapped."""
        pids = self._all(Part.learn)
        specifications = self.order.specification.parts

        def all_users(mount: Mount) -> list[dict[str, Any]]:
            return [{"pid": pids[number], "inside": inside} for number, inside in users(specifications, mount)]

        for part in self._parts:
            part.users = all_users
            part.copy_ahead()

    def arm(self) -> None:
        """Checkpoints and restores started, all of them waiting for their word."""
        self._all(Part.arm)

    def intact(self) -> None:
        """Whether all are still as they were at the first call."""
        for part in self._parts:
            part.intact()

    def switch(self) -> None:
        """All stand still, then all are dumped, sent and restored at once; when it returns, all ends have voted."""
        self._all(Part.freeze)
        with ThreadPoolExecutor(len(self._parts)) as pool:
            going = {pool.submit(part.switch): part for part in self._parts}
            try:
                for future in as_completed(going):
                    future.result()
            except UmsuiError:
                for future, part in going.items():
                    if not future.done():
                        with contextlib.suppress(UmsuiError):  # it ends by itself then, and is undone with the others
                            part.give_up()
                raise

    def commit(self) -> None:
        """The decision is durable: open all gates."""
        self._all(Part.commit)

    def drain(self) -> None:
        """Until nothing of any part is missing at the destination."""
        self._all(Part.drain)

    def finish(self) -> None:
        """The first part, which owns what they share, comes last."""
        for part in reversed(self._parts):
            part.finish()

    def rollback(self) -> None:
        """Undo all, also when one of them cannot be; its error is raised then."""
        first: UmsuiError | None = None
        for part in reversed(self._parts):
            try:
                part.rollback()
            except UmsuiError as error:
                first = first or error
        if first is not None:
            raise first

    def forgotten(self) -> bool:
        """Whether the nodes know nothing of any part."""
        return all(part.forgotten() for part in self._parts)

    def traffic(self) -> Traffic:
        """Bytes moved so far, of all parts."""
        each = [part.traffic() for part in self._parts]
        return Traffic(**{f.name: sum(getattr(moved, f.name) for moved in each) for f in fields(Traffic)})

    def close(self) -> None:
        """Drop the agents' connections; changes nothing at the nodes."""
        for part in self._parts:
            part.close()
