"""One node: its connection, and what was last seen there."""

from __future__ import annotations

import logging
import random
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from umsui.adapters import Orchestrator, Transport
from umsui.config import ClusterConfig, NodeConfig
from umsui.coordinator.history import History
from umsui.coordinator.quiet import Quiet
from umsui.errors import HostKeyChanged, UmsuiError
from umsui.interface.protocol import End
from umsui.model import ClusterState, Node, Place, Service

log = logging.getLogger(__name__)

STATES = {"auth": ClusterState.FORBIDDEN, "forbidden": ClusterState.FORBIDDEN, "expired": ClusterState.EXPIRED,
          "throttled": ClusterState.THROTTLED}  # fmt: skip
"""What an error's code says of the node; any other: it cannot be reached."""

SLOW = 5.0  # seconds; a poll that takes longer is worth a line in the log
BACKOFF = 60.0  # seconds at most between two attempts at a node that does not answer


def a_fault(error: Exception, place: Place) -> UmsuiError:
    """What is none of our errors, as one."""
    log.error("%s/%s", place.cluster, place.node, exc_info=error)
    words = f"a fault of umsui: {type(error).__name__}: {error}"
    return UmsuiError(words, "the coordinator's log has the details; please report it", code="fault")


@dataclass(frozen=True, slots=True)
class Ticket:
    """The number of the poll that ends next, and whether it had begun already."""

    round: int
    under_way: bool


class Watcher:
    """Polls one node from a thread of its own. The other methods are for any thread."""

    def __init__(
        self,
        cluster: ClusterConfig,
        node: NodeConfig | Node,
        orchestrator: Orchestrator,
        transport: Callable[..., Transport],
        changed: Callable[[], None],
    ) -> None:
        self.place = Place(cluster.name, node.name)
        self.orchestrator = orchestrator
        self.node = Node(cluster.name, node.name, node.ssh)
        self.services: tuple[Service, ...] = ()
        self.fix = ""
        self.seen = 0.0  # Unix time of the last answer
        self.memory = History()  # of its services, by name
        self.busy = History()  # its own load and free memory
        self._cluster, self._kind = cluster, transport
        self._transport: Transport | None = None
        self._lock = threading.Lock()
        self._changed = changed
        self._asked = threading.Event()
        self._state = threading.Condition()
        self._rounds = 0  # polls that have ended
        self._polling = False
        self.failures = 0  # polls that failed, in a row
        self._retired = False

    # -- its thread -------------------------------------------------------------------------------------------------

    def run(self, pause: Callable[[], float], stop: threading.Event, quiet: Quiet) -> None:
        """Poll until ``stop``, every ``pause()`` seconds; more and more rarely while it does not answer.

        Not in the middle of a switch, unless somebody wants to know.
        """
        while not (stop.is_set() or self._retired):
            self.poll()
            wait = pause() if not self.failures else min(BACKOFF, pause() * 2**self.failures)
            wait *= random.uniform(0.9, 1.1)  # noqa: S311 - jitter: nodes must not be polled in step
            if not self._asked.wait(wait):
                quiet.rest(self._asked)
        if self._transport is not None:
            self._transport.close()

    def poll(self) -> None:
        """Look once; what goes wrong becomes the node's state."""
        before, began = (self.node, self.services), time.monotonic()
        self._asked.clear()
        with self._state:
            self._polling = True
        try:
            node, services = self.orchestrator.survey(self._connection(), self.place.cluster, self.node)
        except Exception as error:  # whatever it is, the watching must go on
            self._fail(error if isinstance(error, UmsuiError) else a_fault(error, self.place))
        else:
            self.node = replace(node, state=ClusterState.LIVE, error="", age=0.0)
            self.services, self.fix, self.seen, self.failures = services, "", time.time(), 0
            self.memory.note(self.seen, {service.name: service.memory for service in services})
            self.busy.note(self.seen, {"load": node.load, "memory_free": node.memory_free})
        with self._state:
            self._polling = False
            self._rounds += 1
            self._state.notify_all()
        took = time.monotonic() - began
        if took > SLOW:
            log.warning("%s/%s took %.1f s to answer %s", self.place.cluster, self.place.node, took, self.node.error)
        if self.node.state is not before[0].state:
            log.info("%s/%s: %s %s", self.place.cluster, self.place.node, self.node.state.value, self.node.error)
        if (self.node, self.services) != before:
            self._changed()

    def _fail(self, error: UmsuiError) -> None:
        code = "auth" if isinstance(error, HostKeyChanged) else error.code
        state = STATES.get(code, ClusterState.UNREACHABLE)
        # Its versions are asked for again when it is back: it may have been upgraded meanwhile.
        self.node = replace(self.node, state=state, error=error.message, software={})
        self.fix = error.fix
        self.failures = min(self.failures + 1, 6)

    def _connection(self) -> Transport:
        """The one connection, made when it is first needed. Raises BadInput for an address that is none."""
        with self._lock:
            if self._transport is None:
                cluster = self._cluster
                self._transport = self._kind(self.node.ssh, identity=cluster.identity, known_hosts=cluster.known_hosts)
            return self._transport

    # -- for everyone -----------------------------------------------------------------------------------------------

    def retire(self) -> None:
        """Poll no more: its machine is gone, switched off, or elsewhere."""
        self._retired = True
        self._asked.set()

    def look(self) -> Ticket:
        """Ask for a poll now; returns a ticket for ``wait``."""
        with self._state:
            ticket = Ticket(self._rounds + 1, self._polling)
        self._asked.set()
        return ticket

    def wait(self, ticket: Ticket, timeout: float) -> bool:
        """Until a poll has ended that began after ``look``; one that was under way and failed will do, too."""

        def over() -> bool:
            wanted = ticket.round + (1 if ticket.under_way and not self.failures else 0)
            return self._rounds >= wanted

        with self._state:
            return self._state.wait_for(over, timeout)

    def interactive(self, argv: Sequence[str]) -> list[str]:
        """A local command that runs ``argv`` there on this terminal, as strict about who it talks to as we are."""
        target, colon, port = self.node.ssh.rpartition(":")
        target, ports = (target, ["-p", port]) if colon and port.isdigit() else (self.node.ssh, [])
        cluster = self._cluster
        options = ["-o", "StrictHostKeyChecking=yes"]
        if cluster.identity is not None:
            options += ["-i", str(cluster.identity), "-o", "IdentitiesOnly=yes"]
        if cluster.known_hosts is not None:
            options += ["-o", f"UserKnownHostsFile={cluster.known_hosts}"]
        return ["ssh", "-t", *options, *ports, "--", target, shlex.join(argv)]

    def end(self) -> End:
        """This node as one end of a migration. Raises BadInput for an address that is none."""
        transport = self._connection()
        user = getattr(transport, "user", "") or self.node.ssh.rpartition("@")[0] or "root"
        return End(self.place, transport, self.orchestrator, user)
