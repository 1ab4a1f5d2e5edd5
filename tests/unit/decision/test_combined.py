"""Several containers as one situation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from umsui.decision.combined import combined

from .world import FACTS, MIB, SPEC, case


@pytest.mark.parametrize(
    ("rates", "whole"),
    [((1.0 * MIB, 2.0 * MIB), 3.0 * MIB), ((0.0, 5.0), 5.0), ((None, 5.0), None), ((None, None), None)],
)
def test_what_its_parts_write_is_what_it_writes(rates: tuple[float | None, ...], whole: float | None) -> None:
    """Unknown of one is unknown of all: a part of it would be taken for the whole."""
    parts = [case(facts=replace(FACTS, dirty_rate=rate)) for rate in rates]
    assert combined(parts[0].service, SPEC, parts).facts.dirty_rate == whole


def test_one_in_a_user_namespace_is_enough() -> None:
    parts = [case(facts=replace(FACTS, user_ns=inside)) for inside in (False, True)]
    assert combined(parts[0].service, SPEC, parts).facts.user_ns
    assert not combined(parts[0].service, SPEC, parts[:1]).facts.user_ns
