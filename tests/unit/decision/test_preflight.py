from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui.decision.doctor import doctor
from umsui.decision.node_checks import criu_needed, version
from umsui.decision.pair_checks import vendor
from umsui.decision.preflight import blockers, budget, preflight
from umsui.decision.situation import Situation, size, some
from umsui.interface.facts import LinkFacts, NodeFacts, ServiceFacts
from umsui.model import Estimate, Mount, Port, ServiceState

from .world import FACTS, GIB, LINK, MIB, NODE, SPEC, case, request, service


def bad(situation: Situation, *, block: bool) -> set[str]:
    return {f.check for f in preflight(situation) if not f.ok and f.blocking is block}


def test_nothing_wrong() -> None:
    findings = preflight(case())
    assert all(f.ok for f in findings)
    assert {"criu", "kernel", "cpu", "port", "name", "image", "memory", "disk", "route"} <= {f.check for f in findings}


DESTINATION = [
    ("root", {"root": False}),
    ("orchestrator", {"orchestrator_version": ""}),
    ("kernel", {"kernel": "4.19.0"}),
    ("criu", {"criu": None}),
    ("criu", {"criu": (4, 1, 1)}),
    ("criu", {"kernel": "6.12.0", "criu": (4, 1, 1), "criu_needs": (4, 1, 2)}),
    ("kernel-features", {"criu_check": "timens isn't supported"}),
    ("runtime", {"runtimes": {}}),
    ("same-runtime", {"runtimes": {"runc": "1.1.15"}}),
    ("tools", {"tools": {"python3": False}}),
    ("tmpfs", {"run_free": 1}),
    ("memory", {"run_free": 65 * MIB}),
    ("memory", {"memory_free": 100 * MIB}),
    ("disk", {"disk_free": -1}),
    ("architecture", {"arch": "aarch64"}),
    ("cpu", {"cpu_flags": frozenset({"sse2"})}),
    ("cpu", {"cpu_model": "AMD EPYC 7763"}),
    ("cgroup", {"cgroup": "v1"}),
    ("lsm", {"lsm": "selinux"}),
    ("port", {"listening_ports": frozenset({("tcp", 8000)})}),
    ("name", {"container_names": frozenset({"memhog"})}),
]


@pytest.mark.parametrize(("check", "change"), DESTINATION, ids=[f"{c}-{next(iter(d))}" for c, d in DESTINATION])
def test_destination_blocks(check: str, change: dict[str, Any]) -> None:
    situation = case(destination_node=replace(NODE, **change))
    assert check in bad(situation, block=True)
    finding = next(f for f in preflight(situation) if f.check == check and not f.ok)
    assert finding.what
    assert finding.why
    assert finding.fix
    assert "gcp-lab/g2" in finding.where


@pytest.mark.parametrize("check", ["criu", "memory"])
def test_both_ends_are_judged(check: str) -> None:
    weak = replace(NODE, criu=None, run_free=65 * MIB)
    where = {f.where for f in blockers(preflight(case(source_node=weak))) if f.check == check}
    assert where == {"azure-lab/n1"}


SERVICE = [
    ("rlimits", {"uids": (0, 33)}),
    ("rlimits", {"gids": (33,)}),
    ("io-uring", {"io_uring": True}),
    ("devices", {"devices": ("/dev/kvm",)}),
    ("ptrace", {"ptraced": True}),
    ("unix-sockets", {"unix_external": ("/run/dbus.sock",)}),
    ("tty", {"tty": True}),
]


@pytest.mark.parametrize(("check", "change"), SERVICE)
def test_service_blocks(check: str, change: dict[str, Any]) -> None:
    situation = case(facts=replace(FACTS, **change), source_node=replace(NODE, sys_resource=False))
    assert bad(situation, block=True) == {check}
    finding = blockers(preflight(situation))[0]
    assert finding.why
    assert finding.fix


WARNINGS = [
    ("connections", {"facts": replace(FACTS, established=("10.0.0.1:5000",))}),
    ("inotify", {"facts": replace(FACTS, inotify=True)}),
    ("shared-maps", {"facts": replace(FACTS, writable_shared_maps=("/data/db", "/dev/zero (deleted)"))}),
    ("user-namespace", {"facts": replace(FACTS, user_ns=True)}),
    ("clock", {"destination_node": replace(NODE, clock=2010.0)}),
    ("monotonic-clock", {"destination_node": replace(NODE, boot_time=9000.0)}),
    ("bandwidth", {"link": replace(LINK, bandwidth=None)}),
    ("bandwidth", {"link": replace(LINK, bandwidth=1e5)}),
    ("criu-pair", {"source_node": replace(NODE, criu=(4, 3))}),
    ("tools", {"source_node": replace(NODE, tools={"nft": False})}),
    ("lsm", {"destination_node": replace(NODE, lsm="apparmor")}),
]


@pytest.mark.parametrize(("check", "changes"), WARNINGS, ids=[c for c, _ in WARNINGS])
def test_warns_only(check: str, changes: dict[str, Any]) -> None:
    situation = case(**changes)
    assert bad(situation, block=False) == {check}
    assert not blockers(preflight(situation))


def test_harmless_shared_maps() -> None:
    maps = ("/dev/zero (deleted)", "/SYSV00000000", "/dev/shm/x")
    assert not bad(case(facts=replace(FACTS, writable_shared_maps=maps)), block=False)


def test_kernel_only_flags_do_not_matter() -> None:
    assert not bad(case(destination_node=replace(NODE, cpu_flags=frozenset({"sse2", "avx2"}))), block=True)


def test_only_the_confining_module_matters() -> None:
    ours, theirs = replace(NODE, lsm="capability,yama,apparmor"), replace(NODE, lsm="lockdown,capability,apparmor")
    assert not bad(case(source_node=ours, destination_node=theirs), block=False)
    assert bad(case(destination_node=replace(NODE, lsm="capability,selinux")), block=True) == {"lsm"}


def test_unreachable_route() -> None:
    link = LinkFacts(reachable=False, error="connection refused")
    assert bad(case(link=link), block=True) == {"route"}


@pytest.mark.parametrize("state", [ServiceState.STOPPED, ServiceState.PAUSED, ServiceState.MOVING])
def test_state(state: ServiceState) -> None:
    assert bad(case(service=service(state=state)), block=True) == {"state"}


def test_moving_already() -> None:
    finding = blockers(preflight(case(service=service(migration="m7"))))[0]
    assert "umsui watch m7" in finding.fix


def test_volumes() -> None:
    spec = replace(SPEC, mounts=(Mount("volume", "data", "/data"),))
    assert not bad(case(specification=spec), block=True)
    taken = replace(NODE, volumes=frozenset({"data"}))
    assert bad(case(specification=spec, destination_node=taken), block=True) == {"volume-name"}
    assert bad(case(specification=replace(SPEC, mounts=(Mount("glusterfs", "x", "/x"),))), block=True) == {"volumes"}


BINDS = [
    ("/srv/data", "folder", "missing", False),
    ("/srv/data", "folder", "empty", False),
    ("/srv/data", "folder", "folder", True),
    ("/srv/app.conf", "file", "missing", False),
    ("/srv/app.conf", "file", "file", True),
    ("/etc/localtime", "file", "file", False),
    ("/etc/localtime", "file", "missing", True),
    ("/run/thing.sock", "socket", "socket", False),
    ("/srv/thing.sock", "socket", "missing", True),
    ("/usr/lib", "folder", "folder", True),
    ("/", "folder", "folder", True),
]


@pytest.mark.parametrize(("path", "here", "there", "blocks"), BINDS)
def test_binds(path: str, here: str, there: str, blocks: bool) -> None:
    spec = replace(SPEC, mounts=(Mount("bind", path, "/inside"),))
    situation = case(specification=spec, paths_here={path: here}, paths_there={path: there})
    assert bad(situation, block=True) == ({"bind"} if blocks else set())
    assert bad(situation, block=False) == (set() if blocks else {"bind"})


def test_a_file_bound_by_itself_is_small() -> None:
    spec = replace(SPEC, mounts=(Mount("bind", "/srv/big", "/big"),))
    facts = replace(FACTS, volume_bytes={"/big": GIB})
    assert bad(case(specification=spec, paths_here={"/srv/big": "file"}, facts=facts), block=True) == {"bind"}


def test_what_the_orchestrator_cannot_create_again() -> None:
    assert bad(case(unsupported=("it uses a secret",)), block=True) == {"unsupported"}


def test_shared_process_ids() -> None:
    facts = replace(FACTS, pid_host=True, pids=(700,))
    assert bad(case(facts=facts), block=False) == {"pids"}
    there = replace(NODE, pids=frozenset({1, 700}))
    assert bad(case(facts=facts, destination_node=there), block=True) == {"pids"}
    assert not bad(case(facts=replace(facts, pid_host=False), destination_node=there), block=True)


def test_networks() -> None:
    spec = replace(SPEC, network="front,back")
    there = replace(NODE, networks=frozenset({"podman", "front"}))
    assert bad(case(specification=spec, destination_node=there), block=True) == {"network"}
    assert not bad(case(specification=replace(SPEC, network="bridge"), destination_node=there), block=True)


def test_what_the_kernel_lacks() -> None:
    facts = replace(FACTS, seccomp="2", time_ns=True)
    weak = replace(NODE, seccomp=False, time_ns=False)
    assert bad(case(facts=facts, destination_node=weak), block=True) == {"seccomp", "time-namespace"}
    assert not bad(case(facts=FACTS, destination_node=weak), block=True)


def test_criu_compares_the_cpus_too() -> None:
    assert bad(case(cpu="CPU xsave_size mismatch"), block=True) == {"cpu"}


def test_memory_counts_file_systems_in_memory() -> None:
    assert bad(case(facts=replace(FACTS, tmpfs_bytes=5 * GIB)), block=True) == {"memory"}


def test_only_missing_layers_are_sent() -> None:
    facts = replace(FACTS, image_bytes=30, layer_bytes={"base": 20, "app": 10})
    there = replace(NODE, images=frozenset(), layers=frozenset({"base"}))
    situation = case(facts=facts, destination_node=there)
    assert situation.image_bytes() == 10
    assert "1 of its 2 layers, 10 B" in next(f.what for f in preflight(situation) if f.check == "image")
    assert case(facts=facts).image_bytes() == 0


def test_image_is_transferred() -> None:
    situation = case(destination_node=replace(NODE, images=frozenset()), facts=replace(FACTS, image_bytes=GIB))
    assert not blockers(preflight(situation))
    assert any("transferred" in f.what for f in preflight(situation))
    assert situation.image_bytes() == GIB
    assert not case(specification=replace(SPEC, image_id="sha256:abc")).image_transfers
    assert bad(case(specification=replace(SPEC, image_id="")), block=True) == {"image"}


def test_udp_port_of_the_same_number_is_free() -> None:
    spec = replace(SPEC, ports=(Port(53, 53, "udp"),))
    node = replace(NODE, listening_ports=frozenset({("tcp", 53)}))
    assert not bad(case(specification=spec, destination_node=node), block=True)


def test_budget() -> None:
    downtime, total = Estimate(0.3, 0.5, 0.8), Estimate(1, 2, 3)
    assert budget(request(max_downtime=1), downtime, total, "s") == ()
    assert [f.blocking for f in budget(request(max_downtime=0.6), downtime, total, "s")] == [False]
    assert [f.blocking for f in budget(request(max_downtime=0.2, deadline=1), downtime, total, "s")] == [True, True]


def test_versions() -> None:
    assert version("6.16.3-cloud+") == (6, 16, 3)
    assert version("v4.2") == (4, 2)
    assert version("") == ()
    assert criu_needed(replace(NODE, kernel="6.15.9", criu_needs=())) == (3, 15)
    assert criu_needed(replace(NODE, kernel="6.16", criu_needs=())) == (4, 2)
    assert criu_needed(replace(NODE, kernel="7.0", criu_needs=(5, 0))) == (5, 0)


def test_words() -> None:
    assert size(0) == "0 B"
    assert size(1536) == "1.5 KiB"
    assert size(64 * MIB) == "64 MiB"
    assert size(5000 * GIB) == "5000 GiB"
    assert some(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert [vendor(m) for m in ("Intel(R) Xeon(R)", "AMD EPYC", "Neoverse-N1", "")] == ["intel", "amd", "arm", ""]


def test_doctor() -> None:
    findings = doctor("azure-lab/n1", NODE)
    assert {f.check for f in findings if not f.ok} == {"tracks-writes"}
    assert all(f.where == "azure-lab/n1" for f in findings)
    lacking = doctor("azure-lab/n1", replace(NODE, criu=None))
    assert any(f.check == "criu" and "apt install criu" in f.fix for f in lacking)


def test_doctor_of_nothing_known() -> None:
    assert {"criu", "kernel", "root", "runtime"} <= {f.check for f in blockers(doctor("x/y", NodeFacts()))}


flags = st.frozensets(st.sampled_from(["sse2", "avx2", "avx512f", "md_clear", "sha_ni"]))
nodes = st.builds(
    NodeFacts,
    kernel=st.sampled_from(["6.18.5", "6.1.0", "4.4", ""]),
    arch=st.sampled_from(["x86_64", "aarch64"]),
    cpu_flags=flags,
    criu=st.sampled_from([None, (3, 17), (4, 2, 1)]),
    runtimes=st.sampled_from([{}, {"crun": "1"}, {"runc": "1"}]),
    root=st.booleans(),
    memory_free=st.integers(0, 1 << 34),
    run_free=st.integers(0, 1 << 34),
    disk_free=st.integers(0, 1 << 34),
    cgroup=st.sampled_from(["v1", "v2", "hybrid"]),
    clock=st.floats(0, 2e9),
    boot_time=st.floats(0, 2e9),
)
services = st.builds(
    ServiceFacts,
    memory=st.integers(0, 1 << 33),
    io_uring=st.booleans(),
    tty=st.booleans(),
    established=st.sampled_from([(), ("1.2.3.4:5",)]),
    runtime=st.sampled_from(["", "crun", "runc"]),
)


@given(nodes, nodes, services)
def test_law_findings_are_deterministic_and_complete(a: NodeFacts, b: NodeFacts, facts: ServiceFacts) -> None:
    situation = case(source_node=a, destination_node=b, facts=facts)
    first = preflight(situation)
    assert first == preflight(situation)
    for finding in first:
        assert finding.what
        assert finding.where
        assert finding.ok or (finding.why and finding.fix)
        assert not (finding.ok and finding.blocking)


@given(nodes, services, st.integers(0, 1 << 32))
def test_law_more_memory_never_makes_room(node: NodeFacts, facts: ServiceFacts, more: int) -> None:
    def full(memory: int) -> bool:
        grown = case(destination_node=node, facts=replace(facts, memory=memory))
        return any(f.check == "memory" for f in blockers(preflight(grown)))

    assert full(facts.memory + more) or not full(facts.memory)
