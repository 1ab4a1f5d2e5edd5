"""The sample services' images as a docker host keeps them: a folder that each docker host of the lab begins with."""

from __future__ import annotations

import json
from pathlib import Path

from umsui.lab import artifacts, images
from umsui.lab.commands import ISOLATED, LabError, Report, run

KEPT = ("image", "overlay2")  # of docker's folder; all else is made anew by each host

# $1 root file system, $2 podman's store, $3 docker's folder, then the references of the images. Docker is only to load
# images here: it has no network, and its processes go with the namespaces.
_LOAD = """
set -e
system=$1 store=$2 target=$3
shift 3
mount --bind "$system" "$system"
mount -t tmpfs tmpfs "$system/tmp"
mount -t tmpfs tmpfs "$system/run"
mount --rbind /proc "$system/proc"
mount --rbind /sys "$system/sys"
mount --rbind /dev "$system/dev"
mkdir "$system/tmp/store" "$system/tmp/docker"
mount --bind "$store" "$system/tmp/store"
mount -o remount,bind,ro "$system/tmp/store"
mount --bind "$target" "$system/tmp/docker"
exec chroot "$system" env -i HOME=/tmp PATH=/usr/sbin:/usr/bin PODMAN_IGNORE_CGROUPSV1_WARNING=1 sh -ec '
    dockerd --data-root /tmp/docker --bridge none --iptables=false >/tmp/dockerd.log 2>&1 &
    n=0
    until docker version >/dev/null 2>&1; do
        n=$((n+1)); [ $n -lt 300 ] || { tail -n 5 /tmp/dockerd.log >&2; exit 1; }
        sleep 0.1
    done
    for image; do
        podman --root /run/graph --runroot /run/store --storage-driver overlay \\
            --storage-opt additionalimagestore=/tmp/store save -q "$image" | docker load -q >/dev/null
    done
    kill $!
    wait $! || :
' sh "$@"
"""


def make(made: artifacts.Artifacts, report: Report) -> Path:
    """The folder, from the cache or made now from podman's store. Raises LabError."""
    target = artifacts.place("docker", artifacts.fingerprint(made.images.name, Path(__file__).read_bytes()))

    def load(folder: Path) -> None:
        report("images: loading them into docker")
        _load(folder, made.rootfs, made.images)

    artifacts.build(target, load, report)
    return target


def _load(target: Path, system: Path, store: Path) -> None:
    references = [image.reference for image in images.IMAGES]
    run([*ISOLATED, "sh", "-c", _LOAD, "sh", str(system), str(store), str(target), *references], timeout=300)
    for path in target.iterdir():
        if path.name not in KEPT:
            run(["rm", "-rf", path])
    listed = json.loads((target / "image/overlay2/repositories.json").read_text())["Repositories"]
    if len(listed) != len(references):
        raise LabError(f"docker loaded only these images: {sorted(listed)}", "umsui lab up tries again")


def copy(store: Path, target: Path) -> None:
    """A host's own copy, in an instant: the layers are never written to, so they are links to the same files."""
    target.mkdir(parents=True)
    run(["cp", "-a", store / "image", target])
    try:
        run(["cp", "-al", store / "overlay2", target])
    except LabError:  # another file system
        run(["rm", "-rf", target / "overlay2"])
        run(["cp", "-a", store / "overlay2", target])
