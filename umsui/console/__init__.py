"""The console: a view of the coordinator's API in a terminal. ``run`` opens it; it may be closed at any time."""

from __future__ import annotations

import locale
import os
import sys

__all__ = ["run", "usable_terminal"]


def usable_terminal() -> bool:
    """Whether a full-screen console makes sense here; where not, the CLI prints a table."""
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        return False
    return sys.stdin.isatty() and sys.stdout.isatty()


def speaks_utf8() -> bool:
    """Whether the terminal's locale is UTF-8; if not, everything is drawn in ASCII."""
    try:
        encoding = locale.nl_langinfo(locale.CODESET)
    except AttributeError:
        encoding = sys.stdout.encoding or ""
    return encoding.lower().replace("-", "") == "utf8"


def run(start: str | None = None) -> int:
    """Open the console, on the board or on the migration whose id is ``start``; the exit code when it closes."""
    if os.environ.get("SSH_CONNECTION"):
        # Over a slow line fewer frames and no animation: Textual reads these when it is imported.
        os.environ.setdefault("TEXTUAL_FPS", "15")
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from umsui.console.app import Console  # noqa: PLC0415  (Textual is imported only when it is needed)
    from umsui.console.link import CoordinatorFeed  # noqa: PLC0415

    locale.setlocale(locale.LC_CTYPE, "")
    console = Console(CoordinatorFeed(), start=start, ascii_only=not speaks_utf8())
    console.run()
    return console.return_code or 0
