"""What is sent is less, and what is seen the same."""

from __future__ import annotations

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st

from umsui.console.lean import BEGIN, END, Lean, change

WIDTH, HEIGHT = 12, 4
STYLES = ("", "1", "31", "1;31", "38;2;1;2;3", "38;2;1;2;3;48;2;9;9;9", "1;38;5;200;48;5;17", "4;7")
SPANS = st.lists(
    st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.sampled_from(STYLES),
              st.text("ab ─●漢e\N{COMBINING ACUTE ACCENT}", max_size=WIDTH)),
    max_size=12,
)  # fmt: skip


def written(spans: list[tuple[int, int, str, str]]) -> str:
    """Spans as Textual writes them, inside of the screen."""
    out = []
    for x, y, style, text in spans:
        fits = ""
        for character in text:
            if (fits or character != "\N{COMBINING ACUTE ACCENT}") and len(
                (fits + character).replace("漢", "xx")
            ) <= WIDTH - x:
                fits += character
        out.append(f"\x1b[{y + 1};{x + 1}H" + (f"\x1b[{style}m{fits}\x1b[0m" if style else fits))
    return "".join(out)


def terminal() -> tuple[pyte.Screen, pyte.Stream]:
    screen = pyte.Screen(WIDTH, HEIGHT)
    screen.reset_mode(pyte.modes.DECAWM)
    return screen, pyte.Stream(screen)


@settings(max_examples=150, deadline=None)
@given(st.lists(SPANS, min_size=1, max_size=5))
def test_the_screen_is_the_same(frames: list[list[tuple[int, int, str, str]]]) -> None:
    """Whatever is painted over whatever (halves of wide characters apart: terminals differ there)."""
    lean = Lean(WIDTH, HEIGHT)
    plain, plain_stream = terminal()
    lean_screen, lean_stream = terminal()
    clear = written([(0, y, "", " " * WIDTH) for y in range(HEIGHT)])
    for spans in frames:
        # Each frame paints all of the screen first: otherwise half a wide character might stay.
        data = clear + written(spans[:1])
        plain_stream.feed(data)
        lean_stream.feed(lean.reduce(data))
        assert lean_screen.display == plain.display
        for y in range(HEIGHT):
            for x in range(WIDTH):
                assert lean_screen.buffer[y][x] == plain.buffer[y][x]


def test_what_is_there_is_not_sent_again() -> None:
    lean = Lean(20, 2)
    assert lean.reduce("\x1b[1;1H\x1b[1mhello\x1b[0m world") != ""
    assert lean.reduce("\x1b[1;1H\x1b[1mhello\x1b[0m world") == ""
    assert lean.reduce("\x1b[1;1H\x1b[1mhellO\x1b[0m world") == "\x1b[1;5H\x1b[1mO"
    assert lean.reduce("\x1b[1;7HWorlD") == "\x1b[C\x1b[0mWorlD"
    lean.forget()
    assert "hell" in lean.reduce("\x1b[1;1H\x1b[1mhellO")


def test_an_update_in_which_nothing_changes_is_none() -> None:
    lean = Lean(20, 2)
    lean.reduce("\x1b[1;1Hhello")
    assert lean.reduce(BEGIN) + lean.reduce("\x1b[1;1Hhello") + lean.reduce(END) == ""
    assert lean.reduce(BEGIN) + lean.reduce("\x1b[1;1Hhallo") + lean.reduce(END) == f"{BEGIN}\x1b[1;2Ha{END}"


def test_what_changes_no_cell_passes() -> None:
    lean = Lean(20, 2)
    for sequence in ("\x1b[?25l", "\x1b[>1u", "\x1b]52;c;aGk=\x07", "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"):
        assert lean.reduce(sequence) == sequence


def test_styles_change_by_what_differs() -> None:
    assert change("1;38;2;1;2;3", "1;38;2;4;5;6") == "\x1b[38;2;4;5;6m"
    assert change("38;2;1;2;3;48;2;9;9;9", "38;2;1;2;3") == "\x1b[49m"
    assert change("1;31", "31") == "\x1b[0;31m"
    assert change("31", "") == "\x1b[0m"
    assert change(None, "31") == "\x1b[0;31m"
