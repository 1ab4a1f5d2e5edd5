"""The contract's result document, folded into a migration: the events' own last word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from umsui.model import Approach, Failure, Migration, Outcome, Overhead, Strategy, Traffic


def finished(migration: Migration, document: Mapping[str, Any]) -> Migration:
    """The migration with everything that its result document says."""
    changes: dict[str, Any] = {}
    for name, kind in (("outcome", Outcome), ("approach", Approach), ("strategy", Strategy)):
        if document.get(name):
            changes[name] = kind(document[name])
    for name in ("reason", "downtime", "downtime_source", "predicted", "processes", "endpoint"):
        if document.get(name) is not None:
            changes[name] = document[name]
    for name, shape in (("overhead", Overhead), ("bytes", Traffic), ("error", Failure)):
        value = document.get(name)
        if isinstance(value, Mapping):
            changes[name] = shape(**{f.name: value[f.name] for f in fields(shape) if f.name in value})
    return replace(migration, cancellable=False, **changes)
