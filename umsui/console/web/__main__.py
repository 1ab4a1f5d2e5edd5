"""What runs behind the door: the console, drawn for a browser; textual-serve starts it, once a tab."""

from __future__ import annotations

import os
import sys

from umsui import console

if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"  # a browser draws everything, whatever the terminal behind it can
    sys.exit(console.run())
