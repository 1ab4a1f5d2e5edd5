"""Migrations and the board as tables (CSV) and documents (JSON), for whatever comes after umsui."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from umsui.documents import plain, result_document
from umsui.model import Cluster, Event, Migration, Service
from umsui.traces import spans, trace_document

FORMS = ("csv", "json")


def migration(one: Migration, events: Sequence[Event], form: str) -> str:
    """One of them: CSV has a row a step, JSON the result, the steps, and every reply that a client got."""
    trace = trace_document(spans(events))
    if form == "csv":
        return _table(trace["steps"])
    samples = [sample for event in events if event.kind == "probe" for sample in event.data.get("samples", ())]
    return _document({**_whole(one), "trace": trace, "samples": samples})


def migrations(several: Iterable[Migration], form: str) -> str:
    """Many: a row each."""
    documents = [_whole(one) for one in several]
    return _document(documents) if form == "json" else _table([_flat(document) for document in documents], ("id",))


def board(clusters: Iterable[Cluster], form: str) -> str:
    """What runs where: CSV has a row a service, JSON all that is known."""
    if form == "json":
        return _document(plain(list(clusters)))
    rows = [_service(cluster, index) for cluster in clusters for index in range(len(cluster.services))]
    return _table(rows, ("provider", "cluster_state", *(each.name for each in fields(Service))))


def _service(cluster: Cluster, index: int) -> dict[str, Any]:
    row = plain(cluster.services[index])
    row["ports"] = " ".join(f"{port['host']}:{port['container']}/{port['protocol']}" for port in row["ports"])
    row["labels"] = " ".join(f"{key}={value}" for key, value in sorted(row["labels"].items()))
    return {"provider": cluster.provider, "cluster_state": cluster.state.value, **row}


def _whole(one: Migration) -> dict[str, Any]:
    return {**result_document(one), "started": one.started, "finished": one.finished, "budget": one.budget}


def _flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Objects within objects as ``outer.inner``; a predicted interval as three columns."""
    out: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{before}{key}"
        if isinstance(item, dict):
            out |= _flat(item, f"{name}.")
        elif isinstance(item, list):
            out |= {f"{name}.{part}": each for part, each in zip(("low", "mid", "high"), item, strict=False)}
        else:
            out[name] = item
    return out


def _table(rows: Sequence[dict[str, Any]], always: Sequence[str] = ()) -> str:
    """Every column that any row has, in the order in which they appear; those there ``always`` are come first."""
    names = list(dict.fromkeys([*always, *(name for row in rows for name in row)]))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _document(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
