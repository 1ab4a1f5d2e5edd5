"""Requests to a Kubernetes API: bounded in time, never repeated by themselves, what goes wrong as umsui's errors.

Answers are plain JSON: the official client makes the connection and knows the credentials; its models would take
milliseconds and kilobytes for each of a cluster's pods.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from backends.orchestrators.kubernetes_access import Access, access
from backends.providers.extras import need
from umsui.errors import BadInput, CommandFailed, Forbidden, NotLoggedIn, Throttled, TimedOut, UmsuiError, Unreachable

Json = dict[str, Any]

CONNECT, READ = 2.0, 5.0  # seconds for a connection, and of silence on one
PAGE = 500  # objects of a list that are asked for at once
QUIET = 3600.0  # seconds of silence after which a log is followed no more
THROTTLED = 5.0  # seconds to leave an API alone that does not say how long

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class NotFound(BadInput):
    """There is no such object."""

    code = "not-found"


class Conflict(CommandFailed):
    """The object is there already, or somebody else has changed it."""

    code = "conflict"


class Gone(CommandFailed):
    """The version to go on from is no longer known: the list has to be read again."""

    code = "gone"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the API. ``kind`` is the type of the body."""

    method: str
    path: str
    query: Mapping[str, Any]
    body: Json | None = None
    kind: str = "application/json"


class Api:
    """One cluster's API. Thread-safe. All raises Unreachable and its kinds, NotFound, Conflict, CommandFailed."""

    def __init__(self, kubeconfig: Path | None = None, context: str | None = None) -> None:
        """Nothing is read before the first request."""
        self._where = (kubeconfig, context)
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._client: Any = None

    # -- credentials ------------------------------------------------------------------------------------------------

    @property
    def access(self) -> Access:
        """What lets us in; fetched when it is first needed, and when it has expired. May run a login program."""
        with self._lock:
            if self._access is None or self._access.stale:
                client = need("kubernetes.client", "kubernetes")
                self._access = access(*self._where)
                self._client = client.ApiClient(self._access.configuration)
            return self._access

    def forget(self) -> None:
        """The credentials are no longer good: the kubeconfig is read again at the next request."""
        with self._lock:
            self._access = None

    @property
    def namespace(self) -> str:
        """The context's default namespace."""
        return self.access.namespace

    @property
    def host(self) -> str:
        """The API server's host."""
        return urlsplit(self.access.configuration.host).hostname or ""

    # -- requests ---------------------------------------------------------------------------------------------------

    def get(self, path: str, timeout: float = READ, **query: Any) -> Json:
        """The object or list at ``path``."""
        return self._json(Request("GET", path, query), timeout)

    def text(self, path: str, timeout: float = READ, **query: Any) -> str:
        """What is no JSON: a log."""
        return self._send(Request("GET", path, query), timeout).decode(errors="replace")

    def create(self, path: str, body: Json, timeout: float = 10.0, **query: Any) -> Json:
        """Create; ``dryRun="All"`` only tries."""
        return self._json(Request("POST", path, query, body), timeout)

    def patch(self, path: str, body: Json, kind: str = MERGE, timeout: float = 10.0, **query: Any) -> Json:
        """Change the named fields; a null removes one."""
        return self._json(Request("PATCH", path, query, body, kind), timeout)

    def delete(self, path: str, body: Json | None = None, timeout: float = 10.0) -> None:
        """Remove; what is not there is no error."""
        try:
            self._json(Request("DELETE", path, {}, body or {}), timeout)
        except NotFound:
            return

    def pages(self, path: str, limit: int = PAGE, **query: Any) -> Iterator[Json]:
        """A list, page by page. Raises Gone when it takes so long that the API forgets where it was."""
        more = ""
        while True:
            page = self.get(path, timeout=30.0, limit=limit, **({"continue": more} if more else {}), **query)
            yield page
            more = str(page["metadata"].get("continue") or "")
            if not more:
                return

    def lines(
        self, path: str, silence: float, opened: Callable[[Any], None] | None = None, **query: Any
    ) -> Iterator[bytes]:
        """A stream, line by line, until its end; ``silence`` seconds without a word end it with TimedOut.

        ``opened`` gets the answer, whose ``shutdown`` ends it from elsewhere.
        """
        answer = self._ask(Request("GET", path, query), silence)
        if opened is not None:
            opened(answer)
        if answer.status >= 400:
            raise explain(answer.status, answer.headers, answer.read(), path, self.access.login)
        rest = b""
        try:
            for part in answer.stream(1 << 16, decode_content=True):
                *whole, rest = (rest + part).split(b"\n")
                yield from whole
        except Exception as error:
            raise self._lost(error) from error
        finally:
            answer.close()
        if rest:
            yield rest

    def may(self, verb: str, resource: str, namespace: str = "", group: str = "") -> bool:
        """Whether we have a right (``create``, ``pods/exec``); ``namespace`` "" means all."""
        kind, _, part = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": kind, "subresource": part, "namespace": namespace}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self.create(path, {**body, "spec": {"resourceAttributes": asked}})
        return bool(answer["status"].get("allowed"))

    def _json(self, request: Request, timeout: float) -> Json:
        answer: Json = json.loads(self._send(request, timeout) or b"{}")
        return answer

    def _send(self, request: Request, timeout: float) -> bytes:
        answer = self._ask(request, timeout)
        try:
            data = bytes(answer.read())
        except Exception as error:
            raise self._lost(error) from error
        finally:
            answer.release_conn()
        if answer.status >= 400:
            raise explain(answer.status, answer.headers, data, request.path, self.access.login)
        return data

    def _ask(self, request: Request, silence: float) -> Any:
        lets_in, client = self.access, self._client
        query = "?" + urlencode(request.query, doseq=True) if request.query else ""
        key = lets_in.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        headers = {"Accept": "application/json, */*", **({"authorization": key} if key else {})}
        if request.body is not None:
            headers["Content-Type"] = request.kind
        url = lets_in.configuration.host + request.path + query
        try:
            answer = client.call_api(request.method, url, headers, request.body, _request_timeout=(CONNECT, silence))
        except Exception as error:
            raise self._lost(error) from error
        return answer.response

    def _lost(self, error: Exception) -> UmsuiError:
        """A broken connection, or one that could not be made, as one of our errors."""
        if isinstance(error, UmsuiError):
            return error
        urllib3 = need("urllib3.exceptions", "kubernetes")
        client = need("kubernetes.client", "kubernetes")
        where = f"the Kubernetes API at {self.host}"
        if isinstance(error, (urllib3.ConnectTimeoutError, urllib3.ReadTimeoutError, TimeoutError)):
            return TimedOut(f"{where} does not answer", "is it up, and is there a way to it?")
        if isinstance(error, (client.ApiException, urllib3.SSLError)) or "CERTIFICATE" in str(error):
            words = str(error).strip().splitlines()[-1]
            return Unreachable(
                f"{where} is not who it should be: {words}", "does the kubeconfig have the cluster's CA?"
            )
        if isinstance(error, (urllib3.HTTPError, OSError)):
            return Unreachable(f"{where} cannot be reached: {_reason(error)}", "is it up, and is there a way to it?")
        raise error


class LogStream:
    """A pod's log that is followed (a ``umsui.adapters.Stream``)."""

    def __init__(self, api: Api, path: str, lines: int) -> None:
        self._answer: Any = None
        self._over = False
        self._lines = api.lines(path, QUIET, self._opened, follow="true", tailLines=lines)

    def _opened(self, answer: Any) -> None:
        self._answer = answer
        if self._over:
            answer.shutdown()

    def read(self, size: int) -> bytes:  # noqa: ARG002 - a line at a time
        """The next line; b"" at its end."""
        line = next(self._lines, None)
        return b"" if line is None else line + b"\n"

    def write(self, data: bytes) -> None:  # noqa: ARG002
        """Raises BadInput: a log takes nothing."""
        raise BadInput("nothing can be written into a log")

    def close(self) -> None:
        """Follow no more."""
        self._over = True
        if self._answer is not None:
            self._answer.shutdown()


def _reason(error: Exception) -> str:
    """The last words of a chain of errors."""
    words = str(getattr(error, "reason", None) or error)
    return words.rpartition(": ")[2].strip() or type(error).__name__


def explain(status: int, headers: Mapping[str, str], data: bytes, path: str, login: str) -> UmsuiError:
    """An answer with an error as ours, in the API's own words."""
    try:
        found = json.loads(data)
        said = str(found.get("message") or found)
    except (ValueError, AttributeError):
        said = data.decode(errors="replace").strip()[:400] or f"status {status}"
    errors: dict[int, Callable[[], UmsuiError]] = {
        401: lambda: NotLoggedIn("the API does not know us: the credentials have expired, or are not good", login),
        403: lambda: Forbidden(said, f"ask for a role that allows it: {_right(said)}"),
        404: lambda: NotFound(said),
        409: lambda: Conflict(said),
        410: lambda: Gone(said),
        429: lambda: Throttled(f"the API is asked too often: {said}", until=time.time() + _wait(headers)),
    }
    if status in errors:
        return errors[status]()
    if status >= 500:
        return Unreachable(f"the API cannot answer now: {said}", "it may be starting; it is asked again")
    return CommandFailed(f"the API refuses {path.rpartition('/')[2]}: {said}", code="refused-by-api")


def _wait(headers: Mapping[str, str]) -> float:
    return float(headers.get("Retry-After") or THROTTLED)


def _right(said: str) -> str:
    """Verb and resource out of ``pods is forbidden: User "x" cannot list resource "pods" in API group "" …``."""
    _, cannot, rest = said.partition(" cannot ")
    if not cannot:
        return said
    words = rest.replace('"', "").split()
    where = f" in namespace {words[-1]}" if "namespace" in words else " in the whole cluster"
    return f"`{words[0]} {words[2]}`{where}" if len(words) > 2 and words[1] == "resource" else rest
