"""What of a pod's container is read where containerd keeps it, and the image that its restore is made from."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from umsui.agent import checkpoint_image, stand_in
from umsui.agent.containerd import Containerd, data
from umsui.agent.host import Folder

POD = "/var/lib/kubelet/pods/2dd6a5dd"
SANDBOX = "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/14ce"


def bind(inside: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": inside, "type": "bind", "source": source, "options": ["rbind", *(options or ("rw",))]}


def test_what_is_the_services_own_of_its_mounts() -> None:
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        bind("/etc/hosts", f"{POD}/etc-hosts"),
        bind("/dev/termination-log", f"{POD}/containers/main/f8da878a"),
        bind("/etc/hostname", f"/var/lib/containerd/{SANDBOX.removeprefix('/run/containerd/')}/hostname"),
        bind("/dev/shm", f"{SANDBOX}/shm"),
        bind("/var/run/secrets/kubernetes.io/serviceaccount", f"{POD}/volumes/kubernetes.io~secret/token", "ro"),
        bind("/settings", f"{POD}/volumes/kubernetes.io~configmap/settings"),
        bind("/scratch", f"{POD}/volumes/kubernetes.io~empty-dir/scratch"),
        bind("/claim", f"{POD}/volumes/kubernetes.io~csi/pvc-1/mount"),
        bind("/part", f"{POD}/volume-subpaths/pvc-2/main/0"),
        bind("/read", f"{POD}/volumes/kubernetes.io~csi/pvc-3/mount", "ro"),
        bind("/local", "/tmp/hostpath_pv/95923ea1"),
    ]
    assert sorted(data({"mounts": mounts})) == ["/claim", "/dev/shm", "/local", "/part", "/scratch"]


def test_an_image_is_known_by_the_name_that_it_is_stored_under(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = "docker.io/library/nginx:1.27\nlocalhost/umsui/memhog:1\nquay.io/a/b:latest\n"
    monkeypatch.setattr(Containerd, "ask", lambda *_, **__: stored)
    found = {name: Containerd()._stored(name, "else") for name in ("nginx:1.27", "quay.io/a/b", "other")}
    assert found == {"nginx:1.27": "docker.io/library/nginx:1.27", "quay.io/a/b": "quay.io/a/b:latest", "other": "else"}


def members(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]


def test_the_image_says_who_is_restored_and_holds_no_memory(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []

    def import_(*_: Any, input: bytes, **__: Any) -> Any:
        taken.append(input)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(checkpoint_image.subprocess, "run", import_)
    about = {"name": "main", "labels": {"app": "x"}, "annotations": {"io.kubernetes.container.hash": "1"}}
    identity = checkpoint_image.load(folder, about, "memhog:1", "localhost:4/umsui/base@sha256:0", '["pipe:[1]"]')
    files = members(taken[0])
    (whole,) = json.loads(files["index.json"])["manifests"]
    assert whole["annotations"]["io.containerd.image.name"] == f"umsui.local/checkpoint:{folder.migration}"
    manifest = json.loads(files["blobs/sha256/" + whole["digest"].partition(":")[2]])
    assert manifest["annotations"] == {"org.criu.checkpoint.container.name": "main"}
    assert manifest["config"]["digest"] == identity
    (layer,) = manifest["layers"]
    inside = members(files["blobs/sha256/" + layer["digest"].partition(":")[2]])
    assert json.loads(inside["config.dump"])["rootfsImageRef"] == "localhost:4/umsui/base@sha256:0"
    assert json.loads(inside["status.dump"])["annotations"] == about["annotations"]
    assert inside["checkpoint/descriptors.json"] == b'["pipe:[1]"]'
    assert inside[f"checkpoint/{stand_in.KEY}"] == folder.migration.encode()
    assert sum(map(len, inside.values())) < 2000
