"""The one place where commands get at the coordinator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from umsui.cli import output
from umsui.decision.resolve import find_service
from umsui.errors import BadInput, Unreachable
from umsui.model import (
    Cluster,
    ClusterState,
    Deployment,
    Event,
    Finding,
    Migration,
    MigrationRequest,
    Operation,
    Place,
    Plan,
    Service,
)


class Api(Protocol):
    """What commands ask of the coordinator (docs/api.md); ``umsui.coordinator.client.Client`` does it.

    Every call raises UmsuiError with the coordinator's own words, and Unreachable when no coordinator answers.
    """

    def info(self) -> dict[str, Any]:
        """Version, pid, paths."""

    def board(self, *, whole: bool = True) -> Sequence[Cluster]:
        """What is known now; unless ``whole``, of large fleets only the machines that are asked themselves."""

    def refresh(self, *, whole: bool = True) -> Sequence[Cluster]:
        """Ask every node now."""

    def plan(self, request: MigrationRequest) -> Plan:
        """What would be done."""

    def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it."""

    def deploy(self, deployment: Deployment) -> Place:
        """Start a service; where it is now."""

    def migrations(self) -> Sequence[Migration]:
        """All, newest first."""

    def migration(self, migration_id: str) -> Migration:
        """One of them."""

    def events(self, migration_id: str) -> Iterator[Event]:
        """Its events from the first one, then live, up to its outcome."""

    def cancel(self, migration_id: str) -> Migration:
        """Call it off. Raises UmsuiError with code ``too-late`` after commit."""

    def resolve(self, migration_id: str) -> Migration:
        """Take up again what ended as unknown. Raises BadInput when its outcome is known."""

    def switch(self, node: str, action: str, *, force: bool = False) -> Operation:
        """Begin to start or stop the machine of ``cluster/node``."""

    def operations(self) -> Sequence[Operation]:
        """Machines being started and stopped, and the last that were; newest first."""

    def operation(self, operation_id: str) -> Operation:
        """One of them."""

    def cancel_operation(self, operation_id: str) -> Operation:
        """Switch the machine back. Raises UmsuiError with code ``too-late`` when it has ended."""

    def kubeconfig(self, cluster: str) -> str:
        """Credentials for a managed Kubernetes cluster."""

    def doctor(self, node: str | None = None) -> Sequence[Finding]:
        """What nodes lack; ``node`` is ``cluster/node``."""

    def shutdown(self, force: bool = False) -> None:
        """Stop the coordinator. Raises UmsuiError with code ``busy`` while migrations run."""


def ensure() -> None:
    """Start a coordinator where none runs. Raises UmsuiError when it does not come up."""
    from umsui.coordinator.client import ensure_running  # noqa: PLC0415

    ensure_running()


def connect(*, start: bool = True) -> Api:
    """A client of the coordinator, started if need be; without ``start``, its absence shows at the first call."""
    from umsui.coordinator.client import Client  # noqa: PLC0415

    if start:
        ensure()
    api: Api = Client()
    if start:
        _mention_newer_config(api.info())
    return api


def _mention_newer_config(info: dict[str, Any]) -> None:
    """The coordinator reads its config once."""
    with contextlib.suppress(OSError):
        if info["config"] and Path(info["config"]).stat().st_mtime > float(info["started"]):
            output.say(f"{info['config']} was changed since it was read: `umsui coordinator stop`, and it is read anew")


def settled(api: Api, *, refresh: bool = False, whole: bool = False) -> Sequence[Cluster]:
    """The board; when the coordinator has just started, once every node has answered or failed."""
    clusters = api.board(whole=whole)
    known = [cluster.state for cluster in clusters] + [node.state for cluster in clusters for node in cluster.nodes]
    return api.refresh(whole=whole) if refresh or ClusterState.CONNECTING in known else clusters


def found(api: Api, text: str) -> tuple[Service, Sequence[Cluster]]:
    """The service called that, and the board; where nobody has seen it every node is asked first.

    Raises BadInput, Unreachable.
    """
    clusters = settled(api)
    try:
        return find_service(clusters, text), clusters
    except (BadInput, Unreachable):
        clusters = api.refresh(whole=False)
        return find_service(clusters, text), clusters


def full_id(api: Api, text: str) -> str:
    """The id of a migration from its unique beginning; ``last`` is the newest. Raises BadInput."""
    known = [migration.id for migration in api.migrations()]
    if text == "last" and known:
        return known[0]
    if text in known:
        return text
    found = [each for each in known if text and each.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"{text} is ambiguous: {', '.join(found[:5])}", "give more of the id", code="ambiguous")
    raise BadInput(f"there is no migration {text}", "`umsui migrations` lists them", code="unknown-migration")
