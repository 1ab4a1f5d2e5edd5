"""What the tests of the main job share: the command line, and the services as their clients see them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.conftest import RunningLab


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


def umsui(*arguments: str, timeout: float = 110.0) -> Answer:
    """The command line, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "umsui", *arguments], capture_output=True, text=True, check=False, timeout=timeout
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def wait_for_step(migration: str, step: str, state: str = "started") -> None:
    """Until a migration has come so far; fails when it ends before."""
    argv = [sys.executable, "-m", "umsui", "watch", migration, "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        try:
            for line in watch.stdout:
                event = json.loads(line)
                if (event["kind"], event.get("step"), event.get("state")) == ("step", step, state):
                    return
        finally:
            watch.kill()
    ended = umsui("migrations", migration, "--json").document
    raise AssertionError(f"{step} was never {state}: {json.dumps(ended, indent=1)}")


def memhog(lab: RunningLab, host: str, path: str = "/", port: int = 8000) -> dict[str, Any]:
    """What memhog answers on a host. Raises OSError when it does not."""
    with urllib.request.urlopen(f"http://{lab.host(host).address}:{port}{path}", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def started(lab: RunningLab, host: str, port: int, patience: float = 30.0) -> dict[str, Any]:
    """What a memhog answers that was started a moment ago."""
    end = time.monotonic() + patience
    while True:
        try:
            return memhog(lab, host, port=port)
        except OSError:
            assert time.monotonic() < end, f"nothing answers at {host}:{port}"
            time.sleep(0.05)


def containers(lab: RunningLab, host: str) -> list[str]:
    """The names of all containers of a host, running or not."""
    return lab.run(host, lab.host(host).orchestrator, "ps", "-a", "--format", "{{.Names}}").split()


LEFT = """
import glob, os
found = [p for w in ("/run/umsui/*.source", "/run/umsui/*.destination", "/dev/shm/umsui/*") for p in glob.glob(w)]
found += glob.glob("/var/lib/containers/storage/overlay-containers/*/userdata/checkpoint")
found += glob.glob("/var/lib/docker/containers/*/checkpoints/*") + glob.glob("/tmp/ctrd-checkpoint*")
found += [p for p in ("/usr/local/sbin/criu", "/run/umsui/criu", "/run/umsui/waiting") if os.path.lexists(p)]
found += glob.glob("/run/umsui/*.root") + glob.glob("/run/umsui/*.shm")
found += [line for line in open("/proc/mounts") if "/run/umsui/" in line]
if os.path.exists("/root/.ssh/authorized_keys"):
    found += [line for line in open("/root/.ssh/authorized_keys") if "umsui:" in line]
for name in os.listdir("/proc"):
    try:
        words = open(f"/proc/{name}/cmdline").read().split("\\0") if name.isdigit() else [""]
    except OSError:
        continue
    program = os.path.basename(words[0])
    if name == str(os.getpid()):
        continue
    helper = any(word in ("relay", "guard", "wire") for word in words) and any("/run/umsui/" in word for word in words)
    if program == "criu" or helper or (program == "ssh" and any("/run/umsui/" in word for word in words)):
        found.append(" ".join(words))
print("\\n".join(found), end="")
"""


def traces(lab: RunningLab, host: str) -> list[str]:
    """What migrations have left on a host; nothing, when all is well."""
    return lab.run(host, "python3", "-c", LEFT).splitlines()


def wait_for_outcome(migration: str, patience: float = 90.0) -> dict[str, Any]:
    """The document of a migration once it has ended."""
    end = time.monotonic() + patience
    while True:
        found: dict[str, Any] = umsui("migrations", migration, "--json").document
        if found["outcome"]:
            return found
        assert time.monotonic() < end, f"it does not end: {found}"
        time.sleep(0.2)
