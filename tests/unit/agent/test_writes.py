"""How fast a process writes its memory, estimated by looking twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui.agent import userfault, writes
from umsui.agent.userfault import PAGE
from umsui.agent.writes import Sample, chosen

needs_scan = pytest.mark.skipif(
    os.geteuid() != 0 or not userfault.can_track(), reason="needs root and a kernel that tracks writes (Linux 6.7)"
)
MIB = 1 << 20

# Holds 64 MiB of random bytes and writes a number into each page of its first WORDS[1] MiB, round after round.
WRITER = """
import mmap, os, sys, time
memory, part = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), int(sys.argv[1]) << 20
memory.write(os.urandom(64 << 20))
print(flush=True)
value = 0
while True:
    value += 1
    for at in range(0, part, 4096):
        memory[at : at + 8] = value.to_bytes(8, "little")
    time.sleep(0.001 if part else 1)
"""


@pytest.fixture(params=[0, 16, 64])
def writer(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    argv = [sys.executable, "-c", WRITER, str(request.param)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid, request.param
        process.kill()


@needs_scan
def test_what_is_written_between_two_looks_is_found(writer: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is written again and again counts once: so many bytes in the time between the looks."""
    pid, mib = writer
    monkeypatch.setattr(writes, "LEAST", 0.5)
    found = Sample([pid]).rate()
    assert found is not None
    assert found * 0.5 <= 1.25 * mib * MIB + MIB  # what CPython itself writes is within the second term
    assert found * 1.5 >= 0.75 * mib * MIB


@needs_scan
def test_of_nothing_there_is_no_rate() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        assert Sample([process.pid]).rate() is None
    assert Sample([]).rate() is None


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1 << 30), st.integers(0, 3000)), max_size=6))
def test_law_pages_are_chosen_once_each_and_of_what_there_is(given_runs: list[tuple[int, int, int]]) -> None:
    runs = [(pid, first * PAGE, (first + count) * PAGE) for pid, first, count in given_runs]
    whole = sum(count for _, _, count in given_runs)
    found = chosen(runs, whole)
    assert len(found) == min(whole, writes.PAGES)
    for pid, at in found:
        assert any(pid == each and start <= at < end and at % PAGE == 0 for each, start, end in runs)
    for run in runs:  # none more often than there are pages
        inside = [at for pid, at in found if pid == run[0] and run[1] <= at < run[2]]
        assert len(inside) <= sum((end - start) // PAGE for pid, start, end in runs if pid == run[0])
