"""What somebody does to a container behind a migration's back is noticed here, by its engine's own account of it."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

from umsui.agent.engine import Engine
from umsui.agent.host import Folder, Trouble, alive

ENDING = (2, 3, 9, 15)  # INT, QUIT, KILL, TERM: what engines end a container with, and people, too


def look(folder: Folder, engine: Engine, container: str, what: str) -> Dict[str, str]:
    """Compare a container with how it was at the first look. ``what`` it is, in words. Raises Trouble ("changed")."""
    before: Optional[Dict[str, str]] = folder.state().get("watched")
    if before is None:
        first = identity(engine, container)
        folder.note(watched=first)
        return first
    try:
        now = identity(engine, before["id"])
    except Trouble as trouble:
        if trouble.code == "timed-out":  # the engine holds it for something that is under way
            return before
        raise changed(f"{what} was removed") from trouble
    if now["name"] != before["name"]:
        raise changed(f"{what} was renamed to {now['name']}")
    if now["status"] != before["status"]:
        raise changed(f"{what} was {before['status']} and is {now['status']} now")
    if now["pid"] != before["pid"]:
        raise changed(f"{what} was started anew")
    return now


def identity(engine: Engine, container: str) -> Dict[str, str]:
    """A container's id, name, status and process. Raises Trouble when it is not there."""
    form = "{{.Id}}|{{.Name}}|{{.State.Status}}|{{.State.Pid}}"
    words = engine.ask("container", "inspect", "--format", form, container, timeout=10.0, code="no-such-service")
    return dict(zip(("id", "name", "status", "pid"), words.strip().split("|")))  # noqa: B905 - Python 3.9


def changed(words: str) -> Trouble:
    """What to say of it."""
    return Trouble("changed", f"{words} while it was being moved", "find out who did that, then move it again")


def refuse_ended(pids: List[int]) -> None:
    """While it stands still: whether somebody has told one of its processes to end. Raises Trouble."""
    for pid in pids:
        if not alive(pid):
            raise changed(f"process {pid} of the service was ended")
        asked = sorted(_pending(pid).intersection(ENDING))
        if asked:
            raise changed(f"process {pid} of the service was sent signal {asked[0]}")


def _pending(pid: int) -> "set[int]":
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {9}  # it has just ended
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return {number for number in ENDING for mask in masks if mask & (1 << (number - 1))}
