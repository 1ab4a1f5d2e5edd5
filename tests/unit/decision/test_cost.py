from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umsui.decision.cost import FIXED, Forecast, Load, forecast, stop_copy_downtime
from umsui.model import Approach, Migration, Outcome, Place, Strategy

from .world import MIB, migration

STOP = Strategy.STOP_COPY
ORCHESTRATOR = Approach.ORCHESTRATOR

loads = st.builds(
    Load,
    memory=st.integers(0, 1 << 36),
    processes=st.integers(1, 500),
    rootfs=st.integers(0, 1 << 34),
    volumes=st.integers(0, 1 << 34),
    image=st.integers(0, 1 << 34),
    bandwidth=st.none() | st.floats(0, 1e11),
    rtt=st.floats(0, 2),
)
histories = st.lists(
    st.builds(
        migration,
        st.integers(0, 100),
        st.floats(0, 100),
        st.floats(0, 100),
        outcome=st.sampled_from([None, *Outcome]),
    ),
    max_size=20,
)


@given(st.sampled_from(Approach), loads, histories)
def test_law_the_interval_is_one(approach: Approach, load: Load, history: list[Migration]) -> None:
    cost = forecast(approach, STOP, load, history)
    for estimate in (cost.downtime, cost.total):
        assert 0 < estimate.low <= estimate.mid <= estimate.high


@given(loads, st.integers(0, 1 << 34), histories)
def test_law_more_memory_never_predicts_less(load: Load, more: int, history: list[Migration]) -> None:
    def cost(memory: int) -> Forecast:
        grown = Load(memory, load.processes, load.rootfs, load.volumes, load.image, load.bandwidth, load.rtt)
        return forecast(ORCHESTRATOR, STOP, grown, history)

    small, large = cost(load.memory), cost(load.memory + more)
    assert large.downtime.mid >= small.downtime.mid
    assert large.total.mid >= small.total.mid


@given(loads, histories, st.randoms())
def test_law_the_order_of_the_history_does_not_matter(load: Load, history: list[Migration], random: object) -> None:
    unique = list({m.id: m for m in history}.values())
    shuffled = unique[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert forecast(ORCHESTRATOR, STOP, load, unique) == forecast(ORCHESTRATOR, STOP, load, shuffled)


def test_measured_on_hosts() -> None:
    """Near what was measured: 0 MiB costs the fixed part, 1 GiB at 1 Gbit/s the wire."""
    assert stop_copy_downtime(ORCHESTRATOR, Load(0)) == pytest.approx(FIXED[ORCHESTRATOR])
    at_gigabit = stop_copy_downtime(ORCHESTRATOR, Load(1024 * MIB, bandwidth=117e6))
    assert at_gigabit == pytest.approx(FIXED[ORCHESTRATOR] + 9.18, rel=0.01)
    assert FIXED[ORCHESTRATOR] < FIXED[Approach.SERVICE] < FIXED[Approach.CONTAINER]


def test_learns_what_reality_says() -> None:
    """Reality takes twice the model: predictions converge on it, and do not unlearn it once they are right."""
    load, history = Load(64 * MIB, bandwidth=117e6), []
    truth = 2 * stop_copy_downtime(ORCHESTRATOR, load)
    for number in range(12):
        said = forecast(ORCHESTRATOR, STOP, load, history).downtime.mid
        history.append(migration(number, truth, said))
    final = forecast(ORCHESTRATOR, STOP, load, history).downtime
    assert final.mid == pytest.approx(truth)
    assert (final.high - final.low) / final.mid < 0.4


def test_interval_from_the_spread() -> None:
    load = Load(64 * MIB, bandwidth=117e6)
    base = stop_copy_downtime(ORCHESTRATOR, load)
    wild = [migration(n, base * (3 if n % 2 else 0.5), base) for n in range(10)]
    tame = [migration(n, base, base) for n in range(10)]
    wide, narrow = (forecast(ORCHESTRATOR, STOP, load, past).downtime for past in (wild, tame))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_what_was_moved_between_the_same_clusters_counts_where_there_is_any() -> None:
    """Elsewhere reality is three times the model, here half of it: both are learned, and neither spoils the other."""
    load, history = Load(64 * MIB, bandwidth=117e6), []
    bare = stop_copy_downtime(ORCHESTRATOR, load)
    here, elsewhere = ("azure-lab", "gcp-lab"), ("gcp-lab", "azure-lab")
    for number in range(12):
        between, truth = (elsewhere, 3 * bare) if number % 3 else (here, bare / 2)
        said = forecast(ORCHESTRATOR, STOP, load, history, between).downtime.mid
        ends = {"source": Place(between[0], "n"), "destination": Place(between[1], "n")}
        history.append(replace(migration(number, truth, said), **ends))
    for between, truth in ((here, bare / 2), (elsewhere, 3 * bare)):
        assert forecast(ORCHESTRATOR, STOP, load, history, between).downtime.mid == pytest.approx(truth)
    unknown = forecast(ORCHESTRATOR, STOP, load, history, ("azure-lab", "onprem-lab")).downtime
    assert unknown == forecast(ORCHESTRATOR, STOP, load, history).downtime
    assert unknown.mid == pytest.approx(3 * bare)  # as most


def test_the_first_move_between_two_clusters_unlearns_nothing() -> None:
    load = Load(64 * MIB, bandwidth=117e6)
    bare, history = stop_copy_downtime(ORCHESTRATOR, load), []
    for number in range(10):  # everything takes twice the model, also between two clusters that are new
        between = ("a", "b") if number < 9 else ("c", "d")
        said = forecast(ORCHESTRATOR, STOP, load, history, between).downtime.mid
        ends = {"source": Place(between[0], "n"), "destination": Place(between[1], "n")}
        history.append(replace(migration(number, 2 * bare, said), **ends))
    assert forecast(ORCHESTRATOR, STOP, load, history, ("c", "d")).downtime.mid == pytest.approx(2 * bare)


def test_what_did_not_commit_teaches_nothing() -> None:
    load = Load(MIB)
    failed = [migration(n, 50.0, 0.1, outcome=Outcome.ROLLED_BACK) for n in range(9)]
    assert forecast(ORCHESTRATOR, STOP, load, failed) == forecast(ORCHESTRATOR, STOP, load)
    assert forecast(Approach.SERVICE, STOP, load, failed) == forecast(Approach.SERVICE, STOP, load)


def test_pre_copy_stands_still_only_for_what_was_written_last() -> None:
    def down(dirty: float | None) -> float:
        return forecast(ORCHESTRATOR, Strategy.PRE_COPY, Load(1 << 30, bandwidth=100e6, dirty=dirty)).downtime.mid

    none = forecast(ORCHESTRATOR, Strategy.POST_COPY, Load(1 << 30, bandwidth=100e6)).downtime.mid
    all_of_it = forecast(ORCHESTRATOR, Strategy.STOP_COPY, Load(1 << 30, bandwidth=100e6)).downtime.mid
    assert none == down(0) == down(None) < down(20e6) < down(90e6) < all_of_it
    assert down(100e6) == pytest.approx(all_of_it, rel=0.02)  # it writes as fast as the link carries: nothing is gained
