"""Kubeconfigs with keys in them: what is read, and what is left on the disk."""

from __future__ import annotations

import base64
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.orchestrators.kubernetes_access import access

pytest.importorskip("kubernetes")


def kubeconfig(folder: Path, name: str) -> Path:
    """One cluster with its certificate, key and authority inside."""

    def packed(what: str) -> str:
        return base64.b64encode(f"{what} of {name}".encode()).decode()

    path = folder / name
    path.write_text(json.dumps({
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {
            "server": f"https://{name}:6443", "certificate-authority-data": packed("authority")}}],
        "users": [{"name": name, "user": {
            "client-certificate-data": packed("certificate"), "client-key-data": packed("key")}}],
    }))  # fmt: skip
    return path


def test_keys_of_many_clusters_are_read_at_once_and_never_stay_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    names = [f"c{number}" for number in range(12)]
    paths = [kubeconfig(tmp_path, name) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(lambda path: access(path, None), paths))
    for name, each in zip(names, found, strict=True):
        told = each.configuration
        assert Path(told.key_file).read_text() == f"key of {name}"
        assert Path(told.cert_file).read_text() == f"certificate of {name}"
        assert Path(told.ssl_ca_cert).read_text() == f"authority of {name}"
    assert list(disk.iterdir()) == []
