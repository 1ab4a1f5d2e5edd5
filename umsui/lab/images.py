"""The sample services' images, made of the root file system's own binaries; one store, read-only on every host."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from umsui.lab import artifacts, rootfs
from umsui.lab.commands import ISOLATED, Report, run

FILES = Path(__file__).parent / "files"
MEMHOG = FILES / "memhog.c"
REPOSITORY = "localhost/umsui"
TAG = "1"

# For looking around with podman exec, and for tests that change a root file system.
_TOOLS = ("sh", "cat", "ls", "mkdir", "rm", "ln", "mv", "cp", "touch", "sleep", "stat", "dd", "chmod", "sha256sum")
_SHELL = tuple(f"/usr/bin/{name}" for name in _TOOLS)


@dataclass(frozen=True, slots=True)
class Image:
    """How an image is made."""

    name: str
    binaries: tuple[str, ...]  # of the root file system, with the libraries they need
    instruction: str  # what it runs, in a Containerfile's words
    directories: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    port: int = 0
    finish: Callable[[Path], None] | None = None

    @property
    def reference(self) -> str:
        """What podman calls it."""
        return f"{REPOSITORY}/{self.name}:{TAG}"


def _add_memhog(tree: Path) -> None:
    run(["gcc", "-O2", "-static", "-o", tree / "memhog", MEMHOG])


def _add_nginx(tree: Path) -> None:
    shutil.copy(FILES / "nginx.conf", tree / "etc/nginx/nginx.conf")
    (tree / "srv/index.html").write_text("<!doctype html><title>umsui</title><p>It works.</p>\n")


IMAGES = (
    Image("memhog", (), 'ENTRYPOINT ["/memhog"]', port=8000, finish=_add_memhog),
    Image(
        "redis",
        ("/usr/bin/redis-server", "/usr/bin/redis-cli", *_SHELL),
        'CMD ["redis-server", "--dir", "/data", "--appendonly", "yes", "--save", "", "--protected-mode", "no"]',
        directories=("data",),
        port=6379,
    ),
    Image(
        "nginx",
        ("/usr/sbin/nginx", *_SHELL),
        'CMD ["nginx", "-g", "daemon off;"]',
        directories=("etc/nginx", "srv", "var/log/nginx", "var/lib/nginx"),
        port=80,
        finish=_add_nginx,
    ),
)

_USERS = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/srv:/bin/false\n"
_GROUPS = "root:x:0:\nwww-data:x:33:\n"


def key(rootfs_key: str) -> str:
    """The hash of the recipe of all images."""
    sources = [MEMHOG.read_bytes(), (FILES / "nginx.conf").read_bytes(), Path(__file__).read_bytes()]
    return artifacts.fingerprint(rootfs_key, *sources)


def build(target: Path, system: Path, report: Report) -> None:
    """Make the store in ``target`` with the podman of the root file system ``system``. Raises LabError."""
    work = target.with_name(target.name + ".trees")
    shutil.rmtree(work, ignore_errors=True)
    try:
        for image in IMAGES:
            report(f"image {image.reference}")
            tree = work / image.name
            tree.mkdir(parents=True)
            _fill(image, tree, system)
        _import(work, target, system)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fill(image: Image, tree: Path, system: Path) -> None:
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "root", "run", "proc", "sys", "dev", "var/tmp"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "tmp").mkdir(mode=0o1777)
    (tree / "tmp").chmod(0o1777)
    for name in image.directories:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "etc/passwd").write_text(_USERS)
    (tree / "etc/group").write_text(_GROUPS)
    if image.binaries:
        # ldd names what is missing nowhere else; a static binary makes it fail, and there is none among these.
        said = run(["chroot", system, "ldd", *image.binaries])
        libraries = set(re.findall(r"(/\S+\.so\S*)", said))
        for path in sorted({*image.binaries, *libraries}):
            destination = tree / path.lstrip("/")
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(_resolve(system, path), destination)
    if image.finish is not None:
        image.finish(tree)


def _resolve(system: Path, path: str) -> Path:
    """The file that ``path`` is inside ``system``; its links may be absolute."""
    return system / run(["chroot", system, "readlink", "-f", path]).strip().lstrip("/")


# $1 root file system, $2 trees, $3 store, then the name, port, instruction and reference of each image.
_IMPORT = """
set -e
system=$1 trees=$2 store=$3
shift 3
mount --bind "$system" "$system"
mount -t tmpfs tmpfs "$system/tmp"
mount -t tmpfs tmpfs "$system/run"
mount --rbind /proc "$system/proc"
mount --rbind /sys "$system/sys"
mount --rbind /dev "$system/dev"
mkdir "$system/tmp/trees" "$system/tmp/store"
mount --bind "$trees" "$system/tmp/trees"
mount --bind "$store" "$system/tmp/store"
while [ $# -gt 0 ]; do
    tar -C "$trees/$1" --numeric-owner -cf - . | chroot "$system" env -i HOME=/tmp PATH=/usr/sbin:/usr/bin \\
        PODMAN_IGNORE_CGROUPSV1_WARNING=1 podman --root /tmp/store --runroot /run/store --storage-driver overlay \\
        --cgroup-manager cgroupfs import -q --change "$3" --change "EXPOSE $2" \\
        --change "ENV PATH=/usr/sbin:/usr/bin" - "$4"
    shift 4
done
"""


def _import(trees: Path, store: Path, system: Path) -> None:
    words = [word for i in IMAGES for word in (i.name, str(i.port), i.instruction, i.reference)]
    run([*ISOLATED, "sh", "-c", _IMPORT, "sh", str(system), str(trees), str(store), *words], timeout=300)


def make_artifacts(report: Report) -> artifacts.Artifacts:
    """Everything that is slow, from the cache or made now. Raises LabError."""
    rootfs_key = rootfs.rootfs_key()
    made = artifacts.Artifacts(
        rootfs=artifacts.place("rootfs", rootfs_key),
        skin=artifacts.place("skin", rootfs.skin_key()),
        images=artifacts.place("images", key(rootfs_key)),
    )
    artifacts.build(made.rootfs, lambda target: rootfs.build_rootfs(target, report), report)
    artifacts.build(made.skin, rootfs.build_skin, report)
    artifacts.build(made.images, lambda target: build(target, made.rootfs, report), report)
    return made
