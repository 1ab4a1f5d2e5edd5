"""One end of a container-level move that goes through the coordinator: an outer pod, or a host's outer container."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, cast

from umsui.adapters import ApiOrchestrator
from umsui.agent import nested
from umsui.core.session import Session
from umsui.core.within import InPod, Within
from umsui.errors import Unreachable
from umsui.interface import room
from umsui.interface.api_ends import ApiEnd, HostEnd, PodEnd
from umsui.interface.protocol import End
from umsui.model import Mount, Place, Specification

UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined")  # of what is not privileged
AGAIN, PAUSE = 5, 0.2  # attempts, and the seconds between them
RUN = Mount("tmpfs", "", "/run", options=("exec", "mode=755"))  # where the agent works: keys, sockets, programs


class OuterEnd(ApiEnd, Protocol):
    """An outer container."""

    def room(self, *, more: bool) -> None:
        """Let the move's own programs in, beside the service; or have the service's limits again."""


class OuterPod(PodEnd):
    """A pod: its limits leave room from its start (``as_pod``), for nobody can lift them later."""

    def room(self, *, more: bool) -> None:
        """Nothing."""

    def reserve(self, spec: Specification, particulars: Sequence[str], migration: str) -> None:
        """Of the source's pod, where it is one."""
        super().reserve(spec if particulars else as_pod(spec), particulars, migration)


class OuterHost(HostEnd):
    """A container of podman or docker."""

    approach = "orchestrator"  # its agent claims and removes it as it would any container

    def __init__(self, end: End, spec: Specification, migration: str) -> None:
        super().__init__(end, spec.name, migration)
        self._told = spec

    @functools.cached_property
    def _spec(self) -> Specification:
        spec = self._told
        if nested.VARIABLE not in spec.environment:  # the journal, which this is out of then, keeps no environments
            own = self._end.orchestrator.specification(self._end.transport, self._service)
            spec = replace(spec, environment=own.environment)
        return as_container(spec)

    def room(self, *, more: bool) -> None:
        """By its engine."""
        room.change(self._end, self._spec, more=more)

    def reserve(self, spec: Specification, particulars: Sequence[str], migration: str) -> None:  # noqa: ARG002
        """As a host's containers are, whatever it was made of at the source."""
        super().reserve(self._spec, (), migration)

    def _start_passive(self, container: str) -> None:  # noqa: ARG002
        self.room(more=True)
        self._ask("destination.put", container=self._service, path=str(nested.PASSIVE))
        self._end.orchestrator.start(self._end.transport, self._service)

    def settle(self, particulars: Sequence[str]) -> None:  # noqa: ARG002
        """Its limits are the service's again; the notes of the migration go."""
        if self.reserved(self._migration):  # else this has been done
            self.room(more=False)
            self._close("destination")

    def take_away(self) -> None:
        """With its volumes; the service in it has ended."""
        volumes = [mount.source for mount in self._told.volumes]
        self._end.orchestrator.remove(self._end.transport, self._service, volumes=volumes)


def outer_end(end: End, spec: Specification, migration: str) -> OuterEnd:
    """The end of a move, by its orchestrator."""
    return OuterPod(end, spec.name) if end.through_api else OuterHost(end, spec, migration)


def within(end: End, service: str) -> Within | InPod:
    """The way into a service's outer container."""
    if end.through_api:
        return InPod(cast(ApiOrchestrator, end.orchestrator), end.transport, service)
    return Within(end.transport, end.orchestrator.name, service)


def patiently(start: Callable[[], Session]) -> Session:
    """Start an agent in an outer container that may have been started this moment. Raises Unreachable.

    While that lays itself out (what covers its /proc goes, its cgroups come), an engine's ``exec`` may fail.
    """
    for _ in range(AGAIN):
        try:
            return start()
        except Unreachable as error:
            if error.code != "no-agent":
                raise
            time.sleep(PAUSE)
    return start()


def place_in(end: End, service: str) -> Place:
    """What its agent is known by: it is in the container, not on the node."""
    return replace(end.place, node=f"{end.place.node}, in {service}")


def as_pod(spec: Specification) -> Specification:
    """An outer container's specification as its pod's."""
    return replace(
        spec,
        mounts=spec.volumes,  # /run is made by the outer container
        memory_limit=room.memory(spec.memory_limit),
        cpu_limit=room.cores(spec.cpu_limit),
    )


def as_container(spec: Specification) -> Specification:
    """An outer pod's specification as that of a host's container; a container's own is not changed by it."""
    wanted = json.loads(spec.environment[nested.VARIABLE])
    return replace(
        spec,
        mounts=(RUN, *spec.volumes),
        memory_limit=int(wanted.get("memory", spec.memory_limit)),  # a pod's leave room for a move
        cgroupns="private",  # so that it may write into its own cgroups, and sees no others
        security_options=() if spec.privileged else UNCONFINED,
    )
