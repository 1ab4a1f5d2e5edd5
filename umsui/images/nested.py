"""The nested image in a registry: the outer image, and a service's files at ``/umsui/rootfs``.

No container engine takes part. Layers are lists of what differs from those below, so that a service's own layers become
those of the nested image by another path in front of each name.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from umsui.agent import nested
from umsui.errors import BadInput, CommandFailed
from umsui.inside.registry import LAYERS, MANIFESTS, Reference, answer_to, call, described, digest_of, push, upload

LABEL = "umsui.io/nested"  # the service's image and the outer image that a nested one was made of
SETTINGS = "umsui.io/nested-settings"  # what the service's image says of itself, as JSON: its command, its user, …
TOLD = ("Entrypoint", "Cmd", "Env", "User", "WorkingDir", "StopSignal", "Healthcheck")
LEFT_OUT = ("dev/", ".dockerenv")  # devices are the runtime's to make
LEVEL = 1  # of compression: most of it is compressed once and read once

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Nested:
    """A nested image, and what its service's own image says."""

    image: str
    config: Json


def build(base: Reference, outer: Path, made: Reference | None = None) -> Nested:
    """Put it together in the registry where ``base`` is, unless it is there; ``outer`` is the outer image's archive.

    A ``base`` that was made so is taken as it is. Raises BadInput for another nested image, CommandFailed.
    """
    manifest, settings = described(base)
    config: Json = settings.get("config") or {}
    told = settings_of(config)
    if told is not None:
        return Nested(str(base), told)
    if any(each.startswith(f"{nested.VARIABLE}=") for each in config.get("Env") or ()) or LABEL in _labels(config):
        raise BadInput(f"{base} was nested on a host", "name the service's own image", code="built-already")
    with tarfile.open(outer) as archive:
        head = json.loads(_member(archive, "manifest.json").read())[0]
        own = json.loads(_member(archive, head["Config"]).read())
        made_of = f"{manifest['config']['digest']}.{head['Config'].removesuffix('.json')}"
        # Another outer image makes another name: a node that has an image of a name does not look for a newer one.
        mark = hashlib.sha256(made_of.encode()).hexdigest()[:8]
        made = made or replace(base, tag=f"{base.tag}-nested-{mark}")
        if _is_there(made, made_of):
            return Nested(str(made), config)
        layers = [_add(made, _copied(_member(archive, name))) for name in head["Layers"]]
    for each in manifest["layers"]:
        with answer_to("GET", base.url("blobs", each["digest"]), None, {}) as found:
            layers.append(_add(made, _moved(found)))
    _publish(made, {**settings, "config": _config(own["config"], config, made_of)}, layers)
    return Nested(str(made), config)


def settings_of(config: Json) -> Json | None:
    """What the service's own image said, of a nested image's settings; None of any other image's."""
    told = _labels(config).get(SETTINGS)
    found: Json | None = json.loads(told) if told else None
    return found


def _labels(config: Json) -> Json:
    return config.get("Labels") or {}


def _config(own: Json, service: Json, made_of: str) -> Json:
    """What starts it is the outer image's; what the orchestrator does with it is the service's."""
    kept = {key: service[key] for key in ("ExposedPorts", "StopSignal") if service.get(key)}
    told = json.dumps({key: service[key] for key in TOLD if service.get(key)}, sort_keys=True)
    return {**own, **kept, "Labels": {**_labels(service), LABEL: made_of, SETTINGS: told}}


def _is_there(made: Reference, made_of: str) -> bool:
    try:
        settings = described(made)[1]
    except CommandFailed:
        return False  # what is in the way of more than reading is told when it is written
    return _labels(settings.get("config") or {}).get(LABEL) == made_of


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise CommandFailed(f"the outer image's archive has no {name}", "remove it: it is made again", code="image")
    return found


# -- layers ---------------------------------------------------------------------------------------------------------

Write = Callable[[IO[bytes]], None]
"""Writes a layer, unpacked, into a stream."""


def _copied(layer: IO[bytes]) -> Write:
    def write(into: IO[bytes]) -> None:
        while part := layer.read(1 << 20):
            into.write(part)

    return write


def _moved(layer: IO[bytes]) -> Write:
    def write(into: IO[bytes]) -> None:
        try:
            with (
                tarfile.open(fileobj=layer, mode="r|*") as source,
                tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT) as target,
            ):
                for member in source:
                    if not _clean(member.name).startswith(LEFT_OUT):
                        target.addfile(below(member), source.extractfile(member) if member.isreg() else None)
        except tarfile.TarError as error:
            fix = "only layers that are plain, or packed with gzip, bzip2 or xz, can be read"
            raise CommandFailed(f"a layer of the service's image cannot be read: {error}", fix, code="image") from error

    return write


def below(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same file below ``/umsui/rootfs``; also one that says that another is gone (``.wh.NAME``)."""
    top = str(nested.ROOT).lstrip("/")
    name = _clean(member.name)
    moved = member.replace(name=f"{top}/{name}" if name else top)
    if member.islnk():  # to another file of the same layer, or of one below
        moved.linkname = f"{top}/{_clean(member.linkname)}"
    moved.pax_headers = {key: text for key, text in member.pax_headers.items() if key not in ("path", "linkpath")}
    return moved


def _clean(name: str) -> str:
    return name.removeprefix(".").lstrip("/") if name.startswith("./") or name == "." else name.lstrip("/")


class _Hashed:
    """A stream that is hashed on its way."""

    def __init__(self, into: IO[bytes]) -> None:
        self._into, self._hash = into, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._into.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


@contextmanager
def _packed(write: Write) -> Iterator[tuple[IO[bytes], str, str]]:
    """A layer in a file, packed; its digests, packed and unpacked. Nothing of its size is in memory."""
    with tempfile.TemporaryFile() as file:
        outside = _Hashed(file)
        with gzip.GzipFile(fileobj=outside, mode="wb", compresslevel=LEVEL, mtime=0) as packed:  # type: ignore[call-overload]
            inside = _Hashed(packed)
            write(inside)  # type: ignore[arg-type]
        yield file, outside.digest, inside.digest


def _add(made: Reference, write: Write) -> tuple[Json, str]:
    """Put a layer into the registry; how a manifest and how the settings name it."""
    with _packed(write) as (file, packed, unpacked):
        size = file.tell()
        file.seek(0)
        upload(made, file, packed, size)
    return {"mediaType": LAYERS["oci"], "digest": packed, "size": size}, unpacked


def _publish(made: Reference, settings: Json, layers: list[tuple[Json, str]]) -> None:
    settings["rootfs"] = {"type": "layers", "diff_ids": [unpacked for _, unpacked in layers]}
    settings["history"] = [{"created_by": "umsui image build"} for _ in layers]
    words = json.dumps(settings).encode()
    push(made, words)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFESTS[0],
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(words),
            "size": len(words),
        },
        "layers": [described for described, _ in layers],
    }
    call("PUT", made.url("manifests", made.tag), json.dumps(manifest).encode(), MANIFESTS[0])
