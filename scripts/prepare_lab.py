"""Fill the lab's cache, with progress; ``--or-skip`` only says why where this machine can have no lab."""

from __future__ import annotations

import sys

from umsui import lab
from umsui.errors import UmsuiError


def main() -> int:
    """The exit code."""
    try:
        lab.prepare(lambda line: print(f"lab: {line}", flush=True))
    except UmsuiError as error:
        print(f"lab: {error.message}. {error.fix}", file=sys.stderr)
        if "--or-skip" in sys.argv and error.code in {"not-root", "not-linux"}:
            print("lab: its tests are skipped", file=sys.stderr)
            return 0
        return int(error.exit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
