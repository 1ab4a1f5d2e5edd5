"""What all tests share: folders of their own, and one lab for the whole session (never the user's)."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from umsui import lab as lab_module
from umsui import locations
from umsui.lab import cgroups, network
from umsui.lab import host as lab_host
from umsui.lab.kubernetes import build as kubernetes
from umsui.lab.topology import Host, Lab

# Instances that tests may take; 0 is the user's. Each is held by a lock, so that two test runs do not meet.
TEST_INSTANCES = (7, 8, 9, 6, 5, *range(10, 16))
_held: list[int] = []
_folder: list[Path] = []


def claim_instance() -> int:
    """Take a lab instance that no other test run has, until this process ends."""
    folder = locations.cache_dir() / "lab"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for instance in TEST_INSTANCES:
        handle = os.open(folder / f".test-{instance}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        _held.append(handle)
        return instance
    pytest.fail(f"other test runs hold all lab instances {TEST_INSTANCES}")


def pytest_configure(config: pytest.Config) -> None:
    """Point umsui's folders, except the cache, at a place of this session's own."""
    folder = Path(tempfile.mkdtemp(prefix="umsui-test-"))
    _folder.append(folder)
    for name in ("CONFIG", "DATA", "RUNTIME"):
        os.environ[f"UMSUI_{name}_DIR"] = str(folder / name.lower())
    os.environ.pop("UMSUI_CONFIG", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove them."""
    while _folder:
        shutil.rmtree(_folder.pop(), ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first: those on the lab come last, and are skipped where there can be none."""
    items.sort(key=lambda item: item.get_closest_marker("lab") is not None)
    reason = "needs Linux" if sys.platform != "linux" else "needs root" if os.geteuid() != 0 else ""
    if reason:
        _skip(items, "lab", reason)
    elif not kubernetes.built():
        _skip(items, "kubernetes", "the lab's Kubernetes is not built here: `make test-kubernetes` does that first")


LOG_SHOWN = 40  # lines of the coordinator's log that a failed test shows


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the coordinator had to say."""
    report = yield
    log = locations.data_dir() / "coordinator.log"
    if report.failed and log.exists():
        lines = log.read_text(errors="replace").splitlines()[-LOG_SHOWN:]
        report.sections.append(("the coordinator's log, its end", "\n".join(lines)))
    return report


DESCRIPTORS = 400  # open at most after a test: where 1,024 are the limit, what is beyond fails anywhere


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """The test that leaves too many files open is the one that fails; what only waits to be collected is none."""
    yield
    if _open_descriptors() > DESCRIPTORS:
        gc.collect()
        assert _open_descriptors() <= DESCRIPTORS, f"{item.nodeid} and those before it have left so many files open"


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker) is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class Namespaces:
    """Those that a lab's hosts had, and when: their numbers are given to others when they are gone."""

    names: frozenset[str] = frozenset()
    seen: float = 0.0  # seconds since the machine started


def leftovers(lab: Lab, namespaces: Namespaces = Namespaces()) -> list[str]:
    """What there is of ``lab`` on this machine; nothing, after it went down."""
    found = [f"cgroup {name}" for name in cgroups.groups(lab.cgroup_prefix)]
    found += [f"link {name}" for name in network.own_links(lab)]
    found += [f"files {lab.directory}"] if lab.directory.exists() else []
    subnet = lab.gateway.rpartition(".")[0] + "."
    routes = network.run(["ip", "route", "show", "table", "all"]).splitlines()
    found += [f"route {line}" for line in routes if subnet in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            mounts = (process / "mountinfo").read_text()
            if str(lab.directory) in mounts:
                found.append(f"mounts in {process.name}: {words}")
            mine = {str((process / "ns" / kind).readlink()) for kind in ("net", "mnt", "pid")}
            stays = bool(mine & namespaces.names) and started_at(process) < namespaces.seen
            if stays or str(lab.directory) in words:
                found.append(f"process {process.name}: {words}")
        except OSError:
            continue  # it ended meanwhile, or is a zombie
    return found


def started_at(process: Path) -> float:
    """When a process (its folder in /proc) started, in seconds since the machine did."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def namespaces_of(lab: Lab) -> Namespaces:
    """The namespaces of all that runs on its hosts, containers and pods among it; never this process's own."""
    found = set()
    for pid in cgroups.processes(lab.cgroup_prefix):
        for kind in ("net", "mnt", "pid"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    own = {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt", "pid")}
    return Namespaces(frozenset(found - own), time.clock_gettime(time.CLOCK_BOOTTIME))


@dataclass(frozen=True)
class RunningLab:
    """The session's lab, with the services where they started after ``reset``."""

    lab: Lab
    lines: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """Its config file; the coordinator finds it by itself when there is no other."""
        return self.lab.config

    def host(self, name: str) -> Host:
        """The host ``name``, e.g. "azure-1"."""
        return next(host for host in self.lab.hosts if host.name == name)

    def run(self, host: str, *argv: str, timeout: float = 60.0, stdin: str | None = None) -> str:
        """Run a command as root on a host; returns its output, raises LabError when it fails."""
        return lab_host.run_in(self.host(host), argv, timeout=timeout, stdin=stdin)

    def sh(self, host: str, script: str, timeout: float = 60.0) -> str:
        """Run a shell script as root on a host."""
        return self.run(host, "sh", "-c", script, timeout=timeout)

    def select(self) -> None:
        """Let ``umsui`` mean this lab; a coordinator that knows another one ends."""
        if os.environ.get("UMSUI_LAB_INSTANCE") != str(self.lab.instance):
            subprocess.run([sys.executable, "-m", "umsui", "coordinator", "stop", "--force"], check=False)
            os.environ["UMSUI_LAB_INSTANCE"] = str(self.lab.instance)

    def reset(self) -> None:
        """Memhog, redis and nginx fresh where they started, nothing else anywhere, links unshaped (0.6 s)."""
        lab_module.shape(None)
        lab_module.reset(self.lines.append)


@pytest.fixture(scope="session")
def lab() -> Iterator[RunningLab]:
    """A lab that is up for the whole session. Tests that move or change services use ``fresh_lab``."""
    os.environ["UMSUI_LAB_INSTANCE"] = str(claim_instance())
    selected = Lab.selected()
    lab_module.down(lambda line: None)
    running = RunningLab(selected)
    lab_module.up(None, "podman", running.lines.append)
    namespaces = namespaces_of(selected)
    yield running
    os.environ["UMSUI_LAB_INSTANCE"] = str(selected.instance)
    lab_module.down(running.lines.append)
    assert leftovers(selected, namespaces) == []


@pytest.fixture
def fresh_lab(lab: RunningLab) -> RunningLab:
    """The session's lab with its sample services started anew."""
    lab.select()
    lab.reset()
    return lab
