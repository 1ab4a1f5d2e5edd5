"""REST as the clouds speak it: page by page, transient trouble retried, everything else a named error."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from umsui.errors import Throttled, TimedOut, UmsuiError, Unreachable

T = TypeVar("T")

CONNECT, READ = 5.0, 10.0  # seconds for a connection, and of silence on one
LONGEST = 60.0  # seconds that one answer may take in all
ATTEMPTS = 3  # for what a second attempt may mend
PATIENCE = 5.0  # seconds of Retry-After that are waited out on the spot
THROTTLED = 30.0  # seconds to leave a cloud alone that does not say how long
LOGIN = 15.0  # seconds that getting a token may take: some ways of logging in ask a metadata server, or start a program
TRANSIENT = (408, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(Unreachable):
    """A connection that broke, or could not be made."""


class Send(Protocol):
    """One authorized request."""

    def __call__(self, method: str, url: str, body: bytes | None = None) -> Answer:
        """Raises Lost, TimedOut, NotLoggedIn."""


class Rest:
    """Calls with JSON answers. ``explain`` makes an error of what has a status from 400 on. Thread-safe."""

    def __init__(self, send: Send, explain: Callable[[Answer], UmsuiError]) -> None:
        self._send = send
        self._explain = explain

    def call(self, method: str, url: str, body: Any = None) -> tuple[Any, Mapping[str, str]]:
        """The answer's JSON (None: it was empty) and its headers. Raises Unreachable and its kinds, CommandFailed."""
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(ATTEMPTS):
            try:
                answer = self._send(method, url, data)
                if answer.status < 400:
                    return _parsed(answer, url), answer.headers
                wait = self._pause(answer, attempt)
            except Lost:
                if attempt == ATTEMPTS - 1:
                    raise
                wait = _jitter(attempt)
            time.sleep(wait)
        raise AssertionError  # the last attempt answers or raises

    def _pause(self, answer: Answer, attempt: int) -> float:
        """Seconds until the next attempt. Raises when there is none."""
        if answer.status not in TRANSIENT:
            raise self._explain(answer)
        asked = retry_after(answer)
        if asked is not None and asked > PATIENCE:
            raise throttled("it is busy", answer)
        if attempt == ATTEMPTS - 1:
            raise self._explain(answer)
        return _jitter(attempt) if asked is None else asked

    def pages(self, url: str, following: Callable[[Any], str]) -> Iterator[Any]:
        """The documents of a list; ``following`` finds the next one's address in one, "" in the last.

        Raises Unreachable when the list leads to another host: our token goes to nobody else.
        """
        seen = {url}
        while url:
            document, _ = self.call("GET", url)
            yield document
            coming = following(document)
            if coming and origin(coming) != origin(url):
                raise Unreachable(f"the list goes on at another host: {origin(coming)}", "check `endpoint`")
            if coming in seen:
                raise Unreachable("the list leads back to a page that was read already", "try again later")
            seen.add(coming)
            url = coming


def _jitter(attempt: int) -> float:
    return 0.5 * 2.0**attempt * random.uniform(0.7, 1.3)  # noqa: S311 - clients must not come back in step


def _parsed(answer: Answer, url: str) -> Any:
    try:
        return json.loads(answer.body) if answer.body else None
    except ValueError as error:  # half a page behind a proxy that hides the reset
        raise Lost(f"{urlsplit(url).hostname} answered with broken JSON: {error}") from error


def origin(url: str) -> str:
    """Host and port, the standard one spelt out: Azure's pages lead to ``management.azure.com:443``."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"


def retry_after(answer: Answer) -> float | None:
    """Seconds, from a number or a date; None when the cloud does not say."""
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def throttled(words: str, answer: Answer) -> Throttled:
    """What was asked too often, and until when it is left alone."""
    asked = retry_after(answer)
    until = time.time() + min(THROTTLED if asked is None else asked, 3600.0)
    return Throttled(f"throttled: {words}", "it is asked again by itself", until=until)


def bounded(call: Callable[[], T], seconds: float, what: str) -> T:
    """``call()`` in a thread of its own. Raises TimedOut when it takes longer: it is then left to itself."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # whatever it is, it is raised where it was asked for
            failed.append(error)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimedOut(f"{what} took more than {seconds:g} s")
    return found[0]
