"""The console on the fake coordinator: ``python -m tests.console.demo [--speed N] [--ascii] [--many N]``."""

from __future__ import annotations

import sys

from tests.console.fake import FakeFeed
from umsui.console.app import Console
from umsui.console.clock import SystemClock


def main() -> None:
    speed = float(sys.argv[sys.argv.index("--speed") + 1]) if "--speed" in sys.argv else 1.0
    feed = FakeFeed(SystemClock(), paced=True, speed=speed)
    if "--many" in sys.argv:
        feed.crowd(int(sys.argv[sys.argv.index("--many") + 1]))
    if "--past" in sys.argv:
        feed.past(12)
    Console(feed, ascii_only="--ascii" in sys.argv).run()


if __name__ == "__main__":
    main()
