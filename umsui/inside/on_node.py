"""Runs on the node that has the base image (``python3 -c``): builds the image with umsui inside, prints what it made.

Arguments: engine, base image, name of the new image. Standard input: the supervisor. Standard library, Python >= 3.9.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, NoReturn

PROGRAMS = ("criu", "tar")
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES = (
    8,
    19,
    40,
)  # SETPCAP, SYS_PTRACE, CHECKPOINT_RESTORE: also for a plain user, where the container has them
ENVIRONMENT = {"PATH": SEARCH, "HOME": "/root", "LC_ALL": "C.UTF-8", "DOCKER_BUILDKIT": "0"}


def fail(code: str, message: str, fix: str) -> NoReturn:
    """End, telling why."""
    sys.stdout.write(json.dumps({"error": {"code": code, "message": message, "fix": fix}}))
    raise SystemExit


def run(argv: List[str], code: str, fix: str) -> str:
    """The output of a command; ends with its words when it fails."""
    done = subprocess.run(argv, capture_output=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        fail(code, f"{' '.join(argv[:3])}: {done.stderr.decode(errors='replace').strip()[-600:]}", fix)
    return done.stdout.decode(errors="replace")


def add_programs(kit: Path) -> None:
    """CRIU and tar with their libraries and their loader, so that no base image needs to have any."""
    (kit / "lib").mkdir()
    for name in PROGRAMS:
        path = shutil.which(name, path=SEARCH)
        if path is None:
            fail("no-" + name, f"{name} is not installed here", f"apt install {name}")
        shutil.copy(path, kit / name)
        for words in run(["ldd", path], "no-ldd", "apt install libc-bin").splitlines():
            library = re.match(r"\s*(\S+) => (/\S+)", words)
            loader = re.match(r"\s*(/\S+) \(", words)
            if library:
                shutil.copy(library[2], kit / "lib" / library[1])
            elif loader:
                shutil.copy(loader[1], kit / "ld.so")


def add_supervisor(kit: Path) -> None:
    """The supervisor, and the folder where its container is told to wait for a restore."""
    program = kit / "init"
    program.write_bytes(sys.stdin.buffer.read())
    program.chmod(0o755)
    low, high = (sum(1 << number % 32 for number in CAPABILITIES if number // 32 == half) for half in (0, 1))
    if os.geteuid() == 0:  # VFS_CAP_REVISION_2 (linux/capability.h); not effective: it must start without them, too
        os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000000, low, 0, high, 0))
    (kit / "state").mkdir()
    (kit / "state").chmod(0o777)


def send_kit() -> None:
    """What is added to an image, as a tar on standard output: for an image that is put together elsewhere."""
    with tempfile.TemporaryDirectory(prefix="umsui-image-") as folder:
        kit = Path(folder) / "umsui"
        kit.mkdir()
        add_programs(kit)
        add_supervisor(kit)
        words = ["--owner=0", "--group=0", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", folder, "-c"]
        subprocess.run(["tar", *words, "umsui"], env=ENVIRONMENT, check=True)


def main(engine: str, base: str, tag: str) -> None:
    """Build it."""
    found = run([engine, "image", "inspect", base], "no-image", f"{engine} pull {base}")
    config = json.loads(found)[0]["Config"]
    entrypoint, command = config.get("Entrypoint") or [], config.get("Cmd") or []
    if entrypoint[:1] == ["/umsui/init"]:
        fail("built-already", f"{base} has umsui inside already", "use it as it is, or name its base")
    with tempfile.TemporaryDirectory(prefix="umsui-image-") as folder:
        context = Path(folder)
        (context / "umsui").mkdir()
        add_programs(context / "umsui")
        add_supervisor(context / "umsui")
        lines = [f"FROM {base}", "COPY umsui /umsui", "ENTRYPOINT " + json.dumps(["/umsui/init", *entrypoint])]
        lines += ["CMD " + json.dumps(command)] if command else []
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        own = ["--format", "docker", "--pull=never", "--identity-label=false"] if engine == "podman" else []
        run([engine, "build", "-q", *own, "-t", tag, folder], "not-built", "read what it says; nothing was changed")
    made = json.loads(run([engine, "image", "inspect", tag], "not-built", ""))[0]
    sys.stdout.write(json.dumps({"image": tag, "id": made["Id"].replace("sha256:", ""), "bytes": made["Size"]}))


if __name__ == "__main__":
    if sys.argv[1:] == ["kit"]:
        send_kit()
    else:
        main(*sys.argv[1:4])
