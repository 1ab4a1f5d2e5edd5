"""The machines of one cluster as its provider lists them, from a thread of its own: a bad cloud delays no other."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from umsui import adapters
from umsui.adapters import Listing, Provider
from umsui.config import ClusterConfig
from umsui.errors import Throttled, UmsuiError
from umsui.model import Cluster, ClusterState, ManagedCluster, Node, Power

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks whether migrations have ended
AGAIN = 15.0  # seconds until somebody may have logged in, or given a permission
BACKOFF = 120.0  # seconds at most between two attempts at a cloud that does not answer
SHARE = 20.0  # a list is asked for again after this many times as long as it took: a twentieth of the time is enough
OFF = (Power.STOPPED, Power.DEALLOCATED, Power.STOPPING)
STATES = {
    "expired": ClusterState.EXPIRED,
    "forbidden": ClusterState.FORBIDDEN,
    "throttled": ClusterState.THROTTLED,
}
"""What an error's code says of the cluster; any other: it cannot be reached, or what is shown is old."""


def has_provider(config: ClusterConfig) -> bool:
    """Whether its machines are to be found by asking somebody."""
    return bool(config.subscription or config.project or config.ssh_hosts or config.inventory)


class Fleet:
    """Asks a provider again and again. ``nodes`` and ``managed`` are replaced as a whole, never changed."""

    def __init__(
        self,
        config: ClusterConfig,
        changed: Callable[[], None],
        interval: float,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config = config
        self.nodes: tuple[Node, ...] = ()
        self.managed: tuple[ManagedCluster, ...] = ()
        self.gone: tuple[ManagedCluster, ...] = ()  # managed once: who was shown them is told that they are no more
        self.complete = False  # whether there was a whole list once
        self.seen = 0.0  # Unix time of the last whole list
        self.trouble: UmsuiError | None = None
        self._changed = changed
        self._interval = interval
        self._busy = busy
        self._provider: Provider | None = None
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._stopped = False
        self._state = threading.Condition()
        self._rounds = 0  # lists that have ended
        self._listing = False
        self._failures = 0  # in a row
        self._took = 0.0  # seconds, the last list

    @property
    def provider(self) -> Provider:
        """The adapter, made when it is first needed. Raises UmsuiError."""
        with self._lock:
            if self._provider is None:
                self._provider = adapters.load("providers", self.config.provider)(self.config)
            return self._provider

    # -- its thread -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Ask until ``stop``."""
        while not self._stopped:
            self.poll()
            self._rest()

    def _rest(self) -> None:
        """Until it is time, or somebody wants to know: but a cloud that asked for rest has it.

        Reading a large list takes a second of this process's time, in which a migration's prober would see less.
        """
        end = time.monotonic() + self.pause()
        while not self._stopped:
            left = end - time.monotonic()
            if left <= 0 and not self._busy():
                return
            if self._asked.wait(left if left > 0 else LOOK):
                if not self.resting:
                    return
                self._asked.clear()

    @property
    def resting(self) -> bool:
        """Whether the cloud has asked to be left alone until a time that has not come."""
        return isinstance(self.trouble, Throttled) and self.trouble.until > time.time()

    def pause(self) -> float:
        """Seconds until the next list, never in step with others."""
        if isinstance(self.trouble, Throttled):
            return max(self.trouble.until - time.time(), 0.0) + random.uniform(0.1, 2.0)  # noqa: S311
        if self.trouble is None:
            wait = max(self._interval, SHARE * self._took)
        elif self.trouble.code in STATES or self.trouble.code in ("missing-extra", "config"):
            wait = AGAIN
        else:
            wait = min(BACKOFF, 5.0 * 2.0 ** min(self._failures - 1, 6))
        return wait * random.uniform(0.9, 1.1)  # noqa: S311

    def poll(self) -> None:
        """Ask once; what goes wrong becomes the cluster's state, what was known stays."""
        with self._state:
            self._asked.clear()
            self._listing = True
        before, began = self.trouble, time.monotonic()
        try:
            if self.config.orchestrator == "kubernetes":
                managed = tuple(self.provider.managed())
                news = managed != self.managed
                now = {each.id for each in managed}
                self.gone = tuple(each for each in (*self.gone, *self.managed) if each.id not in now)
                self.managed = managed
                self._whole()
            else:
                news = False
                for listing in self.provider.listings():
                    news |= self._take(listing)
        except Exception as error:  # whatever it is, the watching must go on
            news = self._fail(error)
        else:
            self.trouble, self._failures = None, 0
        self._took = time.monotonic() - began
        with self._state:
            self._listing = False
            self._rounds += 1
            self._state.notify_all()
        if news or (before is None) != (self.trouble is None):
            self._changed()

    def _take(self, listing: Listing) -> bool:
        """Whether it says anything new. A part of a list counts only while there was no whole one."""
        if not listing.complete and self.complete:
            return False
        known = {node.machine.id: node for node in self.nodes if node.machine}
        fresh = [_resting(node) for node in listing.nodes]
        # The same object for what is the same: 10,000 machines of which one has changed cost one.
        kept = (known.get(node.machine.id if node.machine else "") for node in fresh)
        found = [old if old == node else node for node, old in zip(fresh, kept, strict=True)]
        nodes = tuple(sorted(found, key=lambda node: node.name))
        news = nodes != self.nodes or (listing.complete and not self.complete)
        if nodes != self.nodes:
            self.nodes = nodes
        if listing.complete:
            self._whole()
        elif news:
            self._changed()  # the first page is on the board before the second is asked for
        return news

    def _whole(self) -> None:
        self.complete, self.seen = True, time.time()

    def _fail(self, error: Exception) -> bool:
        """Whether that is new."""
        name = self.config.name
        if not isinstance(error, UmsuiError):
            log.error("the machines of %s", name, exc_info=error)
            words = f"a fault of umsui: {type(error).__name__}: {error}"
            error = UmsuiError(words, "the coordinator's log has the details; please report it", code="fault")
        news = self.trouble is None or self.trouble.message != error.message
        if news:
            log.info("%s: %s", name, error.message)
        if error.code == "expired":
            with self._lock:
                self._provider = None  # whoever logs in anew is found by asking from the beginning
        self.trouble = error
        self._failures += 1
        return news or isinstance(error, Throttled)

    # -- for everyone -----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        self._asked.set()

    def look(self, *, anew: bool = False) -> int:
        """Ask now, unless the cloud wants rest; returns a ticket for ``wait``.

        A list that is under way will do, but for ``anew``: something has just changed.
        """
        with self._state:
            if anew or (self._rounds and not self._listing):  # the first list is on its way by itself
                self._asked.set()
            return self._rounds + 1

    def wait(self, ticket: int, timeout: float) -> bool:
        """Until a list has ended since ``look``."""
        with self._state:
            return self._state.wait_for(lambda: self._rounds >= ticket or self.resting, timeout)

    def note(self, name: str, power: Power) -> None:
        """A machine is being switched: the board shows it before the next list does."""
        changed = tuple(
            _resting(replace(node, state=ClusterState.LISTED, machine=replace(node.machine, power=power)))
            if node.name == name and node.machine
            else node
            for node in self.nodes
        )
        self.nodes = changed
        self._changed()

    def node(self, name: str) -> Node | None:
        """The machine of that name."""
        return next((node for node in self.nodes if node.name == name), None)

    def condition(self) -> tuple[ClusterState | None, str, str, float]:
        """State, error, fix and, of a throttled cloud, until when; a state of None leaves it to the nodes."""
        trouble = self.trouble
        if trouble is not None:
            otherwise = ClusterState.STALE if self.complete else ClusterState.UNREACHABLE
            until = trouble.until if isinstance(trouble, Throttled) else 0.0
            return STATES.get(trouble.code, otherwise), trouble.message, trouble.fix, until
        if not self.complete:
            return ClusterState.CONNECTING, "", "", 0.0
        if not self.nodes and not self.managed:
            return ClusterState.EMPTY, self._nothing(), "correct the config, or tag a machine (docs/clouds.md)", 0.0
        return None, "", "", 0.0

    def _nothing(self) -> str:
        config = self.config
        what = "managed Kubernetes cluster" if config.orchestrator == "kubernetes" else "machine"
        where = config.resource_group or config.subscription or config.project or str(config.inventory or "ssh_config")
        marks = ", ".join(f"{key}={value}" for key, value in (config.tags or config.labels).items())
        return f"no {what} in {where}" + (f" has {marks}" if marks else "")

    def kubernetes(self, age: float) -> list[Cluster]:
        """The managed clusters, each as one of its own."""
        state, error, fix, until = self.condition()
        gone = Cluster("", self.config.provider, "kubernetes", state=ClusterState.EMPTY, error="deleted")
        base = Cluster(
            "",
            self.config.provider,
            "kubernetes",
            authority=self.config.authority,
            protected=self.config.protected,
            state=state or ClusterState.LISTED,
            age=age,
            until=until,
        )
        found = [
            replace(
                base,
                name=managed_name(self.config, each),
                error=error or f"{each.version}, {each.nodes} nodes, {each.state}; umsui cannot look into it yet",
                fix=fix or f"`umsui kubeconfig {managed_name(self.config, each)}` lets kubectl in",
            )
            for each in self.managed
        ]
        return found + [replace(gone, name=managed_name(self.config, each)) for each in self.gone]


def managed_name(config: ClusterConfig, managed: ManagedCluster) -> str:
    """A managed cluster's name here: what it was found by, and its own."""
    return f"{config.name}-{managed.name}"


def _resting(node: Node) -> Node:
    """A machine that is off is stopped, whatever else is known of it."""
    off = node.machine is not None and node.machine.power in OFF
    return replace(node, state=ClusterState.STOPPED) if off else node
