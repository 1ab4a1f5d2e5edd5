"""Pictures of screens, cell for cell, as text files that can be read and compared: what is written, and in each theme
in which colours. One file a screen and size, in ``pictures/``. ``pytest --snapshot-update`` writes them anew."""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.style import Style
from textual.pilot import Pilot

from tests.console.conftest import text_of
from tests.console.fake import FakeFeed, StillClock
from umsui.console.app import Console
from umsui.console.ascii import AsciiFilter

FOLDER = Path(__file__).parent / "pictures"
SIZES = [(80, 24), (120, 36), (200, 50)]
THEMES = ("dark", "light", "high-contrast")
LETTERS = string.ascii_letters + string.punctuation
Steps = Callable[[Pilot[None], FakeFeed], Awaitable[None]]


def described(style: Style | None) -> str:
    """Colours and attributes, as far as they are seen."""
    if style is None:
        return "-"
    words = [name for name in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, name)]
    front, back = (colour.name if colour else "default" for colour in (style.color, style.bgcolor))
    return f"{front} on {back} {' '.join(words)}".strip()


def colours_of(pilot: Pilot[None]) -> str:
    """Runs of styles, a line each, and what the letters stand for."""
    known: dict[str, str] = {}
    lines = []
    for strip in pilot.app.screen._compositor.render_strips():
        runs: list[tuple[int, str]] = []
        for segment in strip:
            name = described(segment.style)
            letter = known.setdefault(name, LETTERS[len(known)])
            if runs and runs[-1][1] == letter:
                runs[-1] = (runs[-1][0] + segment.cell_length, letter)
            else:
                runs.append((segment.cell_length, letter))
        lines.append(" ".join(f"{count}{letter}" for count, letter in runs))
    legend = [f"{letter} = {name}" for name, letter in known.items()]
    return "\n".join([*lines, *legend])


async def taken(steps: Steps, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> str:
    """One screen in all its looks."""
    clock = StillClock()
    parts: list[tuple[str, str]] = []

    async def look(names: tuple[str, ...], *, ascii_too: bool) -> None:
        feed = FakeFeed(clock)
        feed.past(1)
        app = Console(feed, clock=clock)
        async with app.run_test(size=size) as pilot:
            await steps(pilot, feed)
            parts.append(("text", text_of(pilot)))
            for name in names:
                if app.theme != name:
                    app.theme = name
                    await pilot.pause()
                parts.append((name, colours_of(pilot)))
            if ascii_too:
                app._ascii = AsciiFilter()  # as ``ascii_only`` sets it before the first paint
                app.theme = names[0]  # everything is painted again
                await pilot.pause()
                parts.append(("ASCII", text_of(pilot)))

    await look(THEMES, ascii_too=True)
    monkeypatch.setenv("NO_COLOR", "1")
    await look(("mono",), ascii_too=False)
    monkeypatch.delenv("NO_COLOR")
    (_, text), *colours, (_, plain), (_, uncoloured), (_, mono) = parts
    assert uncoloured.splitlines() == text.splitlines(), f"{text}\n\n{uncoloured}"
    assert plain.isascii()
    assert "#" not in mono.replace("# =", ""), "a colour in spite of NO_COLOR"
    parts = [("text", text), *colours, ("NO_COLOR", mono), ("ASCII", plain)]
    return "\n".join(f"== {name}\n{content}" for name, content in parts) + "\n"


ATTEMPTS = 3
"""A picture is taken while the screen still settles when the machine is very busy; one that is wrong stays wrong."""


async def check(
    name: str, steps: Steps, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, update: bool
) -> None:
    """Take the picture, and compare it with the one that is kept."""
    name = f"{name}-{size[0]}x{size[1]}"
    for _ in range(ATTEMPTS):
        picture = await taken(steps, size, monkeypatch)
        if update or (FOLDER / f"{name}.txt").read_text(encoding="utf-8") == picture:
            break
    compare(name, picture, update=update)


def compare(name: str, picture: str, *, update: bool) -> None:
    """With the one that is kept."""
    path = FOLDER / f"{name}.txt"
    if update:
        FOLDER.mkdir(exist_ok=True)
        path.write_text(picture, encoding="utf-8")
        return
    assert path.exists(), f"no picture {path.name}: pytest --snapshot-update makes it"
    kept = path.read_text(encoding="utf-8")
    if picture != kept:
        path.with_suffix(".new").write_text(picture, encoding="utf-8")
    assert picture.splitlines() == kept.splitlines(), f"{path.name} looks different; see {path.stem}.new"
