"""Images with umsui inside: the supervisor is compiled here, the image is built where its base is."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from umsui import locations
from umsui.adapters import Completed
from umsui.errors import BadInput, CommandFailed, UmsuiError

SOURCES = ("init.c", "processes.c", "files.c", "pages.c", "sessions.c")
PATIENCE = 300.0  # seconds that an engine may take to build an image

Run = Callable[[Sequence[str], bytes], Completed]
"""Runs a command, with this standard input, where the base image is."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image with umsui inside."""

    image: str
    id: str
    bytes: int


def supervisor() -> bytes:
    """The static program that is a container's first process; compiled once, then from the cache. Raises UmsuiError."""
    folder = files("umsui.inside")
    texts = [(name, folder.joinpath(name).read_bytes()) for name in (*SOURCES, "inside.h")]
    key = hashlib.sha256(b"".join(text for _, text in texts)).hexdigest()[:12]
    target = locations.cache_dir() / "inside" / f"init-{key}"
    if not target.is_file():
        _compile(Path(str(folder)), target)
    return target.read_bytes()


def _compile(folder: Path, target: Path) -> None:
    fresh = locations.ensure(target.parent) / f".{target.name}.{id(target)}"
    argv = ["gcc", "-O2", "-static", "-s", "-o", str(fresh), *(str(folder / name) for name in SOURCES)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=120, check=False)
    except FileNotFoundError as error:
        raise UmsuiError(
            "there is no C compiler here", "apt install gcc libc6-dev (only to build images)", code="no-gcc"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-600:]
        raise UmsuiError(f"umsui's part of the image does not compile: {said}", "apt install gcc libc6-dev")
    fresh.replace(target)


def local(argv: Sequence[str], stdin: bytes) -> Completed:
    """A ``Run`` on this machine. Raises CommandFailed when there is no such program."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no {argv[0]} on this machine", f"apt install {argv[0]}") from error
    return Completed(done.returncode, done.stdout, done.stderr)


def default_tag(base: str) -> str:
    """What the new image is called unless it is said: ``nginx:1.27`` becomes ``nginx:1.27-umsui``."""
    name, _, digest = base.partition("@")
    if digest:
        raise BadInput("an image named by its digest gives the new one no name", "name it with --tag")
    return f"{name}-umsui" if ":" in name.rpartition("/")[2] else f"{name}:umsui"


def build(run: Run, engine: str, base: str, tag: str) -> Built:
    """Add umsui and CRIU to ``base``; its own contents, user, command and environment stay. Raises CommandFailed."""
    script = files("umsui.inside").joinpath("on_node.py").read_text()
    done = run(["python3", "-ISc", script, engine, base, tag], supervisor())
    try:
        found = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode(errors="replace").strip()[-600:]
        raise CommandFailed(f"the image was not built: {said or f'status {done.status}'}") from None
    if "error" in found:
        error = found["error"]
        raise CommandFailed(error["message"], error["fix"], code=error["code"])
    return Built(found["image"], found["id"], int(found["bytes"]))
