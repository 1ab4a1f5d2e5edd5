"""Lines of inked text: what widgets paint, before it becomes Textual's strips.

A run is a piece of text and its inks: names of component classes without their prefix, several joined by a space
("ok selected"). Nothing here knows of colours, so painting is pure and can be tested and compared.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

Run = tuple[str, str]
Line = list[Run]


def length(line: Line) -> int:
    """Cells taken."""
    return sum(cell_len(text) for text, _ in line)


def fit(text: str, width: int) -> str:
    """At most ``width`` cells, an ellipsis saying that something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def crop(line: Line, width: int) -> Line:
    """At most ``width`` cells."""
    out: Line = []
    for text, ink in line:
        need = cell_len(text)
        if need >= width:
            out.append((text if need == width else fit(text, width), ink))
            break
        out.append((text, ink))
        width -= need
    return out


def pad(line: Line, width: int, ink: str = "") -> Line:
    """Exactly ``width`` cells."""
    missing = width - length(line)
    if missing == 0:
        return line
    return [*line, (" " * missing, ink)] if missing > 0 else crop(line, width)


def merged(line: Line) -> Line:
    """Neighbours of the same ink as one run: each run costs its escape sequence."""
    out: Line = []
    for text, ink in line:
        if out and out[-1][1] == ink:
            out[-1] = (out[-1][0] + text, ink)
        elif text:
            out.append((text, ink))
    return out


def spread(left: Line, right: Line, width: int) -> Line:
    """One to the left, one to the right; the left one gives way."""
    room = width - length(right)
    if room <= 0:
        return crop(right, width)
    return [*pad(crop(left, room), room), *right]


def column(text: str, width: int, ink: str = "", *, right: bool = False) -> Run:
    """A cell of a table: fitted, padded, left- or right-aligned."""
    fitted = fit(text, width)
    space = " " * (width - cell_len(fitted))
    return (space + fitted if right else fitted + space, ink)


def inked(line: Line, ink: str) -> Line:
    """The same line with one ink more on every run."""
    return [(text, f"{own} {ink}" if own else ink) for text, own in line]


def wrap(text: str, width: int) -> list[str]:
    """Words on lines of at most ``width`` cells; a word that is too long is broken."""
    width = max(width, 8)  # before the first layout there is none
    lines: list[str] = []
    current = ""
    for word in text.split():
        rest = word
        while len(rest) > width:
            if current:
                lines.append(current)
                current = ""
            lines.append(rest[:width])
            rest = rest[width:]
        if current and len(current) + 1 + len(rest) > width:
            lines.append(current)
            current = rest
        else:
            current = f"{current} {rest}".strip()
    return [*lines, current] if current or not lines else lines


def bar(fraction: float, width: int, ink: str = "bar") -> Line:
    """A progress bar in eighths of a cell on a track that stays visible without colour."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    head = "━" * full + ("╸" if part >= 4 and full < width else "")
    return [(head, ink), ("─" * (width - len(head)), "track")]


def changed_span(old: Line, new: Line) -> tuple[int, int] | None:
    """Where two lines of equal width differ: first cell and number of cells, or None."""
    if old == new:
        return None
    before, after = _cells(old), _cells(new)
    if len(before) != len(after):
        return 0, max(len(before), len(after))
    first = 0
    while first < len(after) and before[first] == after[first]:
        first += 1
    if first == len(after):
        return None
    last = len(after) - 1
    while before[last] == after[last]:
        last -= 1
    return first, last - first + 1


def _cells(line: Line) -> list[Run]:
    """One entry a cell; a wide character counts twice."""
    out: list[Run] = []
    for text, ink in line:
        if text.isascii():
            out += [(character, ink) for character in text]
            continue
        for character in text:
            out.extend([(character, ink)] * cell_len(character))
    return out
