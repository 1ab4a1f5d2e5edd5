"""`umsui plan` on services that differ in authority and make-up: the right approach for each, why not the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningLab
from tests.lab.job import umsui

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

IMAGE = "localhost/umsui/memhog:1"
INSIDE = (
    "podman run -d --cap-drop all --cap-add CHECKPOINT_RESTORE,SYS_PTRACE,SETPCAP --security-opt seccomp=unconfined "
    f"--name {{}} {{}} {IMAGE}-umsui MIB=4"
)
# Service, where it may go (azure-lab gives all rights, gcp-lab the image's, onprem-lab none), the approach, and words
# of the reasons: why it, and why not the others.
TABLE = [
    ("memhog", ("azure-lab", "azure-2"), "orchestrator", "least predicted downtime", ["no umsui agent", "not nested"]),
    ("shop", ("azure-lab", "azure-2"), "orchestrator", "least predicted downtime", ["several containers"]),
    ("inner", ("gcp-lab", "gcp-1"), "service", "service-level with", ["gcp-lab gives limited", "not nested"]),
    ("liked", ("azure-lab", "azure-2"), "service", "umsui.io/approach prefers it", ["not nested"]),
    ("nest", ("onprem-lab", "onprem-1"), "container", "umsui.io/approach prefers it", ["onprem-lab gives none"]),
    ("memhog", ("gcp-lab", "gcp-1"), None, "no approach is feasible", ["gcp-lab gives limited", "not nested"]),
    ("memhog", ("onprem-lab", "onprem-1"), None, "no approach is feasible", ["onprem-lab gives none", "not nested"]),
]


@pytest.fixture
def authorities(fresh_lab: RunningLab) -> Iterator[RunningLab]:
    """All rights at azure-lab, the services' images at gcp-lab, none at onprem-lab."""
    config = fresh_lab.lab.config
    text = config.read_text()
    wanted = {"gcp-lab": "limited", "onprem-lab": "none"}
    parts = text.split("[[clusters]]")
    for number, part in enumerate(parts):
        for cluster, authority in wanted.items():
            if f'name = "{cluster}"' in part:
                parts[number] = part.replace('authority = "full"', f'authority = "{authority}"')
    config.write_text("[[clusters]]".join(parts))
    umsui("coordinator", "stop", "--force")
    assert any(umsui("clusters").code == 0 for _ in range(3))  # a busy machine may need more than one try
    yield fresh_lab
    umsui("coordinator", "stop", "--force")
    config.write_text(text)


def run_all(lab: RunningLab, folder: Path) -> None:
    """One service of each make-up on azure-1, beside memhog."""
    built = umsui("image", "build", "--approach", "service", IMAGE, "--node", "azure-lab/azure-1", "--json")
    assert built.code == 0, built.err
    lab.sh("azure-1", INSIDE.format("inner", ""))
    lab.sh("azure-1", INSIDE.format("liked", "--label umsui.io/approach=service"))
    for name in ("front", "back"):
        lab.sh("azure-1", f"podman run -d --name {name} --label umsui.io/service=shop {IMAGE} MIB=1")
    file = folder / "nest.toml"
    file.write_text(f'name = "nest"\nimage = "{IMAGE}"\ncommand = ["MIB=1"]\n')
    nested = umsui("deploy", str(file), "--cluster", "azure-lab", "--node", "azure-1", "--approach", "container")
    assert nested.code == 0, nested.err
    umsui("services", "--refresh")


def test_table(authorities: RunningLab, tmp_path: Path) -> None:
    run_all(authorities, tmp_path)
    for name, (cluster, node), approach, because, others in TABLE:
        answer = umsui("plan", f"azure-lab/{name}", "--to", cluster, "--node", node, "--json")
        made: dict[str, Any] = answer.document
        blocking = [finding["what"] for finding in made["findings"] if finding["blocking"] and not finding["ok"]]
        assert made["approach"] == approach, (name, made["reason"], blocking)
        assert answer.code == (0 if approach else 3), (name, blocking)
        assert because in made["reason"], (name, made["reason"])
        refused = [verdict for verdict in made["verdicts"] if not verdict["feasible"]]
        for words in others:
            assert any(words in verdict["reason"] for verdict in refused), (name, words, refused)
        assert {verdict["approach"] for verdict in made["verdicts"]} == {"orchestrator", "service", "container"}
        assert all(verdict["reason"] and (verdict["feasible"] or verdict["fix"]) for verdict in made["verdicts"])
