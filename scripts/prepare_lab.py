"""Fill the lab's cache, with progress; ``--or-skip`` only says why where this machine can have no lab.

``--kubernetes``: also with what its Kubernetes clusters need, which takes minutes.
"""

from __future__ import annotations

import sys

from umsui import lab
from umsui.errors import UmsuiError


def _say(line: str) -> None:
    print(f"lab: {line}", flush=True)


def main() -> int:
    """The exit code."""
    try:
        lab.prepare(_say, "mixed" if "--kubernetes" in sys.argv else "engines")
    except UmsuiError as error:
        print(f"lab: {error.message}. {error.fix}", file=sys.stderr)
        if "--or-skip" in sys.argv and error.code in {"not-root", "not-linux"}:
            print("lab: its tests are skipped", file=sys.stderr)
            return 0
        return int(error.exit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
