"""Benchmarks on disk while they run: a header, then a row a line, then how it ended. Others read along."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from umsui import locations

KEPT = 200  # files that are listed, newest first


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One run of ``umsui bench``; ``rows`` are the contract's, and are left out where only a list is wanted."""

    id: str
    figure: str = ""
    rate: str = ""
    started: float = 0.0
    planned: int = 0  # rows of each tool and way that are to come in all
    count: int = 0  # rows so far
    pid: int = 0
    finished: float | None = None
    running: bool = False
    machine: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()


class Recorder:
    """Writes one into a folder; a context manager."""

    def __init__(self, folder: Path, figure: str, rate: str, planned: int, machine: Mapping[str, Any]) -> None:
        now = time.time()
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{figure}-{os.getpid()}"
        self._file = (folder / f"{name}.jsonl").open("w", buffering=1, encoding="utf-8")
        head = {"figure": figure, "rate": rate, "started": now, "planned": planned, "pid": os.getpid()}
        self._write({**head, "machine": dict(machine)})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write({"finished": time.time()})
        self._file.close()

    def row(self, row: Mapping[str, Any]) -> None:
        """One run is over."""
        self._write({"row": row})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")) + "\n")


def known() -> list[Benchmark]:
    """All that are on disk, newest first, without their rows."""
    paths = sorted(locations.benchmarks_dir().glob("*.jsonl"), reverse=True)[:KEPT]
    return [replace(read(path), rows=()) for path in paths]


def read(path: Path) -> Benchmark:
    """One of them, as far as it is written; a line that is torn is left out."""
    facts: dict[str, Any] = {}
    rows: list[Mapping[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            data = json.loads(line)
            if "row" in data:
                rows.append(data["row"])
            else:
                facts.update(data)
    pid = int(facts.get("pid", 0))
    running = "finished" not in facts and Path(f"/proc/{pid}").exists()
    return Benchmark(path.stem, **facts, count=len(rows), running=running, rows=tuple(rows))
