"""``python -m umsui.coordinator``: the process. One a user; a second start sees the first and ends."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from pathlib import Path
from typing import IO

import uvicorn

from umsui import config, locations
from umsui.coordinator.bus import Bus
from umsui.coordinator.engine import Engine
from umsui.coordinator.journal import Journal
from umsui.coordinator.server import application
from umsui.errors import UmsuiError


def main() -> int:
    """Run until told to stop; the exit code."""
    try:
        settings = config.load()
        runtime, data = locations.ensure(locations.runtime_dir()), locations.ensure(locations.data_dir())
    except UmsuiError as error:
        sys.stderr.write(f"error: {error.message}\n  fix: {error.fix}\n")
        return error.exit.value
    lock = take_lock(runtime / "coordinator.lock")
    if lock is None:
        return 0  # another one runs, or is just starting
    listener = listen(locations.coordinator_socket())
    pid_file = locations.coordinator_pid_file()
    pid_file.write_text(str(os.getpid()))
    journal, bus = Journal(data), Bus()
    engine = Engine(settings, journal, bus)
    engine.start(data)
    try:
        serve(engine, listener)
    finally:
        locations.coordinator_socket().unlink(missing_ok=True)
        pid_file.unlink(missing_ok=True)
        engine.stop()
        journal.close()
    return 0


def serve(engine: Engine, listener: socket.socket) -> None:
    """Answer until told to stop; streams that are open then are cut."""
    api = application(engine, lambda: os.kill(os.getpid(), signal.SIGTERM))
    options = uvicorn.Config(api, log_level="warning", timeout_graceful_shutdown=1, lifespan="on")
    server = uvicorn.Server(options)
    for each in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises what has ended it once more, when it is done: that must not kill us before we have tidied up
        signal.signal(each, server.handle_exit)
    server.run(sockets=[listener])


def take_lock(path: Path) -> IO[str] | None:
    """The lock that makes this the only coordinator here; None when another holds it."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def listen(path: Path) -> socket.socket:
    """The socket, for this user only; one that a dead coordinator left is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


if __name__ == "__main__":
    os._exit(main())  # DBOS's and paramiko's threads need not be waited for: all that counts is in the journal
