"""Images as files: what podman and docker load."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from umsui.images import archive


def make(folder: Path) -> tuple[Path, str]:
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/run").write_text("#!/bin/sh\n")
    (tree / "bin/link").symlink_to("run")
    layer = folder / "layer.tar"
    digest = archive.layer(tree, layer)
    target = folder / "image.tar"
    return target, archive.write(target, ["localhost/x:1", "y:2"], [(layer, digest)], {"Entrypoint": ["/bin/run"]})


def test_an_image_is_what_its_digests_say(tmp_path: Path) -> None:
    target, image = make(tmp_path)
    with tarfile.open(target) as packed:
        manifest = json.load(packed.extractfile("manifest.json") or (_ for _ in ()).throw(AssertionError))[0]
        config = packed.extractfile(manifest["Config"])
        layer = packed.extractfile(manifest["Layers"][0])
        assert config is not None
        assert layer is not None
        text, content = config.read(), layer.read()
    assert manifest["RepoTags"] == ["localhost/x:1", "y:2"]
    assert image == hashlib.sha256(text).hexdigest()
    assert json.loads(text)["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    target, image = make(tmp_path)
    layer = tmp_path / "again.tar"
    digest = archive.layer(tmp_path / "tree", layer)
    again = archive.write(tmp_path / "again", ["z:3"], [(layer, digest)], {"Entrypoint": ["/bin/run"]})
    assert (again, layer.read_bytes()) == (image, (tmp_path / "layer.tar").read_bytes())
    assert target.exists()
