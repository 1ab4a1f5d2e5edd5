"""The documents that scripts rely on (the contract's JSON), each made in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import Any

from umsui.model import Estimate, Finding, Migration, Place, Plan, StartFirst, Verdict


def result_document(migration: Migration) -> dict[str, Any]:
    """A migration as ``migrate --json`` ends with it, in seconds and bytes; ``outcome`` is null while it runs."""
    return {
        "id": migration.id,
        "service": migration.service,
        "source": _place(migration.source),
        "destination": _place(migration.destination),
        "approach": migration.approach.value,
        "strategy": migration.strategy.value,
        "reason": migration.reason,
        "outcome": migration.outcome.value if migration.outcome else None,
        "downtime": _seconds(migration.downtime),
        "downtime_source": migration.downtime_source,
        "overhead": {name: _seconds(value) for name, value in asdict(migration.overhead).items()},
        "predicted": {
            name: [_seconds(value) for value in migration.predicted.get(name, [])] for name in ("downtime", "total")
        },
        "bytes": asdict(migration.bytes),
        "processes": migration.processes,
        "endpoint": migration.endpoint,
        "error": asdict(migration.error) if migration.error else None,
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan as ``plan --json`` prints it; names shared with the result document mean the same."""
    return {
        "service": plan.service,
        "source": _place(plan.source),
        "destination": _place(plan.destination),
        "feasible": plan.feasible,
        "approach": plan.approach.value if plan.approach else None,
        "strategy": plan.strategy.value if plan.strategy else None,
        "reason": plan.reason,
        "predicted": {"downtime": _estimate(plan.downtime), "total": _estimate(plan.total)},
        "bytes": dict(plan.bytes),
        "processes": plan.processes,
        "endpoint": plan.endpoint,
        "verdicts": [_verdict(verdict) for verdict in plan.verdicts],
        "findings": [finding_document(finding) for finding in plan.findings],
        "start_first": _start_first(plan.start_first),
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding of preflight or doctor."""
    return asdict(finding)


def plain(value: Any) -> Any:
    """Any value of ``umsui.model`` as JSON knows it: enums as their values, tuples as lists, unknown things as text."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(each) for each in value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _start_first(first: StartFirst | None) -> dict[str, Any] | None:
    if first is None:
        return None
    return {"node": _place(first.place), "predicted": _estimate(first.time), "hourly": first.hourly}


def _place(place: Place) -> dict[str, str]:
    return {"cluster": place.cluster, "node": place.node}


def _seconds(value: float | None) -> float | None:
    """Microseconds are more than any of our clocks tells."""
    return None if value is None else round(float(value), 6)


def _estimate(estimate: Estimate | None) -> list[float | None]:
    return [] if estimate is None else [_seconds(value) for value in estimate.as_list()]


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "approach": verdict.approach.value,
        "strategy": verdict.strategy.value,
        "feasible": verdict.feasible,
        "reason": verdict.reason,
        "fix": verdict.fix,
        "predicted": {"downtime": _estimate(verdict.downtime), "total": _estimate(verdict.total)},
    }
