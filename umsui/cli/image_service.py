"""Building a service-level image where its base is: on a node, or on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from umsui import adapters, config
from umsui.adapters import Completed
from umsui.decision.inside_checks import RUN
from umsui.errors import BadInput, CommandFailed
from umsui.inside import registry
from umsui.inside.build import PATIENCE, Run, default_tag, local
from umsui.inside.build import build as build_image

__all__ = ["RUN", "build", "run_sample"]

SAMPLE = "localhost/umsui/memhog:1"


def build(base: str, tag: str, node: str, engine: str | None) -> dict[str, Any]:
    """Build it, and answer image, id and bytes. Raises BadInput, Unreachable, CommandFailed."""
    tag = tag or default_tag(base)
    if node:
        run, engine = _on_node(node)
        if engine == "kubernetes":  # its base is in a registry; the node has the programs
            made = registry.build(run, registry.Reference.of(base), registry.Reference.of(tag))
            return asdict(made)
        return asdict(build_image(run, engine, base, tag))
    engine = engine or next((name for name in ("podman", "docker") if shutil.which(name)), None)
    if engine is None:
        raise BadInput("there is neither podman nor docker on this machine", "say where the base is: --node NODE")
    return asdict(build_image(local, engine, base, tag))


def run_sample(lab: Path | None) -> str:
    """Let the lab's first node run memhog with umsui inside, if it does not yet; the node. Raises CommandFailed."""
    first = config.load(lab).clusters[0]
    name, node = "memhog-service", f"{first.name}/{first.nodes[0].name}"
    run, engine = _on_node(node, lab)
    if run([engine, "container", "inspect", name], b"").status == 0:
        return node
    made = build_image(run, engine, SAMPLE, default_tag(SAMPLE))
    options = ["--name", name, "-p", "8001:8000", "--cap-drop", "all", *RUN.split()]
    done = run([engine, "run", "-d", *options, made.image], b"")
    if done.status:
        raise CommandFailed(f"{engine} run {name}: {done.stderr.decode(errors='replace').strip()[-400:]}")
    return node


def _on_node(name: str, path: Path | None = None) -> tuple[Run, str]:
    """How to run commands on a node of the config, and its engine."""
    places = [(cluster, node) for cluster in config.load(path).clusters for node in cluster.nodes]
    found = [(c, n) for c, n in places if name in (n.name, f"{c.name}/{n.name}")]
    if len(found) != 1:
        listed = ", ".join(f"{cluster.name}/{node.name}" for cluster, node in found or places)
        what = "is ambiguous" if found else "is no node of the config"
        raise BadInput(f"{name} {what}", f"one of: {listed}" if listed else "`umsui lab up` makes some to try")
    cluster, node = found[0]
    transport = adapters.load("transports", "ssh")(node.ssh, identity=cluster.identity, known_hosts=cluster.known_hosts)

    def run(argv: Sequence[str], stdin: bytes) -> Completed:
        words = argv if transport.user == "root" else ["sudo", "-n", *argv]
        done: Completed = transport.run(words, stdin=stdin, timeout=PATIENCE)
        return done

    return run, cluster.orchestrator
