"""Network and mount namespaces in which the clouds' own host names lead to the local cloud, and nothing leads out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi

from tests.clouds.local import LocalCloud, running
from tests.clouds.serving import HOSTS

METADATA = "169.254.169.254"
SETUP = f"""
set -eu
ip link set lo up
ip address add {METADATA}/32 dev lo
mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf
echo ready
exec cat
"""
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", certifi.where())
"""Where OpenSSL and requests look for CAs by themselves."""


@dataclass(frozen=True)
class Island:
    """The namespaces: a command with ``prefix`` before it runs there."""

    pid: int

    @property
    def prefix(self) -> list[str]:
        """Enters the namespaces; the working directory stays."""
        return ["nsenter", "-t", str(self.pid), "-n", "-m", f"--wdns={Path.cwd()}", "--"]

    def run(self, command: Sequence[str | Path]) -> str:
        """A command's output. Raises CalledProcessError."""
        found = subprocess.run([*self.prefix, *map(str, command)], check=True, capture_output=True, text=True)
        return found.stdout


@contextmanager
def island(folder: Path) -> Iterator[Island]:
    """The namespaces, for as long as the block. Needs root."""
    hosts, resolver = folder / "hosts", folder / "resolv.conf"
    names = "".join(f"{METADATA if HOSTS[name] == ('metadata',) else '127.0.0.1'} {name}\n" for name in HOSTS)
    hosts.write_text(f"127.0.0.1 localhost\n{names}")
    resolver.write_text("# no name servers\n")
    command = ["unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-c", SETUP, "sh"]
    holder = subprocess.Popen([*command, hosts, resolver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n"
        yield Island(holder.pid)
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()


@contextmanager
def inhabited(folder: Path) -> Iterator[tuple[Island, LocalCloud]]:
    """With both clouds in it, on the ports and under the CA that the SDKs expect without being told."""
    with island(folder) as place:
        arguments = ("--port", "443", "--metadata", METADATA, "--metadata-port", "80")
        with running(*arguments, prefix=place.prefix) as cloud:
            for bundle in BUNDLES:
                place.run(["mount", "--bind", cloud.folder.authority, bundle])
            yield place, cloud
