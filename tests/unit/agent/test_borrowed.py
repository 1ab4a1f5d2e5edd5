"""A process that is borrowed while signals come for it: nothing of it is lost, and it goes on."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from umsui.agent import userfault

FORKS = 'n=0; while :; do n=$((n+1)); (:); echo $n > "$0"; done'  # a SIGCHLD for each


@pytest.mark.skipif(os.geteuid() != 0 or not userfault.can_track(), reason="needs root and Linux 6.7 on x86-64")
def test_signals_that_come_meanwhile(tmp_path: Path) -> None:
    count = tmp_path / "count"

    def counted() -> int:
        return int(count.read_text() or 0) if count.exists() else 0

    with subprocess.Popen(["sh", "-c", FORKS, str(count)]) as process:
        try:
            end = time.monotonic() + 20
            while counted() < 5:
                assert time.monotonic() < end
                time.sleep(0.01)
            for _ in range(200):
                os.close(userfault.userfaultfd_of(process.pid))
            seen = counted()
            while counted() <= seen:
                assert time.monotonic() < end + 60, "it does not go on"
                time.sleep(0.01)
        finally:
            process.kill()
