"""What the coordinator must not forget: each migration, its decision, its recording.

SQLite in WAL mode, through two connections. What recovery rests on is written with ``synchronous=FULL``: when
``decide`` returns, the decision survives a crash of the machine. The document, which changes with every step, is
written with NORMAL: no fsync while a service stands still. The recording is a JSON-lines file a migration, beside it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from umsui.coordinator.codec import decode, encode
from umsui.errors import BadInput
from umsui.model import Event, Migration, MigrationRequest, Plan, Specification

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS migrations (
    id TEXT PRIMARY KEY,
    started REAL NOT NULL,
    request TEXT NOT NULL,
    document TEXT NOT NULL,
    plan TEXT,
    specification TEXT,
    touched INTEGER NOT NULL DEFAULT 0,
    decision TEXT,
    decided REAL,
    why TEXT,
    finished REAL
);
CREATE INDEX IF NOT EXISTS by_time ON migrations (started DESC);
"""
TAIL = 256 << 10  # bytes in which the last event of a recording is looked for: an outcome is a few KiB


class Decision(StrEnum):
    """The one decision of a migration."""

    COMMIT = "commit"
    ABORT = "abort"


class AlreadyDecided(Exception):
    """A decision is made once."""


class Journal:
    """The durable record. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.recordings = folder / "recordings"
        self.recordings.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._files: dict[str, tuple[IO[str], int]] = {}
        self._db = _connect(folder / "journal.sqlite", "FULL")
        self._quick = _connect(folder / "journal.sqlite", "NORMAL")
        self._db.executescript(SCHEMA)

    def add(self, migration: Migration, request: MigrationRequest) -> None:
        """A new migration."""
        row = (migration.id, migration.started, _dump(request), _dump(migration))
        with self._lock:
            self._db.execute("INSERT INTO migrations (id, started, request, document) VALUES (?, ?, ?, ?)", row)

    def update(self, migration: Migration) -> None:
        """Its document, as it is now; durable when it has ended."""
        connection = self._quick if migration.finished is None else self._db
        self._set(connection, migration.id, document=_dump(migration), finished=migration.finished)

    def planned(self, migration_id: str, plan: Plan, specification: Specification) -> None:
        """What is going to be done, before anything is.

        Of the specification only what undoing and finishing need: environments and commands hold secrets.
        """
        kept = without_secrets(specification)
        self._set(self._db, migration_id, plan=_dump(plan), specification=_dump(kept))

    def touch(self, migration_id: str) -> bool:
        """Nodes are about to be touched; False when they were before (this is a second attempt)."""
        with self._lock:
            changed = self._db.execute(
                "UPDATE migrations SET touched = 1 WHERE id = ? AND touched = 0", (migration_id,)
            )
            return changed.rowcount == 1

    def touched(self, migration_id: str) -> bool:
        """Whether nodes may have been touched."""
        return bool(self._value(migration_id, "touched"))

    def decide(self, migration_id: str, decision: Decision, why: str) -> None:
        """The commit point. Durable when it returns; the same again changes nothing. Raises AlreadyDecided."""
        with self._lock:
            self._db.execute(
                "UPDATE migrations SET decision = ?, decided = ?, why = ? WHERE id = ? AND decision IS NULL",
                (decision.value, time.time(), why, migration_id),
            )
            if self.decision(migration_id) is not decision:
                raise AlreadyDecided(migration_id)

    def decision(self, migration_id: str) -> Decision | None:
        """What was decided, if anything."""
        found = self._value(migration_id, "decision")
        return Decision(found) if found else None

    def why(self, migration_id: str) -> str:
        """Why it was decided so; "" when nothing was."""
        return str(self._value(migration_id, "why") or "")

    def migration(self, migration_id: str) -> Migration:
        """Its document. Raises BadInput when there is none."""
        return decode(Migration, json.loads(self._value(migration_id, "document")))

    def request(self, migration_id: str) -> MigrationRequest:
        """What was asked for. Raises BadInput."""
        return decode(MigrationRequest, json.loads(self._value(migration_id, "request")))

    def order(self, migration_id: str) -> tuple[Plan, Specification] | None:
        """What was going to be done; None when it was not planned yet."""
        plan, specification = self._value(migration_id, "plan"), self._value(migration_id, "specification")
        if plan is None or specification is None:
            return None
        return decode(Plan, json.loads(plan)), decode(Specification, json.loads(specification))

    def all(self, limit: int = 1000) -> list[Migration]:
        """The newest first."""
        with self._lock:
            query = "SELECT document FROM migrations ORDER BY started DESC LIMIT ?"
            rows = self._db.execute(query, (limit,)).fetchall()
        return [decode(Migration, json.loads(row[0])) for row in rows]

    def running(self) -> list[Migration]:
        """Those that have not ended."""
        with self._lock:
            rows = self._db.execute("SELECT document FROM migrations WHERE finished IS NULL").fetchall()
        return [decode(Migration, json.loads(row[0])) for row in rows]

    def record(self, event: Event) -> dict[str, Any]:
        """Append to the recording and answer what it has now: the flat event and its number ``n`` there, from 0.

        It is in the file when this returns; when the disk is full, as soon as it is not any more.
        """
        with self._lock:
            file, number = self._files.get(event.migration) or self._open(event.migration)
            flat: dict[str, Any] = {**encode(event.flat()), "n": number}
            try:
                file.write(json.dumps(flat, separators=(",", ":")) + "\n")
            except OSError:  # it stays in the buffer: the migration must not fail for its recording
                log.exception("%s cannot be recorded", event.migration)
            self._files[event.migration] = (file, number + 1)
            if event.kind == "outcome":
                with contextlib.suppress(OSError):
                    self._files.pop(event.migration)[0].close()
        return flat

    def _open(self, migration_id: str) -> tuple[IO[str], int]:
        """A recording to append to, and the number of lines in it; a line that a crash has torn is given its end."""
        file = (self.recordings / f"{migration_id}.jsonl").open("a+", buffering=1)
        file.seek(0)
        before = file.read()
        if before and not before.endswith("\n"):
            file.write("\n")
        return file, len(_lines(before))

    def recording(self, migration_id: str) -> Iterator[dict[str, Any]]:
        """Its events so far, flat, in order; without a line that is just being written, or that a crash has torn."""
        path = self.recordings / f"{migration_id}.jsonl"
        if path.exists():
            for number, line in enumerate(_lines(path.read_text(errors="replace"))):
                with contextlib.suppress(ValueError):
                    yield {"n": number, **json.loads(line)}

    def concluded(self, migration_id: str) -> bool:
        """Whether the last event of its recording is the outcome."""
        path = self.recordings / f"{migration_id}.jsonl"
        if not path.exists():
            return False
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            last = (file.read().splitlines() or [b""])[-1]
        with contextlib.suppress(ValueError):  # a line that a crash has torn
            return bool(json.loads(last)["kind"] == "outcome")
        return False

    def reopen(self, migration: Migration) -> None:
        """It goes on, although it had ended: its recording's outcome becomes a line of the log."""
        with self._lock:
            path = self.recordings / f"{migration.id}.jsonl"
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            if lines and self.concluded(migration.id):
                last = json.loads(lines[-1])
                error = last["result"]["error"] or {}
                words = f"the outcome was {last['result']['outcome']}: {error.get('message', '')}"
                told = Event(last["t"], migration.id, "log", {"level": "warning", "message": words})
                lines[-1] = json.dumps({**encode(told.flat()), "n": len(lines) - 1}, separators=(",", ":"))
                fresh = path.with_suffix(".new")
                fresh.write_text("".join(f"{line}\n" for line in lines))
                fresh.replace(path)
            self._set(self._db, migration.id, document=_dump(migration), finished=None)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for file, _ in self._files.values():
                file.close()
            self._files.clear()
            self._quick.close()
            self._db.close()

    def _set(self, connection: sqlite3.Connection, migration_id: str, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        with self._lock:
            connection.execute(f"UPDATE migrations SET {names} WHERE id = ?", (*values.values(), migration_id))  # noqa: S608

    def _value(self, migration_id: str, column: str) -> Any:
        with self._lock:
            row = self._db.execute(f"SELECT {column} FROM migrations WHERE id = ?", (migration_id,)).fetchone()  # noqa: S608
        if row is None:
            raise BadInput(
                f"there is no migration {migration_id}", "`umsui migrations` lists them", code="unknown-migration"
            )
        return row[0]


def without_secrets(specification: Specification) -> Specification:
    """What may be written down of a specification."""
    parts = tuple(without_secrets(part) for part in specification.parts)
    kept = replace(specification, environment={}, entrypoint=(), command=(), labels={}, annotations={}, health={})
    return replace(kept, parts=parts)


def _connect(path: Path, synchronous: str) -> sqlite3.Connection:
    found = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    path.chmod(0o600)
    found.execute("PRAGMA journal_mode=WAL")
    found.execute(f"PRAGMA synchronous={synchronous}")
    return found


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _dump(value: Any) -> str:
    return json.dumps(encode(value), separators=(",", ":"))
