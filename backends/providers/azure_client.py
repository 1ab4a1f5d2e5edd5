"""Azure's resource manager: who we are, one request, and what its errors mean."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from backends.providers.extras import need
from backends.providers.rest import CONNECT, LOGIN, LONGEST, READ, Answer, Lost, Rest, bounded, throttled
from umsui.config import ClusterConfig
from umsui.errors import BadInput, CommandFailed, Forbidden, NotLoggedIn, TimedOut, UmsuiError, Unreachable

PUBLIC = "https://management.azure.com"
SHARED = 2.0  # seconds in which whoever waited for a login that failed has its failure
AHEAD = 300.0  # seconds before its end, a token is replaced
NATIONAL = ("https://management.chinacloudapi.cn", "https://management.usgovcloudapi.net")


class Credential:
    """azure-identity's DefaultAzureCredential, which honours AZURE_TOKEN_CREDENTIALS, with an end to its patience."""

    def __init__(self, config: ClusterConfig) -> None:
        options: dict[str, Any] = {
            "process_timeout": 3,
            "connection_timeout": 3,
            "read_timeout": READ,
            "retry_total": 1,
        }
        if config.authority_host:
            options |= {"authority": config.authority_host, "disable_instance_discovery": True}
        if config.ca_file:
            options["connection_verify"] = str(config.ca_file.expanduser())
        # Four lists begin at once: one of them logs in, and the others have its token, or its failure.
        self._lock = threading.Lock()
        self._failure: tuple[float, Exception] | None = None
        self._token: Any = None
        try:
            self._inner = need("azure.identity", "azure").DefaultAzureCredential(**options)
        except ValueError as error:  # AZURE_TOKEN_CREDENTIALS names none of its ways
            raise BadInput(f"azure-identity: {error}", "correct the variable and start the coordinator anew") from error

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """The older protocol. Raises TimedOut, or what azure-identity raises."""
        return self._login(lambda: self._inner.get_token(*scopes, **options))

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """A token; with ``claims``, a new one. Raises TimedOut, or what azure-identity raises."""
        claims = bool(options and options.get("claims"))
        return self._login(lambda: self._inner.get_token_info(*scopes, options=options), anew=claims)

    def _login(self, call: Callable[[], Any], *, anew: bool = True) -> Any:
        with self._lock:
            if not anew and self._token is not None and self._token.expires_on - time.time() > AHEAD:
                return self._token
            if self._failure is not None and time.monotonic() - self._failure[0] < SHARED:
                raise self._failure[1]
            try:
                self._token = bounded(call, LOGIN, "logging in to Azure")
            except Exception as error:
                self._failure = (time.monotonic(), error)
                raise
            return self._token


class AzureClient:
    """The SDK's client for one subscription: its pipeline for our requests, its operations for changes."""

    def __init__(self, config: ClusterConfig) -> None:
        self.base = config.endpoint or PUBLIC
        compute = need("azure.mgmt.compute", "azure")
        self._rest_request = need("azure.core.rest", "azure").HttpRequest
        self.errors = need("azure.core.exceptions", "azure")
        scope = self.base if self.base in NATIONAL else PUBLIC
        options: dict[str, Any] = {"connection_verify": str(config.ca_file.expanduser())} if config.ca_file else {}
        self.sdk = compute.ComputeManagementClient(
            Credential(config),
            config.subscription,
            base_url=self.base,
            credential_scopes=[f"{scope}/.default"],
            enable_cae=True,  # a token that is revoked is replaced at once, where the login is still good
            retry_total=0,  # what may be tried again is decided in one place for all clouds: rest.py
            connection_timeout=CONNECT,
            read_timeout=READ,
            **options,
        )
        self.rest = Rest(self._send, explain)

    def _send(self, method: str, url: str, body: bytes | None = None) -> Answer:
        request = self._rest_request(method, url, content=body, headers={"Content-Type": "application/json"})
        end = time.monotonic() + LONGEST
        try:
            # As a stream: the pipeline would parse the JSON once more.
            with self.sdk.send_request(request, stream=True) as response:
                chunks = []
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if time.monotonic() > end:
                        raise TimedOut(f"{self.base} took more than {LONGEST:g} s to answer")
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, headers, b"".join(chunks))
        except self.errors.AzureError as error:
            raise self.translated(error) from error

    def translated(self, error: Exception) -> UmsuiError:
        """An exception of the SDK's as one of ours."""
        if isinstance(error, self.errors.ClientAuthenticationError):
            return not_logged_in(str(error))
        if isinstance(error, (self.errors.ServiceRequestTimeoutError, self.errors.ServiceResponseTimeoutError)):
            return TimedOut(f"{self.base} does not answer: {_first_line(str(error))}", "see whether it is reachable")
        response = getattr(error, "response", None)
        if response is not None and response.status_code >= 400:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return explain(Answer(response.status_code, headers, response.text().encode()))
        return Lost(f"the connection to {self.base} broke: {_first_line(str(error))}", "see whether it is reachable")


def not_logged_in(words: str) -> NotLoggedIn:
    """No token, or one that is not accepted, with the command that mends it."""
    known = re.search(r"AADSTS\d+[^\n]*", words)
    return NotLoggedIn(f"not logged in to Azure: {known[0] if known else _first_line(words)}", login_command())


def login_command() -> str:
    """What to run, by the way in which the environment says that one logs in."""
    if "AZURE_FEDERATED_TOKEN_FILE" in os.environ:
        return f"see whether {os.environ['AZURE_FEDERATED_TOKEN_FILE']} is renewed (workload identity)"
    if "AZURE_CLIENT_SECRET" in os.environ:
        return "renew the secret: `az ad app credential reset --id $AZURE_CLIENT_ID`, then `umsui coordinator stop`"
    return "az login"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")[:300]


def said(answer: Answer) -> tuple[str, str]:
    """The code and the words of an error of the resource manager's."""
    try:
        error = json.loads(answer.body)["error"]
        return str(error.get("code", "")), _first_line(str(error.get("message", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", _first_line(answer.body[:300].decode(errors="replace"))


def forbidden(words: str) -> Forbidden:
    """Which permission is missing, and how it is given."""
    needed = re.search(r"action '([^']+)' over scope '([^']+)'", words)
    if not needed:
        return Forbidden(f"Azure refuses: {words}", "ask the subscription's owner")
    fix = f"az role assignment create --role Reader --scope {needed[2]} --assignee YOU (docs/clouds.md)"
    return Forbidden(f"Azure refuses: the permission {needed[1]} is missing", fix)


def explain(answer: Answer) -> UmsuiError:
    """What an answer from status 400 on means."""
    code, words = said(answer)
    if answer.status == 401:
        return not_logged_in(words)
    if answer.status == 403:
        return forbidden(words)
    if answer.status == 429:
        return throttled(f"Azure has been asked too often ({code})", answer)
    if answer.status == 404:
        fix = "`az account list` lists the subscriptions" if "Subscription" in code else "correct the config"
        return Unreachable(f"Azure does not know it: {words}", fix, code="not-found")
    if answer.status < 500:
        return CommandFailed(f"Azure refuses: {code}: {words}", "try again later" if answer.status == 409 else "")
    return Unreachable(f"Azure answers {answer.status} {code}: {words}", "it is asked again by itself")
