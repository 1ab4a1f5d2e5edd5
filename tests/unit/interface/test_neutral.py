"""What two engines have to say of one container."""

from __future__ import annotations

from dataclasses import replace

from umsui.interface.neutral import differences, with_capabilities
from umsui.model import Specification

DOCKERS = "00000100a80c25fb"  # its own, and what service-level needs
PODMANS = "00000100800c05fb"


def test_a_container_gets_what_its_new_engine_does_not_give_by_itself() -> None:
    spec = Specification("web", "image", cap_add=("CAP_SYS_PTRACE",))
    assert set(with_capabilities(spec, DOCKERS).cap_add) == {
        "SYS_PTRACE", "CHECKPOINT_RESTORE", "AUDIT_WRITE", "MKNOD", "NET_RAW"
    }  # fmt: skip
    assert set(with_capabilities(spec, PODMANS).cap_add) == {"SYS_PTRACE", "CHECKPOINT_RESTORE"}


def test_what_docker_leaves_empty_is_what_podman_spells_out() -> None:
    spec = Specification("web", "image")
    assert differences(spec, replace(spec, workdir="/")) == []
    assert differences(spec, replace(spec, workdir="/srv")) != []


def test_one_that_was_to_have_few_keeps_few() -> None:
    spec = Specification("web", "image", cap_drop=("ALL",), cap_add=("SETPCAP",))
    assert with_capabilities(spec, f"{1 << 8:x}") == spec


def test_a_privileged_one_needs_nothing() -> None:
    spec = Specification("web", "image", privileged=True)
    assert with_capabilities(spec, "1ffffffffff") == spec
