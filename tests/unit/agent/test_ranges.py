"""Ranges against the plainest model of them: a dictionary from address to origin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from umsui.agent.ranges import Range, Ranges

SPACE = 64
Model = dict[int, int]


def model_of(ranges: Ranges) -> Model:
    found: Model = {}
    for each in ranges.all:
        for at in range(each.start, each.end):
            assert at not in found, "ranges overlap"
            found[at] = each.origin + at - each.start
    return found


@st.composite
def disjoint(draw: st.DrawFn) -> Ranges:
    edges = sorted(draw(st.sets(st.integers(0, SPACE), max_size=12)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return Ranges(Range(start, end, start + draw(st.integers(0, 3)) * 1000) for start, end in pairs)


span = st.tuples(st.integers(0, SPACE - 1), st.integers(1, SPACE)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(disjoint(), span)
def test_cut_takes_out_exactly_the_span(ranges: Ranges, where: tuple[int, int]) -> None:
    before = model_of(ranges)
    assert model_of(Ranges(ranges.within(*where))) == {a: o for a, o in before.items() if where[0] <= a < where[1]}
    taken = ranges.cut(*where)
    assert model_of(Ranges(taken)) == {a: o for a, o in before.items() if where[0] <= a < where[1]}
    assert model_of(ranges) == {a: o for a, o in before.items() if not where[0] <= a < where[1]}


@given(disjoint(), st.integers(0, SPACE))
def test_at_finds_what_is_there(ranges: Ranges, address: int) -> None:
    found = ranges.at(address)
    expected = model_of(ranges).get(address)
    assert (found and found.part(address, address + 1).origin) == expected


@given(disjoint(), span)
def test_what_came_from_somewhere_is_found_again_after_a_move(ranges: Ranges, where: tuple[int, int]) -> None:
    before = model_of(ranges)
    ranges.move(where[0], where[0] + 10 * SPACE, where[1] - where[0])
    shifted = {(a + 10 * SPACE if where[0] <= a < where[1] else a): o for a, o in before.items()}
    assert model_of(ranges) == shifted
    assert model_of(Ranges(ranges.of_origin(1000, 1000 + SPACE))) == {
        a: o for a, o in shifted.items() if 1000 <= o < 1000 + SPACE
    }
