"""The outer image: what a service is nested in when neither its image nor the platform may be changed.

A runtime (crun), CRIU, the agent, and what moves files. About 40 MB, made of the lab's Debian root file system.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from umsui import locations
from umsui.core.shipping import COMPILER, package
from umsui.images import archive, toolbox
from umsui.lab import artifacts, rootfs
from umsui.lab.commands import LabError, Report, require_root_on_linux

REPOSITORY = "localhost/umsui/outer"
AGENT = "umsui/agent.pyz"
PROGRAMS = ("/usr/bin/crun", *toolbox.MIGRATION, *toolbox.SERVER, *toolbox.SHELL)
CONFIG = {
    "Entrypoint": ["/usr/bin/python3", "-IS", f"/{AGENT}", "outer"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
}

# What an orchestrator's health check and an operator's `exec` call, to reach into the nested container.
# Until a service has arrived that is restored here, it is well: nobody may give up what is reserved for it.
_INSIDE = """\
#!/bin/sh
[ ! -e /umsui/passive ] || { echo 'the service has not arrived yet' >&2; exit 0; }
exec crun --cgroup-manager=cgroupfs exec service "$@"
"""


def _key() -> str:
    here = Path(__file__).parent
    sources = [path.read_bytes() for path in sorted(here.glob("*.py"))]
    return artifacts.fingerprint(rootfs.rootfs_key(), package().digest, COMPILER, *sources)


def reference() -> str:
    """What engines call it once it is loaded."""
    return f"{REPOSITORY}:{_key()}"


def build(report: Report, tag: str = "") -> Path:
    """The archive of the outer image, from the cache or made now; ``tag`` is one more name for the image.

    Raises LabError: no root, no Linux, no mirror, a Python there that cannot compile the agent.
    """
    folder = locations.cache_dir() / "images"
    target = folder / f"outer-{_key()}.tar"
    if target.is_file() and not tag:
        return target
    require_root_on_linux()
    system = artifacts.place("rootfs", rootfs.rootfs_key())
    artifacts.build(system, lambda place: rootfs.build_rootfs(place, report), report)
    locations.ensure(folder)
    report("outer image: runtime, CRIU and agent out of the root file system")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        tree, layer = Path(work) / "tree", Path(work) / "layer.tar"
        tree.mkdir()
        _fill(tree, system)
        digest = archive.layer(tree, layer)
        tags = [reference(), *([tag] if tag else [])]
        archive.write(target, tags, [(layer, digest)], CONFIG)
    for old in folder.glob("outer-*.tar"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _fill(tree: Path, system: Path) -> None:
    toolbox.skeleton(tree)
    loaded_late = next((system / "usr/lib").glob("*/libcriu.so.2"))  # by crun, so that ldd does not name it
    toolbox.add_programs(tree, system, [*PROGRAMS, f"/{loaded_late.relative_to(system)}"])
    toolbox.add_python(tree, system)
    folder = tree / "umsui"
    for name in ("rootfs", "mounts"):
        (folder / name).mkdir(parents=True)
    compiler = ["chroot", str(system), "python3", "-ISc", COMPILER]  # that Python will run it
    compiled = subprocess.run(compiler, input=package().data, capture_output=True, check=False)
    if compiled.returncode:
        raise LabError(
            "The agent cannot be compiled for the outer image", compiled.stderr.decode(errors="replace")[-400:]
        )
    (tree / AGENT).write_bytes(compiled.stdout)
    (folder / package().name).symlink_to(f"/{AGENT}")
    inside = folder / "inside"
    inside.write_text(_INSIDE)
    inside.chmod(0o755)
