"""One end of a service-level move that goes through the coordinator: a pod, or a container of podman or docker."""

from __future__ import annotations

import inspect
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, cast

from umsui.adapters import ApiOrchestrator
from umsui.agent import talk
from umsui.agent.host import Trouble
from umsui.agent.inside import INIT
from umsui.agent.service_level import CHECKPOINT
from umsui.core.session import Session
from umsui.errors import BadInput, Refused
from umsui.interface.protocol import End
from umsui.interface.remote_inside import RemoteInside
from umsui.model import Specification

GROUPS = "umsui.io/groups"  # annotation, on the way only: the groups that its processes have besides their own
ANSWERS = 60.0  # seconds that a supervisor may not answer before it is given up: an API may be starting, or loaded
PULLED = 600.0  # seconds that getting an image may take


class ApiEnd(Protocol):
    """A service's container, at either end. Every call may be repeated, and raises UmsuiError."""

    def particulars(self) -> Sequence[str]:
        """What the specification has no field for, for a destination of the same kind."""

    def reserve(self, spec: Specification, particulars: Sequence[str], migration: str) -> None:
        """Create and start it so that it waits for a restore; nobody is led to it yet."""

    def reserved(self, migration: str) -> bool:
        """Whether it is there, and for this migration."""

    def discard(self, migration: str) -> None:
        """Remove all that was made for this migration, and nothing else."""

    def lead(self) -> None:
        """The gate is open: clients are led to it, and a restart is a restart."""

    def settle(self, particulars: Sequence[str]) -> None:
        """After the commit: it belongs to whom it belonged to at the source, and is no longer this migration's."""

    def take_away(self) -> None:
        """After the commit: remove the source for good; nothing makes another one in its place."""

    def identity(self) -> Mapping[str, str]:
        """What must stay as it is while it is moved, in words."""


class InsideEnd(ApiEnd, Protocol):
    """One with umsui inside."""

    inside: RemoteInside


class PodEnd:
    """A pod, through its cluster's API."""

    def __init__(self, end: End, service: str) -> None:
        self._end, self._service = end, service
        self._api = cast(ApiOrchestrator, end.orchestrator)
        self.inside = RemoteInside(self._talk)

    def _talk(self, name: str) -> subprocess.Popen[bytes]:
        words = [INIT, "--talk", "--framed", *([name] if name != "talk" else [])]
        return self._api.program(self._end.transport, self._service, words, framed=True)

    def particulars(self) -> Sequence[str]:
        """The pod, its owner, and what it has mounted, as the API has them."""
        return self._api.particulars(self._end.transport, self._service)

    def reserve(self, spec: Specification, particulars: Sequence[str], migration: str) -> None:
        """A pod that waits, without the labels by which Services and controllers would find it."""
        self._api.reserve(self._end.transport, self._end.place.node, spec, particulars, migration)

    def reserved(self, migration: str) -> bool:
        """By its label."""
        return self._api.reserved(self._end.transport, self._service) == migration

    def discard(self, migration: str) -> None:
        """The pod and whatever else has this migration's label."""
        self._api.discard(self._end.transport, self._service, migration)

    def lead(self) -> None:
        """Its labels are those of the service from now on."""
        self._api.lead(self._end.transport, self._service)

    def settle(self, particulars: Sequence[str]) -> None:
        """Its owner is made, and takes it over."""
        self._api.settle(self._end.transport, self._service, particulars)

    def take_away(self) -> None:
        """Its owner goes first."""
        self._api.take_away(self._end.transport, self._service)

    def identity(self) -> Mapping[str, str]:
        """The pod's uid, its container's id and how often that was started, and whether it is being deleted."""
        return self._api.identity(self._end.transport, self._service)


class HostEnd:
    """A container of a host with podman or docker: its node's agent reserves and removes, bytes go by native ssh."""

    approach = "service"  # which of the agent's ends it works with

    def __init__(self, end: End, service: str, migration: str = "") -> None:
        self._end, self._service, self._migration = end, service, migration
        self._sessions: dict[str, Session] = {}
        self.inside = RemoteInside(self._talk)

    @cached_property
    def _container(self) -> tuple[str, str]:
        """Its process and its id, as they were when last looked at (``identity``). Raises Trouble when it is gone."""
        try:
            found = self._end.orchestrator.raw(self._end.transport, self._service)
        except BadInput as error:
            raise Trouble("no-agent-inside", error.message) from error
        return str(found["State"].get("Pid", 0)), str(found["Id"])

    def _talk(self, name: str) -> subprocess.Popen[bytes]:
        pid, container = self._container
        words = ["python3", "-ISc", inspect.getsource(talk), pid, name, container]
        argv = self._end.transport.program(words if self._end.user == "root" else ["sudo", "-n", *words])
        ends = subprocess.PIPE
        return subprocess.Popen(argv, stdin=ends, stdout=ends, stderr=ends, start_new_session=True)

    def _ask(self, method: str, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        """Ask the node's agent, as the end of this migration that the method names."""
        role = method.partition(".")[0]
        session = self._sessions.get(role)
        if session is None or not session.alive:
            session = Session(self._end.transport, f"{self._end.place.cluster}/{self._end.place.node}", self._end.user)
            engine = self._end.orchestrator.name
            session.call(f"{role}.open", migration=self._migration, engine=engine, approach=self.approach)
            self._sessions[role] = session
        return session.call(method, timeout, migration=self._migration, **params)

    def _close(self, role: str) -> None:
        """Nothing of this migration is left on the node."""
        self._ask(f"{role}.close")
        self._sessions.pop(role).close()

    def particulars(self) -> Sequence[str]:
        """Nothing that another kind of orchestrator could use."""
        return ()

    def reserve(self, spec: Specification, particulars: Sequence[str], migration: str) -> None:  # noqa: ARG002
        """Claim its name and volumes, create it, start it passive."""
        orchestrator, way = self._end.orchestrator, self._end.transport
        self._get_image(spec.image)
        volumes = [mount.source for mount in spec.volumes]
        self._ask("destination.claim", container=spec.name, volumes=volumes)
        groups = spec.annotations.get(GROUPS, "").split()
        added = [f"--group-add={group}" for group in groups] if orchestrator.name == "podman" else []
        container = orchestrator.create(way, replace(spec, annotations={}, image_id=""), added)
        self._start_passive(container)

    def _get_image(self, image: str) -> None:
        """As a kubelet would: pulled by its name where it is not there."""
        engine, way = self._end.orchestrator, self._end.transport
        if engine.has_image(way, image):
            return
        done = way.run([engine.name, "pull", "-q", image], timeout=PULLED)
        if done.status:
            said = done.stderr.decode(errors="replace").strip()[-400:]
            fix = f"bring it there: `{engine.name} pull {image}`, or `{engine.name} load`"
            raise Refused(f"there is no image {image}, and it could not be pulled: {said}", fix, code="no-image")

    def _start_passive(self, container: str) -> None:
        self._ask("destination.prepare", container=container, volumes={})

    def reserved(self, migration: str) -> bool:  # noqa: ARG002 - its folder is this migration's
        """By what its agent has noted."""
        if self._ask("destination.noted")["state"].get("claimed"):
            return True
        self._close("destination")  # asking has made its folder
        return False

    def discard(self, migration: str) -> None:  # noqa: ARG002
        """What was claimed."""
        self._ask("destination.rollback", 70.0, within=60.0)
        self._close("destination")

    def lead(self) -> None:
        """Its ports are published since it was created."""

    def settle(self, particulars: Sequence[str]) -> None:  # noqa: ARG002
        """It is the engine's own; the notes of the migration go."""
        if self.reserved(self._migration):  # else this has been done
            self._ask("destination.confirm", 70.0, within=60.0)
            self._close("destination")

    def take_away(self) -> None:
        """The container without another instruction, and its volumes."""
        spec = self._end.orchestrator.specification(self._end.transport, self._service)
        self._ask("source.stand_for", container=self._service)
        self._ask("source.remove", 70.0, within=60.0)
        volumes = [mount.source for mount in spec.volumes]
        self._end.orchestrator.remove(self._end.transport, self._service, volumes=volumes)
        self._close("source")

    def identity(self) -> Mapping[str, str]:
        """The container's id and process."""
        found = self._end.orchestrator.raw(self._end.transport, self._service)
        state = found["State"]
        self._container = str(state.get("Pid", 0)), str(found["Id"])
        created = re.sub(r"(\.\d{6})\d*", r"\1", str(found["Created"]))
        return {
            "created": str(int(datetime.fromisoformat(created).timestamp())),
            "the container itself": str(found["Id"]),
            "its process": str(state.get("Pid", 0)),
            "its state": str(state["Status"]),
        }


def end_of(end: End, service: str, migration: str = "") -> InsideEnd:
    """The end of a move, by its orchestrator."""
    return PodEnd(end, service) if end.through_api else HostEnd(end, service, migration)


def insist(end: InsideEnd, words: str) -> str:
    """The supervisor's answer, which everything depends on: a container that is there gets more than one chance.

    Raises Trouble when it is gone, or does not answer for long; Unreachable when its orchestrator does not.
    """
    until = time.monotonic() + ANSWERS
    while True:
        try:
            return end.inside.ask(words, CHECKPOINT)
        except Trouble:
            try:
                going = end.identity().get("its deletion")
            except BadInput:
                going = "gone"
            if going or time.monotonic() > until:
                raise
            time.sleep(0.5)
