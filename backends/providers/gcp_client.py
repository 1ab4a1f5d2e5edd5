"""Google Cloud's REST API: who we are, one request, and what its errors mean.

google-auth alone: importing google-cloud-compute takes 1.3 s and 130 MB, and it neither keeps to its timeouts nor knows
a quota error (docs/decisions/cloud-apis.md).
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

from backends.providers.extras import need
from backends.providers.rest import CONNECT, LOGIN, LONGEST, READ, Answer, Lost, Rest, bounded, throttled
from umsui.config import ClusterConfig
from umsui.errors import CommandFailed, Forbidden, NotLoggedIn, TimedOut, UmsuiError, Unreachable

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
QUOTA = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
LOGIN_COMMAND = "gcloud auth application-default login"


class GoogleClient:
    """Authorized requests for one cluster's config."""

    def __init__(self, config: ClusterConfig) -> None:
        # Read when google-auth is imported: without them, looking for a metadata server takes up to 12 s.
        os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
        os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
        requests = need("requests", "gcp")
        transport = need("google.auth.transport.requests", "gcp")
        self._auth = need("google.auth", "gcp")
        self._auth_errors = need("google.auth.exceptions", "gcp")
        self._errors = requests.exceptions
        self._project = config.project or ""
        # With a project named, google-auth does not ask Google which one workload identity federation belongs to.
        os.environ.setdefault("GOOGLE_CLOUD_PROJECT", self._project)
        verify = str(config.ca_file.expanduser()) if config.ca_file else True
        plain = requests.Session()  # for tokens
        plain.verify = verify
        login = transport.Request(plain)
        self.credentials = bounded(lambda: self._default(login), LOGIN, "looking for Google credentials")
        self._login = login
        self._session = transport.AuthorizedSession(self.credentials, refresh_timeout=READ, auth_request=login)
        self._session.verify = verify
        self.rest = Rest(self._send, self._explain)

    def _default(self, login: Any) -> Any:
        try:
            return self._auth.default(scopes=[SCOPE], request=login)[0]
        except self._auth_errors.GoogleAuthError as error:
            raise not_logged_in(str(error)) from error
        except OSError as error:  # GOOGLE_APPLICATION_CREDENTIALS leads nowhere
            raise not_logged_in(str(error)) from error

    def token(self) -> str:
        """An access token for the next hour or less. Raises NotLoggedIn, Lost."""
        try:
            bounded(lambda: self.credentials.refresh(self._login), LOGIN, "logging in to Google Cloud")
        except self._auth_errors.GoogleAuthError as error:
            raise self._translated(error) from error
        return str(self.credentials.token)

    def _send(self, method: str, url: str, body: bytes | None = None) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        end = time.monotonic() + LONGEST
        try:
            with self._session.request(
                method, url, data=body, headers=headers, stream=True, timeout=(CONNECT, READ), max_allowed_time=LONGEST
            ) as response:
                chunks = []
                for chunk in response.iter_content(1 << 16):
                    chunks.append(chunk)
                    if time.monotonic() > end:
                        raise TimedOut(f"{url.partition('?')[0]} took more than {LONGEST:g} s to answer")
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, found, b"".join(chunks))
        except (self._errors.RequestException, self._auth_errors.GoogleAuthError) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> UmsuiError:
        inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
        if isinstance(error, self._errors.Timeout) or isinstance(inner, self._errors.Timeout):
            return TimedOut(f"Google Cloud does not answer: {_short(str(error))}", "see whether it is reachable")
        lost = isinstance(error, (self._errors.RequestException, self._auth_errors.TransportError))
        if lost or getattr(error, "retryable", False):
            return Lost(f"the connection to Google Cloud broke: {_short(str(error))}", "see whether it is reachable")
        return not_logged_in(str(error))

    def _explain(self, answer: Answer) -> UmsuiError:
        return explain(answer, self._project)


def not_logged_in(words: str) -> NotLoggedIn:
    """No credentials, or some that are not accepted, with the command that mends it."""
    key = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    fix = f"see whether {key} is there and its key still valid, or: {LOGIN_COMMAND}" if key else LOGIN_COMMAND
    return NotLoggedIn(f"not logged in to Google Cloud: {_short(words)}", fix)


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


def said(answer: Answer) -> tuple[set[str], str]:
    """The reasons and the words of an error."""
    try:
        error = json.loads(answer.body)["error"]
        reasons = {str(each.get("reason", "")) for each in (*error.get("errors", ()), *error.get("details", ()))}
        return reasons | {str(error.get("status", ""))}, _short(str(error.get("message", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return set(), _short(answer.body[:300].decode(errors="replace"))


def forbidden(reasons: set[str], words: str, project: str) -> Forbidden:
    """Which permission is missing, and how it is given; or which API is not switched on."""
    if reasons & {"accessNotConfigured", "SERVICE_DISABLED"}:
        fix = f"gcloud services enable compute.googleapis.com container.googleapis.com --project {project}"
        return Forbidden(f"an API is not enabled in {project}: {words}", fix)
    needed = re.search(r"'?(\w+\.\w+\.\w+)'? permission|permission '?(\w+\.\w+\.\w+)", words)
    what = f"the permission {needed[1] or needed[2]} is missing" if needed else words
    role = "roles/compute.viewer"
    fix = f"gcloud projects add-iam-policy-binding {project} --member user:YOU --role {role} (docs/clouds.md)"
    return Forbidden(f"Google Cloud refuses: {what}", fix)


def explain(answer: Answer, project: str) -> UmsuiError:
    """What an answer from status 400 on means."""
    reasons, words = said(answer)
    if answer.status == 401:
        return not_logged_in(words)
    if answer.status == 429 or (answer.status == 403 and reasons & QUOTA):
        return throttled("Google Cloud has been asked too often", answer)
    if answer.status == 403:
        return forbidden(reasons, words, project)
    if answer.status == 404:
        fix = "`gcloud projects list` lists the projects"
        return Unreachable(f"Google Cloud does not know it: {words}", fix, code="not-found")
    if answer.status < 500:
        code = "not-ready" if "resourceNotReady" in reasons else ""
        fix = "try again later" if code or answer.status == 409 else ""
        return CommandFailed(f"Google Cloud refuses: {words}", fix, code=code)
    return Unreachable(f"Google Cloud answers {answer.status}: {words}", "it is asked again by itself")
