"""Container images as files: the archive that both ``podman load`` and ``docker load`` take.

Its format is Docker's (https://github.com/moby/moby/blob/master/image/spec/spec.md, "combined image JSON and
filesystem changeset"): ``manifest.json``, one configuration, one tar a layer. The image's id is the configuration's
SHA-256, so the same files make the same image everywhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer(tree: Path, target: Path) -> str:
    """Pack ``tree`` as a layer into the file ``target``; its digest (hex). Owners become root, times stay."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.rglob("*")):
            member = archive.gettarinfo(path, str(path.relative_to(tree)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if member.isdir() or member.issym():
                member.mtime = 0  # of what was made while it was built: equal trees give equal layers
            if member.isreg():
                with path.open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(target: Path, tags: Sequence[str], layers: Sequence[tuple[Path, str]], config: Mapping[str, Any]) -> str:
    """Write the archive of an image with these names and answer its id (hex).

    ``layers`` are files and digests (of ``layer``), the lowest first; ``config`` is its own (Entrypoint …).
    """
    document = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for _, digest in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "umsui image build"} for _ in layers],
    }
    packed = json.dumps(document, sort_keys=True).encode()
    image = hashlib.sha256(packed).hexdigest()
    manifest = [
        {"Config": f"{image}.json", "RepoTags": list(tags), "Layers": [f"{digest}/layer.tar" for _, digest in layers]}
    ]
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(unfinished, "w") as archive:
        _add(archive, f"{image}.json", packed)
        for path, digest in layers:
            member = tarfile.TarInfo(f"{digest}/layer.tar")
            member.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(member, file)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    unfinished.replace(target)
    return image


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
