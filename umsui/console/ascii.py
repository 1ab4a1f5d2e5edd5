"""Everything in ASCII, for terminals whose locale is not UTF-8: one filter over all that is drawn."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from umsui.console import words

_SIGNS = {
    "●": "*", "○": "o", "◌": "~", "◍": "%", "◔": "c", "◐": ">", "✓": "+", "✕": "x", "⊘": "!", "⊗": "X", "⚠": "!",
    "⇄": "=", "↺": "<", "■": "#", "‖": "=", "▲": "^", "▼": "v", "◆": "#", "▌": "|", "▾": "v", "▴": "^",
    "→": ">", "←": "<", "↑": "^", "↓": "v", "·": ".", "—": "-", "»": ">", words.DASH.strip(): "-", words.MINUS: "-",
    "…": ".", "□": "_",
    "≤": "<", "≈": "~", "┄": ":", "•": "*",
    "█": "#", "▓": "%", "▒": "=", "░": ":", "━": "=", "╸": "-", "▁": "_", "▂": "_", "▃": "-", "▄": "-", "▅": "=",
    "▆": "=", "▇": "#", "▔": "-", "▕": "|", "▎": "|", "▍": "|", "▐": "|", "▀": "-", "▊": "|", "▉": "|", "▏": "|",
    "⠿": ":", "▶": ">", "▸": ">", "╂": "|", "┼": "|",
}  # fmt: skip
_ROUND = dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╞╡", "+") | dict.fromkeys("│┃║╎", "|") | dict.fromkeys("─═╌", "-")
_BRAILLE = {chr(0x2800 + bits): " .:|#"[min((bits.bit_count() + 1) // 2, 4)] for bits in range(256)}
TABLE = str.maketrans(_SIGNS | _ROUND | _BRAILLE)


def plain(text: str) -> str:
    """The same number of cells in ASCII."""
    text = text.translate(TABLE)
    return text if text.isascii() else "".join(c if c.isascii() else "?" for c in text)


class AsciiFilter(LineFilter):
    """Translates every segment."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Textual's hook."""
        return [Segment(plain(text), style, control) for text, style, control in segments]
