"""Libraries that are installed only by those who need them, imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from umsui.errors import Unreachable


def need(module: str, extra: str) -> ModuleType:
    """The module. Raises Unreachable (code ``missing-extra``) with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        words = f"the libraries for {extra} are not installed ({error})"
        raise Unreachable(words, f"pip install 'umsui[{extra}]'", code="missing-extra") from error
