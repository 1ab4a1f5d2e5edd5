"""The first process of an outer container: it stands for the service nested in it towards the orchestrator.

It starts the service with its own output, hands signals on, reaps, and ends with the service's exit code; ports and
limits are the outer container's own. At a destination it finds the mark of a passive start (or makes it, told so by a
variable), starts nothing, and waits: the agent's restore makes the service a child of this process, and the commit
takes the mark away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import List, Optional

from umsui.agent import nested
from umsui.agent.host import Trouble

NOT_OURS = {signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE, signal.SIGURG}


def main(command: List[str]) -> int:
    """Be process 1 of an outer container; the exit code of the service."""
    try:
        nested.prepare()
        nested.describe(command)
        if not nested.PASSIVE.exists():
            code = nested.start()
            if code:
                return code
    except Trouble as trouble:
        sys.stderr.write(f"umsui: {trouble.message}{f'; {trouble.fix}' if trouble.fix else ''}\n")
        return 125  # docker's and podman's code for what went wrong before the command
    return watch()


def watch() -> int:
    """Hand signals on until the service ends, and answer its exit code."""
    signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    while True:
        code = reap()
        if code is not None:
            return code
        received = signal.sigwait(signals)
        if received in NOT_OURS:
            continue
        service = None if nested.LEAVING.exists() else nested.pid()
        if service is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended: SIGCHLD is next
                os.kill(service, received)
        elif received in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            return 128 + received


def reap() -> Optional[int]:
    """Collect what has ended; the exit code when the service was among it and is to end here."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        if pid == nested.pid() and not nested.LEAVING.exists():
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
