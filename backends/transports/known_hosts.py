"""Host keys, checked strictly against known_hosts files: an unknown or a changed one is refused with the fix."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from umsui.errors import HostKeyChanged


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file that is about the host in question."""

    path: Path
    line: int
    kind: str  # "ssh-ed25519"
    key: str  # base64
    revoked: bool


def entries(name: str, paths: Sequence[Path]) -> list[Entry]:
    """The lines about ``name`` (``host`` or ``[host]:port``) in these files; files that are not there are empty."""
    return [entry for path in paths for entry in _entries(name.lower(), path)]


def fingerprint(key: str) -> str:
    """The SHA-256 fingerprint of a base64 key, as OpenSSH prints it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def check(name: str, kind: str, key: str, paths: Sequence[Path]) -> None:
    """Raise HostKeyChanged unless ``key`` is the one on record for ``name``."""
    found = entries(name, paths)
    if any(entry.revoked and entry.key == key for entry in found):
        raise HostKeyChanged(
            f"the host key of {name} ({fingerprint(key)}) has been revoked", "ask the host's owner for its new key"
        )
    found = [entry for entry in found if not entry.revoked]
    if any(entry.key == key and entry.kind == kind for entry in found):
        return
    file = paths[0] if paths else Path("~/.ssh/known_hosts")
    if not found:
        raise HostKeyChanged(
            f"the host key of {name} is not known: it offers {kind} {fingerprint(key)}",
            f"compare this fingerprint with what its owner tells you, then: {_scan(name)} >> {shlex.quote(str(file))}",
        )
    known = next((entry for entry in found if entry.kind == kind), found[0])
    raise HostKeyChanged(
        f"the host key of {name} is not the one on record: {known.path}:{known.line} has {known.kind} "
        f"{fingerprint(known.key)}, the host offers {kind} {fingerprint(key)}; someone may be in between",
        f"if its owner confirms the new key: ssh-keygen -f {shlex.quote(str(known.path))} -R {shlex.quote(name)} "
        f"&& {_scan(name)} >> {shlex.quote(str(known.path))}",
    )


def _scan(name: str) -> str:
    host, _, port = name.lstrip("[").partition("]:")
    return f"ssh-keyscan -p {port} {shlex.quote(host)}" if port else f"ssh-keyscan {shlex.quote(host)}"


def _entries(name: str, path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        # A certificate authority's line vouches for certificates, which we do not ask for.
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked"):
            continue
        if _matches(name, words[0]) and _is_base64(words[2]):
            yield Entry(path, number, words[1], words[2], marker == "@revoked")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _matches(name: str, patterns: str) -> bool:
    if patterns.startswith("|1|"):
        try:
            _, _, salt, digest = patterns.split("|")
            made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
            return hmac.compare_digest(made, base64.b64decode(digest))
        except ValueError:
            return False
    hit = False
    for pattern in patterns.lower().split(","):
        # Only * and ? are special in known_hosts; the brackets of [host]:port are not.
        if fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit
