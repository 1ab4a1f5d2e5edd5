"""Access tokens that the local clouds gave out, and what became of them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["good", "missing", "unknown", "expired", "revoked", "audience"]


@dataclass
class Token:
    """One access token."""

    cloud: str
    audience: str
    expires: float
    continuous: bool = False  # its owner understands claims challenges (Entra's CAE)
    revoked: bool = False


@dataclass
class Tokens:
    """All of one cloud. ``closed``: no credential is good any more."""

    cloud: str
    lifetime: float = 3600.0
    closed: bool = False
    _all: dict[str, Token] = field(default_factory=dict)

    def issue(self, audience: str, *, continuous: bool = False) -> str:
        """A new one."""
        text = f"{self.cloud}.{secrets.token_urlsafe(48)}"
        self._all[text] = Token(self.cloud, audience, time.time() + self.lifetime, continuous)
        return text

    def find(self, text: str) -> Token | None:
        """What is known about it."""
        return self._all.get(text)

    def judge(self, header: str, audiences: tuple[str, ...]) -> tuple[Verdict, Token | None]:
        """An Authorization header's worth."""
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text:
            return "missing", None
        token = self._all.get(text)
        if token is None:
            return "unknown", None
        if token.revoked:
            return "revoked", token
        if token.expires < time.time():
            return "expired", token
        if audiences and not any(token.audience.rstrip("/") == each.rstrip("/") for each in audiences):
            return "audience", token
        return "good", token

    def revoke(self, *, credentials: bool = False) -> None:
        """All tokens are worthless; with ``credentials``, there are no new ones."""
        for token in self._all.values():
            token.revoked = True
        self.closed = self.closed or credentials
