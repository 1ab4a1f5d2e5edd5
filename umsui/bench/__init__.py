"""The paper's figures re-run, and ours against podman's own way, on a lab that is made for it and removed after it."""

from umsui.bench.figures import Wanted, compare, dynamic, heterogeneous, overhead, processes
from umsui.bench.files import write
from umsui.bench.place import DEFAULT_INSTANCE, Place
from umsui.bench.rows import Document, Row
from umsui.bench.summary import Summary, ratios, summaries

__all__ = [
    "DEFAULT_INSTANCE",
    "Document",
    "Place",
    "Row",
    "Summary",
    "Wanted",
    "compare",
    "dynamic",
    "heterogeneous",
    "overhead",
    "processes",
    "ratios",
    "summaries",
    "write",
]
