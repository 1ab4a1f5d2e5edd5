"""Preflight on facts that real agents told of real services."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from umsui.decision.doctor import doctor
from umsui.decision.preflight import blockers, preflight
from umsui.interface.facts import NodeFacts, ServiceFacts
from umsui.interface.probe import node_facts, service_facts
from umsui.model import Mount

from .world import SPEC, case

RECORDED = Path(__file__).parent / "recorded"


def node(name: str) -> NodeFacts:
    return node_facts(json.loads((RECORDED / f"node-{name}.json").read_text()))


def service(name: str) -> ServiceFacts:
    return service_facts(json.loads((RECORDED / f"service-{name}.json").read_text()))


HERE, THERE = node("azure-1"), node("gcp-1")
IMAGE = json.loads((RECORDED / "service-memhog.json").read_text())["image"]
BLOCKED = [
    ("terminal", "tty", "terminal"),
    ("rings", "io-uring", "io_uring"),
    ("fuse", "devices", "/dev/fuse"),
    ("out", "unix-sockets", "/srv/out/x.sock"),
    ("other-user", "rlimits", "user 33"),
]


@pytest.mark.parametrize(("name", "check", "words"), BLOCKED)
def test_what_blocks(name: str, check: str, words: str) -> None:
    spec = replace(SPEC, image_id=IMAGE)
    situation = case(specification=spec, source_node=HERE, destination_node=THERE, facts=service(name))
    (finding,) = blockers(preflight(situation))
    assert finding.check == check
    assert words in finding.what
    assert finding.why
    assert finding.fix


def test_what_blocks_by_what_it_was_created_with() -> None:
    base = replace(SPEC, image_id=IMAGE)
    lonely = case(
        specification=replace(base, network="only-here"),
        source_node=HERE,
        destination_node=THERE,
        facts=service("lonely"),
    )
    assert [finding.check for finding in blockers(preflight(lonely))] == ["network"]
    needy = case(
        specification=replace(base, mounts=(Mount("bind", "/usr/lib", "/host-lib", True),)),
        source_node=HERE,
        destination_node=THERE,
        facts=service("needy"),
        paths_here={"/usr/lib": "folder"},
        paths_there={"/usr/lib": "folder"},
    )
    assert [finding.check for finding in blockers(preflight(needy))] == ["bind"]


def test_nothing_is_wrong_with_memhog() -> None:
    situation = case(
        specification=replace(SPEC, image_id=IMAGE), source_node=HERE, destination_node=THERE, facts=service("memhog")
    )
    assert not blockers(preflight(situation))
    assert not situation.image_transfers
    assert situation.facts.memory > 64 << 20


def test_a_node_by_itself() -> None:
    findings = doctor("gcp-lab/gcp-1", THERE)
    assert not blockers(findings)
    assert {finding.check for finding in findings if not finding.ok} == {"rlimits"}
    good = {finding.check for finding in findings if finding.ok}
    assert {"criu", "seccomp", "time-namespace", "userfaultfd", "tracks-writes", "tmpfs"} <= good
