"""Programs taken out of a Debian root file system, with the libraries they need: the insides of umsui's images."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from umsui.lab.commands import run

BASE = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "root", "run", "proc", "sys", "dev", "var/tmp")
PYTHON = ("/usr/bin/python3",)
MIGRATION = ("/usr/sbin/criu", "/usr/bin/rsync", "/usr/bin/ssh", "/usr/bin/ssh-keygen")
SERVER = ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth")
SHELL = tuple(f"/usr/bin/{name}" for name in ("sh", "cat", "tar", "gzip", "mount", "umount"))

# sshd is whom a server of that name talks to strangers as.
USERS = """\
root:x:0:0:root:/root:/bin/sh
sshd:x:997:65534:sshd:/run/sshd:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false
"""

# Of Python's own library, what neither the agent nor the outer container ever imports.
_NOT_NEEDED = re.compile(
    r"(__pycache__|test|idlelib|tkinter|turtle|turtledemo|ensurepip|venv|lib2to3|pydoc_data|pydoc|xmlrpc|wsgiref|"
    r"unittest|doctest|pdb|_pyrepl|sqlite3|curses|dbm|asyncio|email|http|html|xml|_pydatetime|_pydecimal|_pyio|pickletools|"
    r"dist-packages|sitecustomize|tomllib|zoneinfo|mailbox|smtplib|imaplib|ftplib|poplib|cProfile|profile)(\.py)?"
)
_NO_EXTENSIONS = re.compile(
    r"(_ssl|_sqlite3|_curses|_dbm|_gdbm|_tkinter|readline|_test|_xx|xx|_codecs_|_asyncio|_uuid|_decimal|"
    r"_elementtree|pyexpat|_lzma|_bz2|_crypt|_lsprof|_interp|_remote|nis|ossaudiodev|audioop).*"
)


def skeleton(tree: Path) -> None:
    """The folders and links that every root file system of Debian has."""
    for name in BASE:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "tmp").mkdir(mode=0o1777)
    (tree / "tmp").chmod(0o1777)
    (tree / "etc/passwd").write_text(USERS)
    (tree / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (tree / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


def add_programs(tree: Path, system: Path, programs: Iterable[str]) -> None:
    """Copy programs of the root file system ``system`` and their libraries. Raises LabError (one is not there)."""
    found = sorted(set(programs))
    # ldd names what is missing nowhere else; a static binary makes it fail, and there is none among these.
    libraries = re.findall(r"(/[^\s:]+\.so[^\s:]*)", run(["chroot", system, "ldd", *found]))
    for path in sorted({*found, *libraries}):
        destination = tree / path.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(inside(system, path), destination)


def inside(system: Path, path: str) -> Path:
    """The file that ``path`` is inside ``system``; its links may be absolute."""
    return system / run(["chroot", system, "readlink", "-f", path]).strip().lstrip("/")


def add_python(tree: Path, system: Path) -> None:
    """The interpreter and as much of its library as the agent uses, compiled already."""
    add_programs(tree, system, PYTHON)
    library = inside(system, "/usr/bin/python3").name  # python3.13
    source, target = system / "usr/lib" / library, tree / "usr/lib" / library
    target.mkdir(parents=True)
    for entry in sorted(source.iterdir()):
        if not _NOT_NEEDED.fullmatch(entry.name) and entry.name != "lib-dynload":
            _copy_module(entry, target)
    (target / "lib-dynload").mkdir()
    extensions = [entry for entry in (source / "lib-dynload").iterdir() if not _NO_EXTENSIONS.fullmatch(entry.name)]
    add_programs(tree, system, [f"/{entry.relative_to(system)}" for entry in extensions])


def _copy_module(entry: Path, target: Path) -> None:
    if entry.is_dir():
        shutil.copytree(entry, target / entry.name, symlinks=True, ignore=shutil.ignore_patterns("test", "tests"))
    elif entry.suffix == ".py":
        shutil.copy2(entry, target / entry.name)
        for compiled in (entry.parent / "__pycache__").glob(f"{entry.stem}.cpython-*.pyc"):
            if "opt-" not in compiled.name:
                (target / "__pycache__").mkdir(exist_ok=True)
                shutil.copy2(compiled, target / "__pycache__" / compiled.name)


def size(tree: Path) -> int:
    """Bytes of all files below ``tree``."""
    return sum(os.lstat(path).st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
