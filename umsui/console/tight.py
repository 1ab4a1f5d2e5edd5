"""Updates cropped to the cells that changed. Textual sends a changed span from the beginning of its widget on, and a
style's whole escape sequence with each piece; over SSH that is most of what is sent."""

from __future__ import annotations

from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual._compositor import ChopsUpdate

RESET = "\x1b[0m"


@lru_cache(maxsize=1024)
def _begin(style: Style, colors: ColorSystem | None) -> str:
    """The escape sequence that begins a style."""
    return style.render("\0", color_system=colors).partition("\0")[0]


class TightUpdate(ChopsUpdate):
    """The same update; each span costs only its own cells, a style is named only where it changes."""

    @classmethod
    def of(cls, update: ChopsUpdate) -> TightUpdate:
        """From Textual's."""
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        """Data for the terminal."""
        colors = ColorSystem[console.color_system.upper()] if console.color_system else None
        out: list[str] = []
        current = ""
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                left, right = max(x, x1), min(end, x2)
                out.append(Control.move_to(left, y).segment.text)
                for text, style, _ in strip if (left, right) == (x, end) else strip.crop(left - x, right - x):
                    begin = _begin(style, colors) if style else ""
                    if begin != current:
                        out.append(RESET + begin if current else begin)
                        current = begin
                    out.append(text)
        if current:
            out.append(RESET)
        return "".join(out)
