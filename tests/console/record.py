"""Writes ``recordings/memhog.jsonl``: a post-copy migration as a coordinator tells it. Run once; the file is kept."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

MIB = 2**20
FILE = Path(__file__).parent / "recordings" / "memhog.jsonl"
ID = "0199-memhog"


def result() -> dict[str, Any]:
    return {
        "id": ID, "service": "azure-lab/memhog", "source": {"cluster": "azure-lab", "node": "azure-1"},
        "destination": {"cluster": "gcp-lab", "node": "gcp-1"}, "approach": "orchestrator", "strategy": "post-copy",
        "reason": "full control at both ends", "outcome": "committed", "downtime": 0.118, "downtime_source": "client",
        "overhead": {"creation": 0.332, "checkpoint": 0.035, "transfer": 2.06, "restoration": 0.087, "total": 3.41},
        "predicted": {"downtime": [0.08, 0.12, 0.21], "total": [2.9, 3.4, 4.4]},
        "bytes": {"memory": 64 * MIB, "rootfs": 3 * MIB, "volumes": 128 * MIB, "image": 0, "wire": 201 * MIB},
        "processes": 1, "endpoint": "10.77.0.12:8000", "error": None,
    }  # fmt: skip


def events() -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []

    def add(t: float, kind: str, **data: Any) -> None:
        out.append({"t": round(t, 4), "migration": ID, "kind": kind, **data})

    def step(name: str, begin: float, seconds: float, note: str = "") -> None:
        add(begin, "step", step=name, state="started")
        more = {"note": note} if note else {}
        add(begin + seconds, "step", step=name, state="done", seconds=seconds, **more)

    add(0, "phase", phase="pre-migration")
    add(0.002, "log", level="info", message="azure-lab/memhog: azure-1 to gcp-1, orchestrator-level, post-copy")
    step("verify", 0.003, 0.038)
    add(0.04, "log", level="info", message="preflight: 13 checks passed, 1 warning")
    add(0.04, "log", level="warning", message="3 open client connections will be closed")
    step("connect", 0.042, 0.21)
    add(0.25, "log", level="info", message="agents 4f1c9a at both ends; wire: ssh aes128-gcm, 0.4 ms")
    step("reserve", 0.253, 0.212)
    step("copy-ahead", 0.466, 1.36, "131 MiB")
    done = 0.0
    for index in range(14):
        rate = (96 + 12 * ((index * 7) % 5) / 4) * MIB
        done = min(done + rate * 0.1, 131 * MIB)
        t = 0.55 + index * 0.1
        add(t, "progress", what="rootfs", done=min(int(done), 3 * MIB), total=3 * MIB, rate=rate)
        add(t, "progress", what="volumes", done=max(int(done) - 3 * MIB, 0), total=128 * MIB, rate=rate)
    add(1.826, "progress", what="volumes", done=128 * MIB, total=128 * MIB, rate=0)
    step("arm", 1.83, 0.12)
    add(1.95, "log", level="info", message="criu dump and restore are armed; freeze takes one word")
    add(1.96, "phase", phase="migration")
    step("freeze", 1.962, 0.011)
    step("checkpoint", 1.973, 0.024)
    step("transfer", 1.974, 0.02, "1.1 MiB")
    step("restore", 1.985, 0.061)
    add(2.047, "log", level="info", message="both ends have voted to commit")
    step("commit", 2.048, 0.004)
    add(2.052, "phase", phase="post-migration")
    step("first-reply", 2.052, 0.026)
    add(2.079, "log", level="info", message="first reply from 10.77.0.12:8000: nonce and counter hold")
    add(2.079, "step", step="drain", state="started")
    done = 0.0
    for index in range(7):
        rate = (92 + 8 * (index % 3)) * MIB
        done = min(done + rate * 0.1, 64 * MIB)
        add(2.1 + index * 0.1, "progress", what="memory", done=int(done), total=64 * MIB, rate=rate)
    add(2.76, "progress", what="memory", done=64 * MIB, total=64 * MIB, rate=0)
    add(2.762, "step", step="drain", state="done", seconds=0.683, note="64 MiB")
    add(2.763, "log", level="info", message="last page has arrived; the source is no longer needed")
    step("remove-source", 2.764, 0.31)
    step("clean-up", 3.08, 0.33)
    add(3.4, "log", level="info", message="nothing left behind at azure-1; checksum of memory holds")
    add(3.41, "outcome", result=result())
    out += probes()
    return sorted(out, key=lambda event: event["t"])


def probes() -> list[dict[str, Any]]:
    """A reply each 10 ms; none between 1.963 and 2.081."""
    rng = random.Random(7)
    out: list[dict[str, Any]] = []
    batch: list[list[float | None]] = []
    for index in range(3, 340):
        t = index / 100
        lost = 1.963 <= t < 2.08
        slow = 0.4 if 0.6 < t < 1.8 else 0.0
        reply = round(
            0.0018 + rng.random() * 0.0008 + slow * rng.random() * 0.01 + (0.02 if index in (88, 141) else 0), 5
        )
        batch.append([t, None if lost else reply])
        if index % 10 == 9 or index == 208:
            over = t > 2.08
            down = None if not t > 1.963 else (0.118 if over else round(t - 1.963, 3))
            out.append({"t": round(t + 0.001, 4), "migration": ID, "kind": "probe", "samples": batch, "down": down,
                        "downtime": 0.118 if t >= 2.081 - 0.001 else None})  # fmt: skip
            batch = []
    return out


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events()), encoding="utf-8")
