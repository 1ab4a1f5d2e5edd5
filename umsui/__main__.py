"""``umsui`` and ``python -m umsui``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        # Scripts ask for it often: answered before anything is imported.
        from umsui import __version__  # noqa: PLC0415

        print(f"umsui {__version__}")
        return 0
    from umsui.cli.app import run  # noqa: PLC0415

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
