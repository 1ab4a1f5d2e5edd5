"""The root file system of the lab's hosts: Debian trixie with all that a container host has, and CRIU from sid.

CRIU is sid's because kernels from 6.16 on need CRIU 4.2, and trixie has 4.1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from umsui.lab import artifacts
from umsui.lab.commands import ISOLATED, LabError, Report, run

SUITE = "trixie"
PACKAGES = (
    *("podman", "crun", "runc", "conmon", "netavark", "docker.io", "docker-cli", "criu", "libcriu2"),
    *("openssh-server", "openssh-client", "iproute2", "nftables", "iptables", "procps", "rsync", "zstd", "curl"),
    *("python3-minimal", "python3", "strace", "ca-certificates"),
    *("redis-server", "nginx-light"),
)
NEWER_SUITE = "sid"
NEWER_PACKAGES = ("criu", "libcriu2", "libcompel1", "libnet9", "libnl-3-200")
OLDEST_CRIU = (4, 2)
NEEDED_SPACE = 2 << 30  # bytes, while it is built
REVISION = "1"  # raise it when the recipe below changes in another way

SKIN = Path(__file__).parent / "skin"
INIT = Path(__file__).parent / "files" / "init.c"

_APT = """Dir::Etc "/tmp/newer/etc";
Dir::State::lists "/tmp/newer/lists";
Dir::Cache "/tmp/newer/cache";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
"""


def mirror() -> str:
    """Where Debian's packages are taken from."""
    return os.environ.get("UMSUI_DEBIAN_MIRROR") or "http://deb.debian.org/debian"


def rootfs_key() -> str:
    """The hash of the recipe of the root file system."""
    return artifacts.fingerprint(SUITE, *PACKAGES, NEWER_SUITE, *NEWER_PACKAGES, REVISION)


def skin_key() -> str:
    """The hash of the recipe of the skin."""
    files = sorted(path for path in SKIN.rglob("*") if path.is_file())
    return artifacts.fingerprint(INIT.read_bytes(), *(p.name.encode() + p.read_bytes() for p in files))


def build_skin(target: Path) -> None:
    """The layer over the root file system: our settings and the first process."""
    shutil.copytree(SKIN, target, dirs_exist_ok=True)
    # Not /sbin: that is a link in the root file system, which a folder of that name would hide.
    (target / "usr/sbin").mkdir(parents=True)
    run(["gcc", "-O2", "-static", "-o", target / "usr/sbin/init-lab", INIT])


def build_rootfs(target: Path, report: Report) -> None:
    """Bootstrap Debian into ``target``; takes a minute or two. Raises LabError."""
    free = shutil.disk_usage(target).free
    if free < NEEDED_SPACE:
        raise LabError(
            f"{target.parent} has {free >> 20} MiB free; the lab needs {NEEDED_SPACE >> 20}",
            "Free some space, or set UMSUI_CACHE_DIR to where there is more.",
            code="no-space",
        )
    report(f"root file system: Debian {SUITE} from {mirror()} (a minute or two, once)")
    _debootstrap(target, report)
    report(f"root file system: CRIU from Debian {NEWER_SUITE}")
    _add_newer(target)
    for pattern in ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*", "usr/share/doc/*", "usr/share/man/*"):
        for path in target.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    version = run(["chroot", target, "criu", "--version"]).split()[1]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_CRIU:
        raise LabError(f"Debian {NEWER_SUITE} gave CRIU {version}; 4.2 is needed", "Try another UMSUI_DEBIAN_MIRROR.")
    report(f"root file system: ready, with CRIU {version}")


def no_mirror(said: str) -> LabError:
    """The error that says so, with what apt or debootstrap ``said``."""
    return LabError(
        f"Debian's packages could not be had from {mirror()}: {said}",
        "Is there a network, or a proxy to name in http_proxy? Another mirror: UMSUI_DEBIAN_MIRROR=http://…/debian",
        code="no-mirror",
    )


def _debootstrap(target: Path, report: Report) -> None:
    include = ",".join(PACKAGES)
    argv = [*ISOLATED, "debootstrap", "--variant=minbase", f"--include={include}"]
    said: list[str] = []
    stage = ""
    with subprocess.Popen(
        [*argv, SUITE, str(target), mirror()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said.append(line.strip())
            word = line.removeprefix("I: ").split(" ", 1)[0].lower()
            if word in {"retrieving", "extracting", "unpacking", "configuring"} and word != stage:
                stage = word
                report(f"root file system: {stage} packages")
    if process.returncode != 0:
        last = "; ".join(said[-3:])
        if any("Failed getting release" in line or "Couldn't download" in line for line in said):
            raise no_mirror(last)
        raise LabError(f"debootstrap failed: {last}", "Look at the message; umsui lab up tries again from the start.")


def _add_newer(target: Path) -> None:
    """Unpack CRIU and its libraries over trixie's, from an apt configuration that leaves the system's alone."""
    work = target / "tmp/newer"
    for name in ("etc/apt.conf.d", "etc/sources.list.d", "etc/preferences.d", "lists/partial", "cache", "debs"):
        (work / name).mkdir(parents=True)
    (work / "apt.conf").write_text(_APT)
    keyring = next((target / "usr/share/keyrings").glob("debian-archive-keyring.*"), None)
    if keyring is None:
        raise LabError("The root file system has no Debian archive keys", "umsui lab up tries again from the start.")
    inside = "/" + str(keyring.relative_to(target))
    (work / "etc/sources.list").write_text(f"deb [signed-by={inside}] {mirror()} {NEWER_SUITE} main\n")
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "APT_CONFIG": "/tmp/newer/apt.conf", **proxies}  # noqa: S108
    in_target = [*ISOLATED, "chroot", str(target)]
    try:
        run([*in_target, "apt-get", "update", "-q"], timeout=300, env=env)
        download = f"cd /tmp/newer/debs && apt-get download -q {' '.join(NEWER_PACKAGES)}"
        run([*in_target, "sh", "-c", download], timeout=300, env=env)
    except LabError as error:
        raise no_mirror(error.message) from error
    unpack = "for deb in /tmp/newer/debs/*.deb; do dpkg -x $deb / || exit 1; done && ldconfig"
    run([*in_target, "sh", "-c", unpack], timeout=120, env=env)
    shutil.rmtree(work)
