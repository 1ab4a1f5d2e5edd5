"""Container images on the wire: an archive of ``podman save`` or ``docker save`` without the layers that are there.

A layer is known by the digest of its unpacked tar (``diff_id``). In such an archive, ``manifest.json`` names the
config and, in the order of the config's ``diff_ids``, a file for each layer; it may come last. What was left out, and
its size, is told by a last member of our own.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import IO, Any, Callable, Dict, List, Optional, Set

from umsui.agent.host import Trouble

SKIPPED = "umsui-skipped.json"
SMALL = 4 << 20  # bytes; larger members are layers, not JSON
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CHUNK = 1 << 20


class Counted:
    """A stream to write to that tells ``moved(count)`` of each piece."""

    def __init__(self, stream: IO[bytes], moved: Callable[[int], None]) -> None:
        self.stream = stream
        self.moved = moved

    def write(self, data: bytes) -> int:
        """All of it."""
        self.stream.write(data)
        self.moved(len(data))
        return len(data)


def thin(archive: IO[bytes], target: IO[bytes], there: Set[str], moved: Callable[[int], None]) -> None:
    """Pass an archive on, without the layers in ``there`` (digests without ``sha256:``)."""
    skipped: Dict[str, int] = {}
    counted: Any = Counted(target, moved)
    with tarfile.open(fileobj=archive, mode="r|") as source, tarfile.open(fileobj=counted, mode="w|") as sink:
        for member in source:
            if member.isfile() and layer_of(member.name) in there:
                skipped[member.name] = member.size
            else:
                sink.addfile(member, source.extractfile(member) if member.isfile() else None)
        note = json.dumps(skipped).encode()
        last = tarfile.TarInfo(SKIPPED)
        last.size = len(note)
        sink.addfile(last, io.BytesIO(note))
    while archive.read(CHUNK):
        pass  # the padding after the end: who writes it must not find the pipe broken


def layer_of(name: str) -> str:
    """The digest in the name of an archive's member (``HEX.tar``, ``blobs/sha256/HEX``); "" when there is none."""
    stem = name.rsplit("/", 1)[-1].split(".", 1)[0]
    return stem if len(stem) == 64 and not name.endswith(".json") else ""


def unpack(stream: IO[bytes], folder: Path) -> List[str]:
    """Take a thin archive and lay it out as a ``dir:`` of containers/image; its tags. Raises Trouble.

    Whoever reads that folder asks for a layer's file only when it has no such layer.
    """
    small: Dict[str, bytes] = {}
    files: Dict[str, Path] = {}
    links: Dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, member in enumerate(archive):
            if member.issym() or member.islnk():
                links[member.name] = member.linkname
                continue
            source = archive.extractfile(member) if member.isfile() else None
            if source is None:
                continue
            if member.size < SMALL:
                small[member.name] = source.read()
            else:
                files[member.name] = folder / f"member-{number}"
                _spool(source, files[member.name])
    try:
        described = json.loads(small["manifest.json"])[0]
        skipped: Dict[str, int] = json.loads(small[SKIPPED])
        config = small[described["Config"]]
        digests: List[str] = json.loads(config)["rootfs"]["diff_ids"]
    except (KeyError, ValueError, IndexError) as error:
        raise Trouble("image-not-copied", f"the image's archive is not whole: {error!r}") from error
    layers = []
    for digest, name in zip(digests, described["Layers"]):  # noqa: B905 - strict= needs Python 3.10
        named = name if name in files or name in small or name in skipped else _followed(name, links)
        size = _place(folder, digest, files.get(named), small.get(named), skipped.get(named))
        layers.append({"mediaType": LAYER, "digest": digest, "size": size})
    identity = hashlib.sha256(config).hexdigest()
    (folder / identity).write_bytes(config)
    head = {"mediaType": CONFIG, "digest": f"sha256:{identity}", "size": len(config)}
    whole = {"schemaVersion": 2, "mediaType": MANIFEST, "config": head, "layers": layers}
    (folder / "manifest.json").write_text(json.dumps(whole))
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    return list(described.get("RepoTags") or [])


def _followed(name: str, links: Dict[str, str]) -> str:
    """Where a link of an old archive's layer leads (``ID/layer.tar -> ../HEX.tar``)."""
    return links.get(name, name).replace("../", "")


def _spool(source: IO[bytes], path: Path) -> None:
    with path.open("wb") as target:
        while chunk := source.read(CHUNK):
            target.write(chunk)


def _place(folder: Path, digest: str, file: Optional[Path], data: Optional[bytes], skipped: Optional[int]) -> int:
    """Put a layer where its digest says; its size."""
    target = folder / digest.rpartition(":")[2]
    if file is not None:
        file.rename(target)
        return target.stat().st_size
    if data is not None:
        target.write_bytes(data)
        return len(data)
    if skipped is None:
        raise Trouble("image-not-copied", f"the image's archive lacks the layer {digest}")
    return skipped


def sized(layers: List[str], sizes: List[int], empty: Optional[List[bool]] = None) -> Dict[str, int]:
    """Which layer has which size; {} when it cannot be told. ``sizes`` and ``empty``: of each step, oldest first."""
    steps = [size for size, none in zip(sizes, empty) if not none] if empty else [size for size in sizes if size]  # noqa: B905
    return dict(zip(layers, steps)) if len(steps) == len(layers) else {}  # noqa: B905


def rootfs_layers(inspected: Any) -> List[str]:
    """The digests of the layers of an inspected image, without ``sha256:``."""
    return [str(each).rpartition(":")[2] for each in (inspected.get("RootFS") or {}).get("Layers") or []]
