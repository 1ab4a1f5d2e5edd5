"""The agent as one file, and how it gets onto a node."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ENTRY = "import sys\nfrom umsui.agent.main import main\nsys.exit(main(sys.argv[1:]))\n"
STAMP = (2020, 1, 1, 0, 0, 0)  # the same source gives the same file, whenever it is packed

# Compiles the package ``data`` for the Python that is there, into ``file``. A compiled file's head: the magic number,
# no flags, no time, no size.
_COMPILE = """\
with file, zipfile.ZipFile(io.BytesIO(data)) as sources, zipfile.ZipFile(file, "w") as compiled:
    for name in sources.namelist():
        code = marshal.dumps(compile(sources.read(name), name, "exec"))
        compiled.writestr(zipfile.ZipInfo(name + "c"), importlib.util.MAGIC_NUMBER + bytes(12) + code)
"""

# From standard input to standard output: for images that have the agent in them.
COMPILER = f"""\
import importlib.util, io, marshal, sys, zipfile
data, file = sys.stdin.buffer.read(), sys.stdout.buffer
{_COMPILE}"""

# Reads the agent from standard input, checks it, compiles it for the Python that is there, and becomes it: a migration
# starts a dozen programs from that file, and each would compile its own part again. The file is gone as soon as the
# agent has read it. Where the same package is, compiled, at the path that is the third word, that one is taken if it is
# for this Python.
BOOTSTRAP = f"""\
import hashlib, importlib.util, io, marshal, os, sys, zipfile
size, digest = int(sys.argv[1]), sys.argv[2]
data = b""
while len(data) < size:
    part = os.read(0, size - len(data))
    if not part: sys.exit("umsui: the agent arrived incomplete")
    data += part
if hashlib.sha256(data).hexdigest() != digest: sys.exit("umsui: the agent arrived damaged")
if os.geteuid(): sys.exit("umsui: the agent must run as root")
ready = sys.argv[3] if len(sys.argv) > 3 else ""
if os.access(ready, os.R_OK):
    with zipfile.ZipFile(ready) as compiled: magic = compiled.read("__main__.pyc")[:4]
    if magic == importlib.util.MAGIC_NUMBER: os.execv(sys.executable, [sys.executable, "-IS", ready, "serve"])
os.makedirs("/run/umsui", 0o700, exist_ok=True)
path = "/run/umsui/agent-%d.pyz" % os.getpid()
file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
{_COMPILE}os.execv(sys.executable, [sys.executable, "-IS", path, "serve"])
"""


@dataclass(frozen=True, slots=True)
class Package:
    """The agent's one file and its SHA-256."""

    data: bytes
    digest: str

    @property
    def name(self) -> str:
        """What it is called where it is compiled already: another umsui's is another's."""
        return f"agent-{self.digest[:16]}"

    def command(self, user: str, ready: str = "") -> list[str]:
        """What to start on the node; the package is then written to its standard input.

        ``ready``: where the same may be, compiled.
        """
        words = [str(len(self.data)), self.digest, *([ready] if ready else [])]
        python = ["python3", "-ISc", BOOTSTRAP, *words]
        return python if user == "root" else ["sudo", "-n", *python]


@cache
def package() -> Package:
    """Pack ``umsui.agent`` (about 140 kB)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, text: str) -> None:
            archive.writestr(zipfile.ZipInfo(name, STAMP), text, zipfile.ZIP_DEFLATED)

        add("__main__.py", ENTRY)
        add("umsui/__init__.py", "")
        for source in sorted(files("umsui.agent").iterdir(), key=lambda item: item.name):
            if source.name.endswith(".py"):
                add(f"umsui/agent/{source.name}", source.read_text())
    data = packed.getvalue()
    return Package(data, hashlib.sha256(data).hexdigest())
