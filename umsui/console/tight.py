"""Updates cropped at both ends. Textual sends a changed span from the beginning of its widget on; over SSH, and for a
clock's last digit, that is most of what is sent."""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class TightUpdate(ChopsUpdate):
    """The same update; each span costs only its own cells."""

    @classmethod
    def of(cls, update: ChopsUpdate) -> TightUpdate:
        """From Textual's."""
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        """Data for the terminal."""
        out: list[str] = []
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                left, right = max(x, x1), min(end, x2)
                part = strip if (left, right) == (x, end) else strip.crop(left - x, right - x)
                out += (Control.move_to(left, y).segment.text, part.render(console))
        return "".join(out)
