"""How often memory that is being written is passed over before its service stands still."""

from __future__ import annotations

from typing import Callable

ROUNDS = 12  # passes at most
FEW = 256 << 10  # bytes; a pass that moved less than this is the last one
GAIN = 0.8  # a pass that moved more than this share of the one before does not converge


def until_little(once: Callable[[], int]) -> int:
    """Pass after pass: until one moves little, or hardly less than the one before.

    ``once`` makes a pass and answers the bytes that it moved. Answers those of the last.
    """
    before = 0
    for _ in range(ROUNDS):
        moved = once()
        if moved < FEW or (before and moved > GAIN * before):
            break
        before = moved
    return moved
