"""A service of several containers as one situation: what is asked of the ends is the sum of what its parts ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from umsui.decision.situation import Situation
from umsui.interface.facts import ServiceFacts
from umsui.model import Service, Specification


def combined(service: Service, specification: Specification, parts: Sequence[Situation]) -> Situation:
    """The whole, with its parts in it. What they share is counted once."""
    first, facts = parts[0], [part.facts for part in parts]
    volumes = {
        mount.source: part.facts.volume_bytes.get(mount.destination, 0)
        for part in parts
        for mount in part.specification.mounts
        if mount.destination in part.facts.volume_bytes
    }
    missing = [part for part in parts if part.image_transfers]
    layers = {layer: size for part in missing for layer, size in part.facts.layer_bytes.items()}
    whole = sum({part.specification.image_id: part.facts.image_bytes for part in missing}.values())
    told = all(part.facts.layer_bytes for part in missing)
    everything = ServiceFacts(
        processes=sum(each.processes for each in facts),
        threads=sum(each.threads for each in facts),
        memory=sum(each.memory for each in facts),
        dirty_rate=_sum([each.dirty_rate for each in facts]),
        tmpfs_bytes=sum(each.tmpfs_bytes for each in facts),
        rootfs_bytes=sum(each.rootfs_bytes for each in facts),
        volume_bytes=volumes,
        image_bytes=whole,
        layer_bytes=layers if told else {},
        runtime=facts[0].runtime,
        user_ns=any(each.user_ns for each in facts),
        seccomp="2" if any(each.seccomp == "2" for each in facts) else "",
        time_ns=any(each.time_ns for each in facts),
        log_format=facts[0].log_format,
    )
    image = missing[0].specification.image_id if missing else first.specification.image_id
    return replace(
        first,
        service=service,
        specification=replace(specification, image_id=image),
        facts=everything,
        parts=tuple(parts),
    )


def _sum(rates: Sequence[float | None]) -> float | None:
    """None when any is unknown."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None
