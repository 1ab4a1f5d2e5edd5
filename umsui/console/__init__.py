"""The console: a view of the coordinator's API in a terminal. ``run`` opens it; it may be closed at any time."""

from __future__ import annotations

import gc
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


def remote() -> None:
    """Over a slow line fewer frames and no animation: Textual reads these when it is imported."""
    if os.environ.get("SSH_CONNECTION"):
        os.environ.setdefault("TEXTUAL_FPS", "15")
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")


def run(start: str | None = None, *, replay: float | None = None, theme: str | None = None, mouse: bool = True) -> int:
    """Open the console, on the board or on the migration whose id is ``start``; the exit code when it closes.

    With ``replay`` that migration's recording is played, so many times as fast. ``theme`` and ``mouse`` go before what
    the config says; what is wrong with either is said on screen.
    """
    gc.disable()  # its pauses would be a seventh of the start; the app turns it on again
    remote()
    from umsui.console.app import Console  # noqa: PLC0415  (Textual is imported only when it is needed)
    from umsui.console.link import CoordinatorFeed  # noqa: PLC0415
    from umsui.console.settings import load  # noqa: PLC0415

    locale.setlocale(locale.LC_CTYPE, "")
    settings = load()
    if theme is not None:
        settings.theme = theme
    settings.mouse = settings.mouse and mouse
    console = Console(CoordinatorFeed(), start=start, replay=replay, ascii_only=not speaks_utf8(), settings=settings)
    console.run(mouse=settings.mouse)
    return console.return_code or 0
