"""A process that is borrowed while signals come for it: nothing of it is lost, and it goes on."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from umsui.agent import userfault
from umsui.agent.host import alive

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not userfault.can_track(), reason="needs root and Linux 6.7 on x86-64"
)
FORKS = 'n=0; while :; do n=$((n+1)); (:); echo $n > "$0"; done'  # a SIGCHLD for each


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


def test_one_that_is_just_beginning_or_ending_is_no_failure() -> None:
    borrowed, missed, failed = 0, 0, []
    with subprocess.Popen(["sh", "-c", "while :; do /bin/true; done"]) as shell:
        children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
        try:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for pid in map(int, children.read_text().split()):
                    try:
                        os.close(userfault.userfaultfd_of(pid))
                        borrowed += 1
                    except OSError as error:
                        missed += 1
                        if alive(pid) and not isinstance(error, (ProcessLookupError, FileNotFoundError)):
                            failed.append(error)
        finally:
            shell.kill()
    print(f"{borrowed} were borrowed, {missed} had ended or become another program")
    assert borrowed
    assert not failed
