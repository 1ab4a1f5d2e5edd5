"""What a Kubernetes node of the lab has beyond the root file system, made once: Debian's Kubernetes, compiled here.

Debian has no package with an API server. It has the source of Kubernetes 1.20 (bookworm's), complete with all that it
is made of, and a compiler that is old enough for it; and a containerd that is new enough to restore a checkpoint.
Between the two the kubelet needs a patch (``files/kubelet.patch``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from umsui.lab import artifacts, images, rootfs
from umsui.lab.commands import ISOLATED, LabError, Report, run

FILES = Path(__file__).parent / "files"
NEEDED_SPACE = 5 << 30  # bytes, while it is built
OLDEST_CONTAINERD = (2, 1)  # the first that restores a checkpoint

PAUSE = f"{images.REPOSITORY}/pause:{images.TAG}"

_NO_MIRROR = 10  # build.sh's exit code

# $1 root file system, $2 folder to work in, $3 recipes, $4 layer to fill. The root file system itself stays as it is.
_ENTER = """
set -e
system=$1
mount --bind "$system" "$system"
mount -t tmpfs tmpfs "$system/tmp"
mount --rbind /proc "$system/proc"
mount --rbind /dev "$system/dev"
mkdir "$system/tmp/work" "$system/tmp/recipes" "$system/tmp/layer"
mount --bind "$2" "$system/tmp/work"
mount --bind "$3" "$system/tmp/recipes"
mount --bind "$4" "$system/tmp/layer"
[ ! -s /etc/resolv.conf ] || mount --bind /etc/resolv.conf "$system/etc/resolv.conf"
exec nice -n 10 chroot "$system" sh /tmp/recipes/build.sh /tmp/work /tmp/recipes /tmp/layer
"""

# $1 root file system, $2 podman's store, $3 registry's folder, $4 registry's program, $5 static binary for the pause
# image, $6 its reference, then the references of the images. In a network of its own, so that the port is free.
_PUSH = """
set -e
system=$1 store=$2 target=$3 program=$4 pause=$5 reference=$6
shift 6
mount --bind "$system" "$system"
mount -t tmpfs tmpfs "$system/tmp"
mount -t tmpfs tmpfs "$system/run"
mount --rbind /proc "$system/proc"
mount --rbind /sys "$system/sys"
mount --rbind /dev "$system/dev"
mkdir "$system/tmp/store" "$system/tmp/registry" "$system/tmp/pause"
cp "$program" "$system/tmp/docker-registry"
cp "$pause" "$system/tmp/pause/pause"
mount --bind "$store" "$system/tmp/store"
mount -o remount,bind,ro "$system/tmp/store"
mount --bind "$target" "$system/tmp/registry"
exec chroot "$system" env -i HOME=/tmp PATH=/usr/sbin:/usr/bin PODMAN_IGNORE_CGROUPSV1_WARNING=1 sh -ec '
    ip link set lo up
    cat >/tmp/registry.yml <<EOF
version: 0.1
storage: {filesystem: {rootdirectory: /tmp/registry}}
http: {addr: "127.0.0.1:5000"}
EOF
    /tmp/docker-registry serve /tmp/registry.yml >/tmp/log 2>&1 &
    n=0
    until curl -sf http://127.0.0.1:5000/v2/ >/dev/null; do
        n=$((n+1)); [ $n -lt 300 ] || { tail -n 5 /tmp/log >&2; exit 1; }
        sleep 0.1
    done
    podman="podman --root /run/graph --runroot /run/store --storage-driver overlay --cgroup-manager cgroupfs
        --storage-opt additionalimagestore=/tmp/store"
    tar -C /tmp/pause --numeric-owner -cf - . | $podman import -q --change "ENTRYPOINT [\\"/pause\\"]" - "$1"
    for image; do $podman push -q --tls-verify=false "$image" "127.0.0.1:5000/${image#*/}"; done
    kill $!
    wait $! || :
' sh "$reference" "$@"
"""


def layer(system: Path, report: Report) -> Path:
    """The layer over the root file system ``system``, from the cache or built now (minutes). Raises LabError."""
    target = artifacts.place("kubernetes", key())
    artifacts.build(target, lambda folder: _build(folder, system, report), report)
    return target


def key() -> str:
    """The hash of the recipe; also of the root file system that it is made in."""
    recipe = (path.read_bytes() for path in (FILES / "build.sh", FILES / "kubelet.patch"))
    return artifacts.fingerprint(rootfs.rootfs_key(), *recipe)


def built() -> bool:
    """Whether the layer is in the cache, so that a Kubernetes lab is up in seconds."""
    return artifacts.place("kubernetes", key()).is_dir()


def registry(made: artifacts.Artifacts, system: Path, report: Report) -> Path:
    """A registry's folder with the sample images and the pause image, that each node's begins with. Raises LabError.

    ``system``: the layer, which has the registry's program.
    """
    target = artifacts.place("registry", artifacts.fingerprint(made.images.name, made.skin.name, _PUSH, PAUSE))

    def push(folder: Path) -> None:
        report("images: pushing them to a registry, for Kubernetes nodes")
        references = [image.reference for image in images.IMAGES]
        programs = (system / "usr/bin/docker-registry", made.skin / "usr/sbin/init-lab")
        words: list[str | Path] = [made.rootfs, made.images, folder, *programs, PAUSE, *references]
        run(["unshare", "--net", *ISOLATED, "sh", "-c", _PUSH, "sh", *words], timeout=300)

    artifacts.build(target, push, report)
    return target


def _build(target: Path, system: Path, report: Report) -> None:
    free = shutil.disk_usage(target).free
    if free < NEEDED_SPACE:
        raise LabError(
            f"{target.parent} has {free >> 20} MiB free; building Kubernetes needs {NEEDED_SPACE >> 20}",
            "Free some space, or set UMSUI_CACHE_DIR to where there is more.",
            code="no-space",
        )
    report("kubernetes: building it from Debian's source (three minutes on two idle cores, once)")
    work = target / ".work"
    work.mkdir()
    _compile(target, work, system, report)
    containerd = (work / "containerd").read_text().split()[2].lstrip("v")
    shutil.rmtree(work)
    if tuple(int(part) for part in containerd.split(".")[:2]) < OLDEST_CONTAINERD:
        raise LabError(f"Debian sid gave containerd {containerd}; 2.1 is needed", "Try another UMSUI_DEBIAN_MIRROR.")
    report(f"kubernetes: ready, with containerd {containerd}")


def _compile(target: Path, work: Path, system: Path, report: Report) -> None:
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "MIRROR": rootfs.mirror(), **proxies}  # noqa: S108
    said: list[str] = []
    with subprocess.Popen(
        [*ISOLATED, "sh", "-c", _ENTER, "sh", str(system), str(work), str(FILES), str(target)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
    ) as process:
        for line in process.stdout or ():
            said.append(line.strip())
            if line.startswith("step: "):
                report(f"kubernetes: {line.removeprefix('step: ').strip()}")
    last = "; ".join(said[-5:])
    if process.returncode == _NO_MIRROR:
        raise rootfs.no_mirror(last)
    if process.returncode != 0:
        raise LabError(f"Kubernetes could not be built: {last}", "Look at the message; umsui lab up tries again.")
