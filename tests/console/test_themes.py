"""Themes: readable by measure, apart for every eye, a user's own read while they are edited, colours never needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
from textual.color import Color

from tests.console.conftest import ready, text_of, until
from tests.console.fake import FakeFeed, StillClock
from umsui.console import themes, words
from umsui.console.app import Console
from umsui.console.inks import INKS
from umsui.errors import BadInput
from umsui.model import ClusterState, Outcome, ServiceState

OURS = {path.stem: themes.load(path) for path in sorted(themes.FOLDER.glob("*.toml"))}
MEASURABLE = [name for name, theme in OURS.items() if not theme.ansi]  # the others' colours are the terminal's own
TEXT = ("text", "dim", "faint", "ok", "warn", "bad", "accent", "badge", "key")
GRAPHIC = ("track", "bar", "creation", "checkpoint", "transfer", "restoration", "wire", "outage")
GROUNDS = ("background", "surface", "selected-background", "marked-background", "drop-background", "deny-background")


def variables(name: str) -> dict[str, str]:
    theme = OURS[name]
    return {**theme.to_color_system().generate(), **theme.variables}


def luminance(color: Color) -> float:
    """WCAG 2.2: relative luminance."""
    parts = [part / 255 for part in color.rgb]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    a, b = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize("name", MEASURABLE)
def test_all_text_is_readable(name: str) -> None:
    """WCAG AA for text (4.5), AAA (7) for high contrast; 3 for what is drawn."""
    values = variables(name)
    wanted = 7.0 if name == "high-contrast" else 4.5
    poor = []
    for ground in GROUNDS:
        for ink in (*TEXT, *GRAPHIC):
            if ink in GRAPHIC and ground not in ("background", "surface"):
                continue
            if ink == "faint" and ground not in ("background", "surface"):
                continue  # what is faint is never on a card in the hand
            ratio = contrast(values[INKS[ink].color], values[ground])
            if ratio < (3.0 if ink in GRAPHIC else wanted):
                poor.append(f"{ink} on {ground}: {ratio:.2f}")
    assert poor == []


# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency (2009),
# severity 1.0, on linear RGB.
BLIND: dict[str, Sequence[Sequence[float]]] = {
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def seen(color: str, eye: str) -> tuple[float, float, float]:
    """CIE L*a*b* of a colour, as such an eye sees it."""
    parts = [part / 255 for part in Color.parse(color).rgb]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    r, g, b = (min(max(sum(w * c for w, c in zip(row, linear, strict=True)), 0), 1) for row in BLIND[eye])
    xyz = ((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047, 0.2126 * r + 0.7152 * g + 0.0722 * b,
           (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883)  # fmt: skip
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize(("name", "eye"), [("deuteranopia", "deuteranopia"), ("deuteranopia", "protanopia"),
                                           ("tritanopia", "tritanopia")])  # fmt: skip
def test_states_stay_apart_for_that_eye(name: str, eye: str) -> None:
    """Good, care and bad differ by at least 25 in CIE76, ten times what can just be seen."""
    values = variables(name)
    shades = {ink: seen(values[INKS[ink].color], eye) for ink in ("ok", "warn", "bad")}
    for one, other in combinations(shades, 2):
        distance = sum((a - b) ** 2 for a, b in zip(shades[one], shades[other], strict=True)) ** 0.5
        assert distance >= 25, f"{one} and {other}: {distance:.0f}"


def test_a_state_is_never_a_colour_alone() -> None:
    """Within each kind every state has a sign and a word of its own."""
    for table, kind in ((words._CLUSTER, ClusterState), (words._SERVICE, ServiceState), (words._OUTCOME, Outcome)):
        assert set(table) == set(kind)
        assert len({glyph for glyph, _, _ in table.values()}) == len(table)
        assert len({word for _, word, _ in table.values()}) == len(table)


def test_all_seven_are_there() -> None:
    assert set(OURS) == {"dark", "light", "high-contrast", "deuteranopia", "tritanopia", "ansi16", "mono"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[colors\n", ":1: this is not TOML"),
        ("dark = true\n", ":1: a theme needs a table [colors]"),
        ('[colors]\nprimary = "#12345"\n', ":2: the colour secondary is missing"),
        ('{all}\naccnt = "#ffffff"\n', ":10: there is no colour accnt; did you mean accent?"),
        ('{all}\n[variables]\ndim = "#12345z"\n', ":11: '#12345z' is no colour for dim"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.toml"
    colors = "\n".join(f'{name} = "#808080"' for name in themes.NEEDED)
    path.write_text(text.replace("{all}", f"[colors]\n{colors}"))
    with pytest.raises(BadInput, match=re.escape(f"{path}{said}")):
        themes.load(path)


async def test_a_users_own_is_read_while_it_is_edited(
    feed: FakeFeed, clock: StillClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UMSUI_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "themes"
    folder.mkdir()
    colors = "[colors]\n" + "\n".join(f'{name} = "#a0a0a0"' for name in themes.NEEDED)
    (folder / "mine.toml").write_text(colors)
    app = Console(feed, clock=clock)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await ready(pilot)
        app.theme = "mine"
        await pilot.pause()
        assert app.theme_variables["foreground"].upper() == "#A0A0A0"
        (folder / "mine.toml").write_text(colors.replace('foreground = "#a0a0a0"', 'foreground = "#123456"'))
        await until(pilot, lambda: app.theme_variables["foreground"] == "#123456", "the new colour")
        await until(pilot, lambda: app.screen.styles.color == Color.parse("#123456"), "on the screen")
        (folder / "mine.toml").write_text(colors + '\nprimry = "red"\n')
        await until(pilot, lambda: "mine.toml:10" in text_of(pilot), "the complaint")
        assert app.theme == "mine"


async def test_no_color_has_no_other_theme(feed: FakeFeed, clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Console(feed, clock=clock)
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+t")
        assert app.theme == "mono"
