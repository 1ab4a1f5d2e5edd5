"""Running this machine's own tools, with errors that tell what they said; and getting the tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from umsui.errors import UmsuiError

Report = Callable[[str], None]

# command -> the Debian packages that bring it
RUNNING = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "hostname": "hostname",
}
# What is built runs in namespaces of its own: its mounts and processes go when it ends, or when we are killed.
ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
)

BUILDING = {
    "debootstrap": "debootstrap debian-archive-keyring ca-certificates",
    "gcc": "gcc libc6-dev",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "chroot": "coreutils",
    "tar": "tar",
}


class LabError(UmsuiError):
    """The lab cannot be made here, or something in it does not work."""

    code = "lab"


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    label: str = "",
) -> str:
    """Run a command to its end (``timeout`` in seconds) and return its output. ``label`` stands for it in errors.

    Raises LabError with what it wrote to stderr when it fails or takes too long.
    """
    name = label or " ".join(map(str, argv[:4]))
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"The command {argv[0]} is missing", "Install it, then try again.") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{name} did not end within {timeout:.0f} s", "Is this machine very busy? Try again.") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"{name} failed ({done.returncode}): {said}")
    return done.stdout


def require_root_on_linux() -> None:
    """Raises LabError when this cannot be a place for a lab."""
    if sys.platform != "linux":
        raise LabError(
            f"The lab needs Linux, and this is {sys.platform}",
            "Run it on a Linux machine or in a virtual machine; umsui itself manages remote clusters from here.",
            code="not-linux",
        )
    if os.geteuid() != 0:
        raise LabError(
            "The lab needs root: it makes namespaces, mounts, cgroups and network links",
            "Run the same command with sudo, or as root.",
            code="not-root",
        )


def require_tools(tools: Mapping[str, str], report: Report) -> None:
    """Install the packages of those ``tools`` that are missing, with apt-get; raises LabError where that cannot be."""
    missing = [name for name in tools if shutil.which(name) is None]
    if not missing:
        return
    packages = sorted({package for name in missing for package in tools[name].split()})
    by_hand = f"Install these packages (Debian's names): {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise LabError(f"Missing: {', '.join(missing)}", by_hand, code="missing-tools")
    report(f"installing {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(["apt-get", "update", "-q"], timeout=300, env=env)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], timeout=900, env=env)
    except LabError as error:
        raise LabError(f"apt-get could not install them: {error.message}", by_hand, code="missing-tools") from error
