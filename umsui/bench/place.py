"""Where a benchmark runs: a lab and a coordinator of its own, beside the user's, and gone with it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from umsui import __version__, locations
from umsui import lab as laboratory
from umsui.bench import service
from umsui.bench.watcher import INTERVAL
from umsui.coordinator.client import Client, ensure_running
from umsui.errors import BadInput, UmsuiError
from umsui.lab import host as hosts
from umsui.lab.topology import Host, Lab

DEFAULT_INSTANCE = 4
FOLDERS = ("CONFIG", "DATA", "RUNTIME")
STOPPING = 10.0  # seconds for the coordinator to end
Report = Callable[[str], None]


class Place:
    """A context manager: a lab of ``kind`` up with no services, shaped to ``rate``, and a coordinator on it."""

    def __init__(self, instance: int, rate: str, report: Report, kind: str = "podman") -> None:
        self.rate = rate
        self._kind = kind
        self._instance = instance
        self._report = report
        self._stack = contextlib.ExitStack()
        self.client = Client(Path("/nonexistent"))
        self.machine: dict[str, Any] = {}
        self.start_seconds = 0.0
        self.rss: list[int] = []  # bytes, after each migration

    def __enter__(self) -> Place:
        """Raises BadInput for a rate of nonsense or a lab that somebody else uses, LabError, Unreachable."""
        with self._stack as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="umsui-bench-")))
            stack.enter_context(_environment(self._instance, folder))
            stack.enter_context(self._lab(folder))
            began = time.monotonic()
            stack.callback(_stop_coordinator, locations.coordinator_socket())
            ensure_running()
            self.start_seconds = time.monotonic() - began
            self.client = Client()
            self.client.refresh()
            self.machine = self._machine()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _lab(self, folder: Path) -> Iterator[None]:
        selected = Lab.selected()
        mark = selected.directory / "bench"
        if mark.is_file():
            self._report("removing what is left of an earlier benchmark")
            _stop_coordinator(Path(mark.read_text()) / "runtime" / "coordinator.sock")
            shutil.rmtree(mark.read_text(), ignore_errors=True)
            laboratory.down(_quiet)
        elif selected.directory.exists():
            raise BadInput(f"the lab {selected.instance} is in use", "choose another with --lab-instance (0 to 9)")
        try:
            laboratory.up(self.rate, self._kind, self._report if self._kind == "mixed" else _quiet)
            mark.write_text(str(folder))
            service.remove(*selected.hosts)
            own = locations.ensure(locations.config_dir()) / "config.toml"
            own.write_text(f"{selected.config.read_text()}\n[coordinator]\nprobe_interval = {INTERVAL}\n")
            self._report(f"a lab of its own is up (instance {selected.instance}, links {self.rate})")
            yield
        finally:
            laboratory.down(_quiet)

    def host(self, name: str) -> Host:
        """The lab's host ``name``."""
        return next(host for host in Lab.selected().hosts if host.name == name)

    def note_memory(self) -> None:
        """Keep the coordinator's resident memory as it is now."""
        self.rss.append(_resident(int(self.client.info()["pid"])))

    def coordinator(self) -> dict[str, Any]:
        """What the coordinator cost: seconds to its first answer, bytes resident after each migration."""
        return {"start_seconds": round(self.start_seconds, 3), "rss_bytes": self.rss}

    def _machine(self) -> dict[str, Any]:
        script = "podman --version; criu --version | head -1; crun --version | head -1; ssh -V 2>&1"
        words = hosts.run_in(self.host("azure-1"), ["sh", "-c", script]).splitlines()
        names = ("podman", "criu", "crun", "ssh")
        found = {**machine(), **dict(zip(names, (word.strip() for word in words), strict=False))}
        note = laboratory.status().kubernetes
        return {**found, "kubernetes": note} if note else found


def machine() -> dict[str, Any]:
    """What a benchmark ran on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(_field(Path("/proc/meminfo"), "MemTotal").split()[0]) * 1024,
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "umsui": __version__,
    }


def _quiet(line: str) -> None:
    """What the lab reports about itself is nothing to a benchmark."""


@contextlib.contextmanager
def _environment(instance: int, folder: Path) -> Iterator[None]:
    """Our own folders in place of the user's, for us and for the coordinator that we start."""
    changed = {f"UMSUI_{name}_DIR": str(folder / name.lower()) for name in FOLDERS}
    changed["UMSUI_LAB_INSTANCE"] = str(instance)
    before = {name: os.environ.get(name) for name in (*changed, "UMSUI_CONFIG")}
    os.environ.update(changed)
    os.environ.pop("UMSUI_CONFIG", None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _stop_coordinator(path: Path) -> None:
    with contextlib.suppress(UmsuiError):
        pid = int(Client(path).info()["pid"])
        Client(path).shutdown(force=True)
        until = time.monotonic() + STOPPING
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.02)


def _resident(pid: int) -> int:
    return int(_field(Path(f"/proc/{pid}/status"), "VmRSS").split()[0]) * 1024


def _field(path: Path, name: str) -> str:
    """The value of ``name: value`` in a file of /proc; "0" when it is not there."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"
