"""Pictures of the console, taken during a real migration on a lab of its own: ``make screenshots``."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from umsui.model import MigrationRequest, Strategy

FOLDER = Path(__file__).parent.parent / "screenshots"
PATIENCE = 60.0  # seconds that a picture is waited for


async def take() -> None:
    """Open the console on the lab, move memhog by key, and take a picture at each station."""
    from textual.pilot import Pilot

    from umsui.console.app import Console
    from umsui.console.link import CoordinatorFeed

    app = Console(CoordinatorFeed(), start=None, ascii_only=False)

    def text() -> str:
        return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())

    async def until(pilot: Pilot[object], shows: Callable[[str], bool]) -> None:
        for _ in range(int(PATIENCE / 0.05)):
            if shows(text()):
                return
            await pilot.pause(0.05)
        raise SystemExit(f"never came:\n{text()}")

    def shoot(name: str) -> None:
        (FOLDER / f"{name}.svg").write_text(app.export_screenshot(title="umsui"))
        print(f"screenshots/{name}.svg", flush=True)

    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda shown: shown.count("● live") == 3 and "memhog" in shown and "nginx" in shown)
        await pilot.pause(1.0)
        shoot("board")
        await pilot.press("m")
        await until(pilot, lambda shown: "down" in shown)
        shoot("carry")
        await pilot.press("enter")
        await until(pilot, lambda shown: "predicted" in shown)
        shoot("plan")
        await pilot.press("enter")
        await until(pilot, lambda shown: "✓ copy ahead" in shown)
        shoot("moving")
        await until(pilot, lambda shown: "committed" in shown)
        await pilot.pause(1.0)
        shoot("migration")
        await pilot.press("p")
        await until(pilot, lambda shown: "RECORDING" in shown and "verify" in shown)
        await pilot.press("f", "space", *["right"] * 1)
        await pilot.pause(1.0)
        shoot("replay")
        await pilot.press("escape", "escape")
        await pilot.pause(1.0)
        shoot("moved")
        await back(app, pilot)
        await history(pilot, until, shoot)
        await rest(pilot, until, shoot)
        await pilot.press("question_mark")
        await pilot.pause(0.5)
        shoot("help")


async def back(app: Any, pilot: Any) -> None:
    """Memhog there and back again, so that there is something to compare."""
    for to, strategy in (("azure-lab", Strategy.STOP_COPY), ("gcp-lab", Strategy.POST_COPY)):
        here = next(s for s in app.world.services() if s.name == "memhog")
        migration = await app.feed.migrate(MigrationRequest(here.key, to, strategy=strategy))
        for _ in range(int(PATIENCE / 0.1)):
            await pilot.pause(0.1)
            found = app.world.migrations.get(migration.id)
            if found is not None and found.outcome is not None:
                break
        await pilot.pause(2.0)


async def history(pilot: Any, until: Any, shoot: Callable[[str], None]) -> None:
    """What was moved, and three of it beside each other."""
    await pilot.press("2")
    await until(pilot, lambda shown: shown.count("committed") >= 3)
    await pilot.press("space", "space", "space")
    await pilot.pause(0.5)
    shoot("migrations")
    await pilot.press("c")
    await until(pilot, lambda shown: "breakdown" in shown)
    shoot("compare")
    await pilot.press("escape", "escape")


async def rest(pilot: Any, until: Any, shoot: Callable[[str], None]) -> None:
    """A service and the nodes of its cluster."""
    board = pilot.app.screen
    board.point("azure-lab", "azure-lab/redis")
    await pilot.press("enter")
    await until(pilot, lambda shown: "redis-server" in shown and "Ready to accept" in shown)
    await pilot.pause(4.5)
    shoot("service")
    await pilot.press("w")
    await until(pilot, lambda shown: "planning" not in shown and "can" in shown)
    shoot("ways")
    await pilot.press("escape")
    await pilot.press("n")
    await until(pilot, lambda shown: "the kernel can" in shown)
    shoot("doctor")
    await pilot.press("t")
    await until(pilot, lambda shown: "MiB/s" in shown and "measuring" not in shown)
    shoot("nodes")
    await pilot.press("escape")


def main() -> None:
    """A lab and a coordinator of their own; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="umsui-screenshots-") as folder:
        os.environ.setdefault("UMSUI_LAB_INSTANCE", "3")
        for name in ("CONFIG", "DATA", "RUNTIME"):
            os.environ[f"UMSUI_{name}_DIR"] = f"{folder}/{name.lower()}"
        umsui = [sys.executable, "-m", "umsui"]
        subprocess.run([*umsui, "lab", "up"], check=True)
        try:
            asyncio.run(take())
        finally:
            subprocess.run([*umsui, "coordinator", "stop", "--force"], check=False)
            subprocess.run([*umsui, "lab", "down"], check=True)


if __name__ == "__main__":
    main()
