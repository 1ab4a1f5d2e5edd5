"""Copying through the terminal, so also over SSH: OSC 52, and what tmux and screen want around it."""

from __future__ import annotations

import base64
import os

LIMIT = 74_000
"""Bytes; xterm and others take no more of one OSC 52 sequence than some 100,000 characters."""


def sequences(text: str) -> list[str]:
    """What to write besides the plain OSC 52 that Textual writes."""
    plain = f"\x1b]52;c;{base64.b64encode(text.encode()[:LIMIT]).decode()}\x07"
    if os.environ.get("TMUX"):
        # tmux takes the plain one with set-clipboard on; this one goes through to the terminal outside of it.
        return ["\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"]
    if os.environ.get("STY"):
        pieces = [plain[start : start + 250] for start in range(0, len(plain), 250)]  # screen cuts long strings
        return [f"\x1bP{piece}\x1b\\" for piece in pieces]
    return []
