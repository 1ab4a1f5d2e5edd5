from __future__ import annotations

import pytest

from umsui.agent.passes import ROUNDS, until_little

MIB = 1 << 20


@pytest.mark.parametrize(
    ("moved", "made"),
    [
        ([64 * MIB, 4096], 2),  # hardly anything is written meanwhile
        ([64 * MIB, 8 * MIB, MIB, 0], 4),  # less each time
        ([64 * MIB, 60 * MIB, 50 * MIB], 2),  # it writes as fast as the wire carries
        ([(64 * MIB) >> n for n in range(7)] + [MIB // 2] * 9, 9),  # it comes to what a pass alone lets it write
        ([int(1e12 * 0.7**n) for n in range(40)], ROUNDS),
    ],
)
def test_passes_end_when_another_would_not_help(moved: list[int], made: int) -> None:
    left = iter(moved)
    assert until_little(lambda: next(left)) == moved[made - 1]
    assert len(list(left)) == len(moved) - made
