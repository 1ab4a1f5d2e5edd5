"""One host of the lab: its processes live in their own mount, pid, network, UTS, IPC and cgroup namespaces."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from umsui.lab import cgroups, keys
from umsui.lab.artifacts import Artifacts
from umsui.lab.commands import LabError, run
from umsui.lab.topology import Host, Lab

FILES = Path(__file__).parent / "files"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}

# Both join the host's cgroups first. The arguments: how many files to write oneself to, those files, the command.
_JOIN = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1" || exit 125; shift; n=$((n-1)); done; exec "$@"'


def _joining(files: Sequence[Path], argv: Sequence[str | Path]) -> list[str]:
    return ["sh", "-c", _JOIN, "sh", str(len(files)), *map(str, files), *map(str, argv)]


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=mode)
    path.write_text(text)


def fill(host: Host, login: keys.Key, identity: keys.Key) -> None:
    """Write what makes this host different from the others: who it lets in, who it is, whom it knows."""
    upper = host.directory / "upper"
    (upper / "root").mkdir(mode=0o700, parents=True)
    (upper / "root/.ssh").mkdir(mode=0o700)
    _write(upper / "root/.ssh/authorized_keys", login.public + "\n", 0o600)
    _write(upper / "etc/ssh/ssh_host_ed25519_key", identity.private, 0o600)
    _write(upper / "etc/ssh/ssh_host_ed25519_key.pub", identity.public + "\n")
    _write(upper / "etc/hostname", host.name + "\n")
    names = "".join(f"{other.address} {other.name}\n" for other in host.lab.hosts)
    _write(upper / "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{names}")
    _write(upper / "etc/resolv.conf", "# The lab has no name servers.\n")


def start(host: Host, artifacts: Artifacts) -> int:
    """Start the host, filled; returns the pid of its first process once that has its namespaces. Raises LabError."""
    for name in ("work", "root", "containers", "docker", "kubernetes"):
        (host.directory / name).mkdir(parents=True, exist_ok=True)
    (host.directory / "starting").touch()
    env = {
        "PATH": PATH,
        "NAME": host.name,
        "STATE": str(host.directory),
        "LOWER": f"{artifacts.skin}:{artifacts.rootfs}",
        "IMAGES": str(artifacts.images),
        "ORCHESTRATOR": host.orchestrator,
    }
    if host.orchestrator == "kubernetes":
        env["LOWER"] = f"{artifacts.skin}:{artifacts.kubernetes}:{artifacts.rootfs}"
    files = cgroups.create(host.cgroup)
    # The log is for what its first processes say; theirs, not ours, so that nothing waits for our end of a pipe.
    redirect = ["sh", "-c", 'exec "$@" </dev/null >"$STATE/log" 2>&1', "sh"]
    spawn: list[str | Path] = [artifacts.skin / "usr/sbin/init-lab", "spawn", FILES / "host.sh"]
    run([*redirect, *_joining(files, spawn)], env=env, label=f"starting {host.name} (see {host.directory}/log)")
    deadline = time.monotonic() + 10
    while (found := pid(host)) is None:
        if time.monotonic() > deadline or not cgroups.processes(host.cgroup):
            raise LabError(f"The host {host.name} does not start: {log(host)}", "umsui lab down, then try again.")
        time.sleep(0.002)
    return found


def log(host: Host) -> str:
    """What its first processes said; the end of it."""
    try:
        return (host.directory / "log").read_text(errors="replace").strip()[-1000:] or "(it said nothing)"
    except OSError:
        return "(no log)"


def pid(host: Host) -> int | None:
    """The pid of its first process, None when it does not run. A recycled pid is not mistaken for it."""
    try:
        recorded = (host.directory / "pid").read_text()
        number, started = recorded.split()
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2].split()
    except (OSError, ValueError):
        return None
    state, start_time = fields[0], fields[19]
    alive = recorded.endswith("\n") and start_time == started and state not in "ZX"
    return int(number) if alive else None


def run_in(host: Host, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60.0) -> str:
    """Run a command on the host as its root, as a login would; returns its output. Raises LabError."""
    first = pid(host)
    if first is None:
        raise LabError(f"The host {host.name} is not up", "umsui lab up")
    enter = ["nsenter", "-t", str(first), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "--"]
    files = cgroups.entrances(host.cgroup)
    label = f"{' '.join(argv)[:80]} on {host.name}"
    return run(_joining(files, [*enter, *argv]), stdin=stdin, timeout=timeout, env=ENVIRONMENT, label=label)


def wait_for_sshd(host: Host, timeout: float = 10.0) -> None:
    """Return when its sshd greets; raises LabError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((host.address, 22), timeout=1.0) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline or pid(host) is None:
            raise LabError(f"The sshd of {host.name} does not answer: {log(host)}", "umsui lab down, then try again.")
        time.sleep(0.005)


def stop_all(lab: Lab) -> None:
    """Kill whatever runs on the lab's hosts and remove their cgroups; also when nothing but those is left of it."""
    cgroups.kill(lab.cgroup_prefix)
    cgroups.remove(lab.cgroup_prefix)
