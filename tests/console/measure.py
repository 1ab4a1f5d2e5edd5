"""Prints what the console costs, in a real pseudo-terminal: ``python -m tests.console.measure``."""

from __future__ import annotations

import time

from tests.console.terminal import DEMO, Terminal


def main() -> None:
    paints = []
    for _ in range(5):
        terminal = Terminal()
        terminal.until(lambda text: "redis" in text)
        paints.append((terminal.first_paint or 0.0, time.monotonic() - terminal.started))
        terminal.close()
    first, full = sorted(paints)[2]
    print(f"first paint             {first:.2f} s  (skeleton; median of 5)")
    print(f"board with its clusters {full:.2f} s")

    terminal = Terminal((*DEMO, "--speed", "0.5"))
    terminal.until(lambda text: "redis" in text)
    terminal.settle()
    print(f"idle board              {terminal.read(10.0) / 10:.0f} bytes/s")
    x, y = terminal.where("redis")
    terminal.mouse(x, y, press=True)
    for step in range(1, 4):
        terminal.mouse(x + 2 * step, y + step)
        terminal.read(0.1)
    terminal.settle()
    costs = []
    for step in range(12):
        terminal.mouse(x + 10 + step, y + 6)
        costs.append(terminal.read(0.1))
    print(f"drag step               {sorted(costs)[6]} bytes (median), {max(costs)} at most")
    terminal.send("\x1b")
    terminal.settle()
    x, y = terminal.where("nginx")
    terminal.mouse(x, y, press=True)
    terminal.mouse(x, y, release=True)
    terminal.settle()
    terminal.send("m\x1b[D\x1b[D")
    terminal.until(lambda text: "drop: post-copy" in text)
    terminal.send("\r")
    terminal.until(lambda text: "is protected" in text)
    terminal.send("nginx\r")
    terminal.until(lambda text: "what a client sees" in text)
    terminal.read(0.7)
    print(
        f"migration screen        {terminal.read(6.5) / 6.5 / 1024:.1f} KB/s at 4 updates/s, outage and report with it"
    )
    terminal.close()


if __name__ == "__main__":
    main()
