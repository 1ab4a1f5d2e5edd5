"""The image that a pod is restored from: what containerd has to know of a checkpoint, without the checkpoint itself.

containerd restores a container whose image has one layer, an archive like those of the kubelet's checkpoints, and an
annotation. Ours is there before there is a checkpoint: who is restored, and of which image it was made. The memory
comes later and another way (``umsui.agent.relay`` opens the migration's own folder for CRIU).

containerd asks a registry for the image that the checkpoint was made of, even if it has it, and knows no password
there. It is asked for by an address of this machine, where ``Registry`` says that it is as containerd has it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile
import threading
from typing import Any, Dict, Tuple

from umsui.agent import stand_in
from umsui.agent.containerd import Containerd
from umsui.agent.host import Folder, Trouble, environment

ANNOTATION = "org.criu.checkpoint.container.name"
NAME = "umsui.local/checkpoint"
BASE = "umsui/base"  # the name of the original image at our own address
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def name(migration: str) -> str:
    """What the image is called that a migration's pod is made from."""
    return f"{NAME}:{migration}"


class Registry:
    """Says, on an address of this machine only, that an image is as containerd has it. A context manager."""

    def __init__(self, digest: str) -> None:
        """``digest`` of the image's manifest or index."""
        import http.server  # noqa: PLC0415 - few agents need it, and some have none

        self.digest = digest
        manifest = Containerd().ask("content", "get", digest).encode()
        kind = str(json.loads(manifest).get("mediaType") or MANIFEST)

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers for this one image."""

            def do_HEAD(self) -> None:
                """Whether it is there."""
                there = self.path in ("/v2/", f"/v2/{BASE}/manifests/{digest}")
                self.send_response(200 if there else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(manifest)))
                self.send_header("Docker-Content-Digest", digest)
                self.end_headers()

            def do_GET(self) -> None:
                """The manifest."""
                self.do_HEAD()
                self.wfile.write(manifest)

            def log_message(self, form: str, *words: Any) -> None:
                """Say nothing: the agent's outputs are its conversation."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def reference(self) -> str:
        """By what name containerd asks for the image here."""
        return f"localhost:{self.server.server_port}/{BASE}@{self.digest}"

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self.server.serve_forever, name="registry", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()


def digest(image: str) -> str:
    """The digest of an image's manifest or index, as containerd has it. Raises Trouble."""
    listed = Containerd().ask("images", "ls", f"name=={image}")
    found = re.search(r"\s(sha256:[0-9a-f]{64})\s", listed)
    if found is None:
        raise Trouble("no-image", f"{image} is not there", "pull it there, or leave it to the move")
    return found[1]


def load(folder: Folder, about: Dict[str, Any], base: str, reference: str, descriptors: str) -> str:
    """Put the image into containerd's store; the name that it has beside its own, by its contents.

    ``about`` is what the source's CRI has noted of the container, ``base`` its image, ``reference`` a name by which
    containerd can ask for that, ``descriptors`` what its first three descriptors were. Raises Trouble.
    """
    layer = _layer(folder, about, base, reference, descriptors)
    archive, identity = _archive(layer, name(folder.migration), str(about["name"]))
    done = subprocess.run(Containerd().load(), input=archive, capture_output=True, env=environment(), check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-400:]
        raise Trouble("no-checkpoint-image", f"containerd does not take the checkpoint's image: {words}")
    return identity


def _layer(folder: Folder, about: Dict[str, Any], base: str, reference: str, descriptors: str) -> bytes:
    """An archive as the kubelet's checkpoint makes them; names of its files and fields are those of checkpointctl."""
    image = {"image": base, "user_specified_image": base}
    status = {"metadata": {"name": about["name"]}, "image": image}
    status.update({"labels": about["labels"], "annotations": about["annotations"]})
    config = {"id": "", "name": about["name"], "rootfsImage": base, "rootfsImageName": base}
    config.update({"rootfsImageRef": reference, "runtime": "io.containerd.runc.v2", "restored": False})
    config.update({"createdTime": NEVER, "checkpointedTime": NEVER, "restoredTime": NEVER})
    return _tar(
        {
            "spec.dump": b"{}",
            "config.dump": json.dumps(config).encode(),
            "status.dump": json.dumps(status).encode(),
            "checkpoint/descriptors.json": descriptors.encode(),
            f"checkpoint/{stand_in.KEY}": folder.migration.encode(),
        }
    )


def _archive(layer: bytes, tag: str, container: str) -> Tuple[bytes, str]:
    """An image of one layer, as ``ctr images import`` reads it; the digest of its configuration."""
    blobs: Dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> Dict[str, Any]:
        found = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{found}"] = data
        return {"mediaType": kind, "digest": f"sha256:{found}", "size": len(data)}

    machine = platform.machine()
    only = blob(layer, "application/vnd.oci.image.layer.v1.tar")
    config = {"architecture": MACHINES.get(machine, machine), "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": [only["digest"]]}
    about = blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": about, "layers": [only]}
    manifest["annotations"] = {ANNOTATION: container}
    whole = blob(json.dumps(manifest).encode(), MANIFEST)
    whole["annotations"] = {"io.containerd.image.name": tag}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [whole]}
    layout = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    return _tar({**layout, **blobs}), str(about["digest"])


def _tar(files: Dict[str, bytes]) -> bytes:
    """These files, and the folders that they are in."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        folders = {part for path in files for part in _above(path)}
        for folder in sorted(folders):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(member)
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _above(path: str) -> "set[str]":
    found: "set[str]" = set()
    while path := os.path.dirname(path):
        found.add(path)
    return found


def become(image: str, base: str) -> None:
    """The image's name stands for the original one from now on: what is started of it starts as usual."""
    Containerd().ask("images", "tag", "--force", base, image)
