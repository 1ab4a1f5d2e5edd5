"""The inter-system decision: which approach and strategy, what it will cost, what stands in its way.

Pure judgement of facts, but for ``planner.planned``, which has them probed first.
"""

from umsui.decision.cost import Forecast, Load, forecast
from umsui.decision.doctor import doctor
from umsui.decision.planner import Probes, Resolver, planned
from umsui.decision.preflight import blockers, preflight
from umsui.decision.resolve import Resolution, find_cluster, find_node, find_service, resolve

__all__ = [
    "Forecast",
    "Load",
    "Probes",
    "Resolution",
    "Resolver",
    "blockers",
    "doctor",
    "find_cluster",
    "find_node",
    "find_service",
    "forecast",
    "planned",
    "preflight",
    "resolve",
]
