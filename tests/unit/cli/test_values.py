from __future__ import annotations

import contextlib

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui.cli.values import DURATION, RATE


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100mbit", 12.5e6),
        ("100Mbit/s", 12.5e6),
        ("1gbit", 125e6),
        ("1Gbps", 125e6),
        ("12MB/s", 12e6),
        ("12 MiB/s", 12 * 2**20),
        ("8Mb/s", 1e6),
        ("1.5kB/s", 1500),
        ("800bit", 100),
    ],
)
def test_rates(text: str, rate: float) -> None:
    assert RATE.convert(text, None, None) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "fast", "100", "-1mbit", "1mbit2", "mbit", "0mbit", "1MB", "nanbit", "1e3mbit"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(click.BadParameter):
        RATE.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.2", 0.2), (".5", 0.5), ("200ms", 0.2), ("5s", 5), ("2 min", 120), ("1h", 3600), ("3m", 180)],
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "-1", "soon", "1d", "inf", "nan", "9" * 400])
def test_bad_durations(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)


@given(st.text(max_size=12))
def test_law_a_value_or_a_named_error(text: str) -> None:
    for kind in (RATE, DURATION):
        with contextlib.suppress(click.BadParameter):
            assert kind.convert(text, None, None) > 0
