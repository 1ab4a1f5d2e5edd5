"""How a service looks on the board: two lines, aligned with its neighbours, state as a glyph and a word."""

from __future__ import annotations

from dataclasses import dataclass

from umsui.console import words
from umsui.console.text import Line, bar, column, fit
from umsui.model import Service, ServiceState

HEIGHT = 2
ROWY = 34
"""Cards at least this wide have the memory on the first line."""


@dataclass(frozen=True, slots=True)
class Motion:
    """What is known of a card's migration."""

    fraction: float | None = None
    other: str = ""  # the cluster at the other end
    exposed: bool = False  # post-copy: until the last page is there, losing the source loses the service


def card(service: Service, width: int, motion: Motion | None = None, *, seen: bool = True) -> list[Line]:
    """A service's two lines; not ``seen``: its node does not answer, and what is known of it is as old as that."""
    return [_first(service, width, motion, seen=seen), _second(service, width, motion or Motion())]


def badge(service: Service) -> tuple[str, str]:
    """The approach that would be taken, or ✕ where none can."""
    if service.obstacle:
        return "✕", "bad"
    return (words.BADGE[service.approach], "badge") if service.approach else ("·", "faint")


def _first(service: Service, width: int, motion: Motion | None, *, seen: bool) -> Line:
    glyph, word, ink = words.service_state(service)
    if not seen:
        glyph, word, ink = "◍", f"{word}?", "warn"
    if service.state is ServiceState.MOVING and motion is not None and motion.fraction is not None:
        word = f"{motion.fraction * 100:.0f} %"
    wide = width >= ROWY
    state = column(f"{glyph} {word}", 10, ink)
    memory = [column(words.size(service.memory), 8, "text", right=True), (" ", "")] if wide else []
    arriving = service.state is ServiceState.ARRIVING
    if arriving and wide:
        memory = [(" " * 9, "")]
    mark, mark_ink = ("·", "faint") if arriving else badge(service)
    tail: Line = [state, *memory, (f" {mark} ", mark_ink)]
    room = width - 1 - 10 - (9 if wide else 0) - 3
    return [(" ", ""), column(service.name, room, "dim" if arriving else "name"), *tail]


def _second(service: Service, width: int, motion: Motion) -> Line:
    if service.state is ServiceState.MOVING:
        target = f" → {motion.other}" if motion.other else ""
        if motion.exposed:
            target += " ⚠ exposed"
        target = fit(target, width - 8)
        room = max(min(width - 2 - len(target), 24), 4)
        return [(" ", ""), *bar(motion.fraction or 0.0, room), (target, "warn" if motion.exposed else "dim")]
    if service.state is ServiceState.ARRIVING:
        return [(" ", ""), (fit(f"from {motion.other}" if motion.other else "reserved", width - 2), "dim")]
    if service.obstacle:
        return [(" ", ""), (fit(f"cannot move: {service.obstacle}", width - 2), "bad")]
    return [(" ", ""), (fit(facts(service, short=width < ROWY), width - 2), "dim")]


def facts(service: Service, *, short: bool = False) -> str:
    """``3 proc · 2 vol · :8443``; the memory first where the first line has no room for it."""
    parts = [words.size(service.memory)] if short else []
    parts.append(f"{service.processes} proc")
    if service.volumes:
        parts.append(f"{service.volumes} vol")
    ports = [f":{port.host}" for port in service.ports]
    if ports:
        parts.append(" ".join(ports[:2]) + (f" +{len(ports) - 2}" if len(ports) > 2 else ""))
    return " · ".join(parts)
