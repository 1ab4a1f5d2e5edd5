"""Sets of addresses as sorted, disjoint ranges; each range remembers where it came from."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Iterable, List, NamedTuple, Optional

ANYWHERE = 1 << 64


class Range(NamedTuple):
    """``[start, end)``, which was at ``origin`` when it was checkpointed."""

    start: int
    end: int
    origin: int

    def part(self, start: int, end: int) -> Range:
        """What of it is in ``[start, end)``."""
        start, end = max(start, self.start), min(end, self.end)
        return Range(start, end, self.origin + start - self.start)


class Ranges:
    """Ranges of one address space. Looking up and cutting take O(log n) and a move of the list's tail."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self.all: List[Range] = sorted(ranges)

    def __bool__(self) -> bool:
        return bool(self.all)

    def copy(self) -> Ranges:
        """An independent copy."""
        return Ranges(self.all)

    def at(self, address: int) -> Optional[Range]:
        """The range that ``address`` is in."""
        index = bisect_right(self.all, Range(address, ANYWHERE, ANYWHERE)) - 1
        found = self.all[index] if index >= 0 else None
        return found if found is not None and address < found.end else None

    def within(self, start: int, end: int) -> List[Range]:
        """The parts of ranges that are in ``[start, end)``."""
        return [found.part(start, end) for found in self.all[self._slice(start, end)]]

    def cut(self, start: int, end: int) -> List[Range]:
        """Take ``[start, end)`` out; answers the parts that were there."""
        where = self._slice(start, end)
        hit = self.all[where]
        if hit:
            rest = [hit[0].part(hit[0].start, start), hit[-1].part(end, hit[-1].end)]
            self.all[where] = [each for each in rest if each.start < each.end]
        return [found.part(start, end) for found in hit]

    def _slice(self, start: int, end: int) -> slice:
        first = bisect_right(self.all, Range(start, ANYWHERE, ANYWHERE)) - 1
        if first < 0 or self.all[first].end <= start:
            first += 1
        return slice(first, max(first, bisect_right(self.all, Range(end - 1, ANYWHERE, ANYWHERE))))

    def add(self, fresh: Range) -> None:
        """Add a range that touches none of these."""
        insort(self.all, fresh)

    def move(self, start: int, to: int, length: int) -> None:
        """What was at ``start`` is at ``to`` now (mremap); where it came from stays the same."""
        for found in self.cut(start, start + length):
            self.add(Range(found.start - start + to, found.end - start + to, found.origin))

    def of_origin(self, start: int, end: int) -> List[Range]:
        """The parts that came from ``[start, end)``, wherever they are now."""
        return [
            each.part(each.start + max(0, start - each.origin), each.start + end - each.origin)
            for each in self.all
            if each.origin < end and start < each.origin + each.end - each.start
        ]
