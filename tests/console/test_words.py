"""Numbers, lines and differences: what everything on screen is made of."""

from __future__ import annotations

import pytest

from umsui.console import words
from umsui.console.ascii import plain
from umsui.console.text import changed_span, crop, fit, length, pad, spread, wrap
from umsui.model import Estimate


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "—"), (0, "0 ms"), (0.0004, "<1 ms"), (0.118, "118 ms"), (0.9999, "1.00 s"), (2.81, "2.81 s"),
        (9.999, "10.0 s"), (41.26, "41.3 s"), (185, "3 m 05 s"), (7380, "2 h 03 m"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KiB"),
        (9 * 2**20, "9.0 MiB"),
        (64 * 2**20, "64 MiB"),
        (1234 * 2**20, "1.2 GiB"),
    ],
)
def test_size(count: int, said: str) -> None:
    assert words.size(count) == said


def test_parts_and_spans() -> None:
    assert words.part(301 * 2**20, 318 * 2**20) == "301 of 318 MiB"
    assert words.part(0, 64 * 2**20) == "0 B of 64 MiB"
    assert words.span(Estimate(0.08, 0.12, 0.21)) == "80\u2013210 ms"
    assert words.span(Estimate(2.9, 3.4, 4.4)) == "2.9\u20134.4 s"
    assert words.age(41.9) == "40 s"
    assert words.age(7300) == "2 h"


def test_lines_keep_their_width() -> None:
    line = [("service", "name"), (" up", "ok")]
    assert length(pad(line, 20)) == 20
    assert length(pad(line, 4)) == 4
    assert crop(line, 8) == [("service", "name"), ("…", "ok")]
    assert length(spread(line, [("312 MiB", "")], 14)) == 14
    assert fit("checkout", 5) == "chec…"
    assert fit("checkout", 0) == ""


def test_wrap_never_exceeds_nor_hangs() -> None:
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("", 20) == [""]
    assert all(len(piece) <= 8 for piece in wrap("x" * 50 + " and more", 8))
    assert wrap("before the first layout", 0)


def test_only_what_differs_is_repainted() -> None:
    was = [("12:00:0", "dim"), ("1", "dim")]
    assert changed_span(was, [("12:00:01", "dim")]) is None
    assert changed_span(was, [("12:00:02", "dim")]) == (7, 1)
    assert changed_span(was, [("12:00:01", "ok")]) == (0, 8)


def test_ascii_keeps_every_cell() -> None:
    sample = "● up ⇄ 64 % ├── 118 ms ──┤ ⣀⣄ ░░ 80\u2013210 ms …"
    assert plain(sample).isascii()
    assert len(plain(sample)) == len(sample)
