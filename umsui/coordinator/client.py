"""The coordinator's API from the other side: for scripts and the CLI (``Client``), for the console (``AsyncClient``).

On the standard library alone: an HTTP library would cost a third of the console's first paint to import.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from umsui import errors, locations
from umsui.coordinator.codec import decode, encode
from umsui.model import (
    Cluster,
    Deployment,
    Event,
    Exit,
    Finding,
    Migration,
    MigrationRequest,
    Operation,
    Place,
    Plan,
    Service,
    Specification,
)

if TYPE_CHECKING:
    from umsui.coordinator.async_client import AsyncClient

__all__ = ["AsyncClient", "Client", "ServiceDetail", "ensure_running", "to_event"]

T = TypeVar("T")

STOPPED = 10.0  # seconds that a coordinator may take to end
PATIENCE = 120.0  # seconds for an answer: a plan probes both ends
DEPLOYED = 1800.0  # seconds: an image may have to come from far away
QUIET = 30.0  # seconds without a sign of life on a stream; heartbeats come each 5 s
LOG_LIMIT = 5 << 20  # bytes of coordinator.log at a start, above which it becomes coordinator.log.1


@dataclass(frozen=True, slots=True)
class ServiceDetail:
    """All that is known of one service."""

    service: Service
    specification: Specification
    logs: tuple[str, ...] = ()


def __getattr__(name: str) -> Any:
    """``AsyncClient``, from a module of its own: the CLI needs no asyncio, and saves 13 ms of 97 at each start."""
    if name == "AsyncClient":
        from umsui.coordinator.async_client import AsyncClient  # noqa: PLC0415

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def ensure_running(timeout: float = 20.0) -> None:
    """Start a coordinator where none answers, detached, and wait for it, ``timeout`` seconds at most.

    Raises Unreachable, or what the coordinator itself ends with: BadInput for a malformed config.
    """
    path, end = locations.coordinator_socket(), time.monotonic() + timeout
    if _answers(path, timeout):
        return
    log = locations.ensure(locations.data_dir()) / "coordinator.log"
    process, offset = _start(log)
    while not _answers(path, max(0.1, end - time.monotonic())):
        if process.poll():
            raise _said(log, offset, process.returncode)
        if time.monotonic() > end:
            words = f"the coordinator did not start within {timeout:g} s"
            raise errors.Unreachable(words, f"see {log}", code="no-coordinator")
        time.sleep(0.02)
        # Ours ends with 0 when there is another one: which has won the race and will answer, or is just ending.
        if process.poll() == 0 and not _answers(path, max(0.1, end - time.monotonic())):
            time.sleep(0.2)
            process, offset = _start(log)


def _start(log: Path) -> tuple[subprocess.Popen[bytes], int]:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "umsui.coordinator"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
        )
        return process, out.tell()


def _answers(path: Path, timeout: float = 5.0) -> bool:
    """Whether a coordinator does: one that was just killed accepts connections, too. Raises Unreachable if it hangs."""
    connection = _UnixConnection(path, timeout)
    try:
        connection.request("GET", "/v1/info")
        return connection.getresponse().status == 200
    except TimeoutError as error:
        fix = (
            f"end the process whose id is in {locations.coordinator_pid_file()}: the next start takes up its migrations"
        )
        raise errors.Unreachable("the coordinator hangs", fix, code="no-coordinator") from error
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _said(log: Path, offset: int, status: int) -> errors.UmsuiError:
    """What a coordinator that did not come up has written into its log."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode(errors="replace").strip().splitlines()
    told = {key: words for key, _, words in (line.strip().partition(": ") for line in lines)}
    if "error" in told and status in {each.value for each in Exit}:
        return _kind(Exit(status))(told["error"], told.get("fix", ""))
    words = f"the coordinator did not start: {lines[-1] if lines else f'it ended with {status}'}"
    return errors.Unreachable(words, f"see {log}", code="no-coordinator")


def _kind(code: Exit) -> type[errors.UmsuiError]:
    classes = (errors.BadInput, errors.Refused, errors.Unreachable, errors.Cancelled, errors.Unknown)
    return next((each for each in classes if each.exit is code), errors.UmsuiError)


def as_error(status: int, body: bytes) -> errors.UmsuiError:
    """The coordinator's error as the class that it was there."""
    try:
        document = json.loads(body)
        found, code = dict(document["error"]), Exit(document["exit"])
        message = str(found["message"])
    except (ValueError, KeyError, TypeError):
        return errors.UmsuiError(f"the coordinator answered {status}: {body[:200]!r}", code="coordinator-fault")
    return _kind(code)(message, found.get("fix", ""), step=found.get("step", ""), code=found.get("code", ""))


def parsed(data: bytes) -> Any:
    """A body as JSON. Raises Unreachable when it is cut off."""
    try:
        return json.loads(data) if data else None
    except ValueError as error:
        raise gone(error) from error


def shaped(shape: type[T], data: Any) -> T:
    """JSON as one of the model's values. Raises UmsuiError when the coordinator is of another version."""
    try:
        return decode(shape, data)
    except (KeyError, TypeError, ValueError) as error:
        raise errors.UmsuiError(
            f"the coordinator speaks another version: {error}",
            "`umsui coordinator stop`, then try again",
            code="other-version",
        ) from error


def request_body(request: MigrationRequest, confirm: str | None = None) -> bytes:
    """What a plan or, with ``confirm``, a migration is asked for with."""
    body = encode(request) if confirm is None else {"request": encode(request), "confirm": confirm}
    return json.dumps(body).encode()


def gone(error: Exception) -> errors.Unreachable:
    """The coordinator does not answer, or no longer."""
    return errors.Unreachable(
        f"the coordinator does not answer: {error}", "`umsui coordinator status`", code="no-coordinator"
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("umsui", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """Blocking calls, a connection each. All raise UmsuiError with the coordinator's own words, or Unreachable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or locations.coordinator_socket()

    def _call(self, method: str, target: str, body: bytes | None = None, patience: float = PATIENCE) -> Any:
        connection = _UnixConnection(self._path, patience)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise gone(error) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise as_error(answer.status, data)
        return parsed(data)

    def _get(self, shape: type[T], target: str, method: str = "GET", body: bytes | None = None) -> T:
        return shaped(shape, self._call(method, target, body))

    def info(self) -> dict[str, Any]:
        """Version, pid, paths."""
        found: dict[str, Any] = self._call("GET", "/v1/info")
        return found

    def board(self, *, whole: bool = True) -> list[Cluster]:
        """What is known now; unless ``whole``, of large fleets only the machines that are asked themselves."""
        return self._get(list[Cluster], f"/v1/board?whole={whole}")

    def refresh(self, *, whole: bool = True) -> list[Cluster]:
        """Ask every node now."""
        return self._get(list[Cluster], f"/v1/refresh?whole={whole}", "POST")

    def service(self, key: str) -> ServiceDetail:
        """Specification and last log lines of ``cluster/name``."""
        return self._get(ServiceDetail, f"/v1/services/{quote(key)}")

    def plan(self, request: MigrationRequest) -> Plan:
        """What would be done."""
        return self._get(Plan, "/v1/plans", "POST", request_body(request))

    def migrate(self, request: MigrationRequest, confirm: str = "") -> Migration:
        """Start it."""
        return self._get(Migration, "/v1/migrations", "POST", request_body(request, confirm))

    def deploy(self, deployment: Deployment) -> Place:
        """Start a service; where it is now. Waits until its image is there."""
        body = json.dumps(encode(deployment)).encode()
        return shaped(Place, self._call("POST", "/v1/services", body, DEPLOYED))

    def migrations(self) -> list[Migration]:
        """All, newest first."""
        return self._get(list[Migration], "/v1/migrations")

    def migration(self, migration_id: str) -> Migration:
        """One of them."""
        return self._get(Migration, f"/v1/migrations/{migration_id}")

    def cancel(self, migration_id: str) -> Migration:
        """Call it off. Raises UmsuiError with code ``too-late`` after commit."""
        return self._get(Migration, f"/v1/migrations/{migration_id}/cancel", "POST")

    def resolve(self, migration_id: str) -> Migration:
        """Take up again what ended as unknown. Raises BadInput when its outcome is known."""
        return self._get(Migration, f"/v1/migrations/{migration_id}/resolve", "POST")

    def switch(self, node: str, action: str, *, force: bool = False) -> Operation:
        """Begin to start or stop the machine of ``cluster/node``."""
        return self._get(Operation, f"/v1/nodes/{quote(node)}/{action}" + ("?force=true" if force else ""), "POST")

    def operations(self) -> list[Operation]:
        """Machines being started and stopped, and the last that were; newest first."""
        return self._get(list[Operation], "/v1/operations")

    def operation(self, operation_id: str) -> Operation:
        """One of them."""
        return self._get(Operation, f"/v1/operations/{quote(operation_id)}")

    def cancel_operation(self, operation_id: str) -> Operation:
        """Switch the machine back. Raises UmsuiError with code ``too-late`` when it has ended."""
        return self._get(Operation, f"/v1/operations/{quote(operation_id)}/cancel", "POST")

    def kubeconfig(self, cluster: str) -> str:
        """Credentials for a managed Kubernetes cluster."""
        return str(self._call("GET", f"/v1/clusters/{quote(cluster)}/kubeconfig")["kubeconfig"])

    def doctor(self, node: str | None = None) -> list[Finding]:
        """What nodes lack; ``node`` is ``cluster/node``."""
        return self._get(list[Finding], "/v1/doctor" + (f"?node={quote(node)}" if node else ""))

    def shutdown(self, force: bool = False) -> None:
        """Stop the coordinator and see it end. Raises UmsuiError with code ``busy`` while migrations run."""
        pid = int(self.info()["pid"])
        self._call("POST", "/v1/shutdown" + ("?force=true" if force else ""))
        end = time.monotonic() + STOPPED
        while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
            time.sleep(0.02)

    def events(self, migration_id: str) -> Iterator[Event]:
        """Its events from the first one, then live, up to its outcome."""
        connection = _UnixConnection(self._path, QUIET)
        try:
            connection.request("GET", f"/v1/migrations/{migration_id}/events")
            answer = connection.getresponse()
            if answer.status >= 400:
                raise as_error(answer.status, answer.read())
            for line in answer:
                if line.startswith(b"data: "):
                    event = to_event(json.loads(line[6:]))
                    yield event
                    if event.kind == "outcome":
                        return
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a line that was cut off
            raise gone(error) from error
        finally:
            connection.close()


def to_event(data: Mapping[str, Any]) -> Event:
    """A flat event of the wire or of a recording."""
    rest = {key: value for key, value in data.items() if key not in ("t", "migration", "kind")}
    return Event(float(data["t"]), str(data["migration"]), str(data["kind"]), rest)
