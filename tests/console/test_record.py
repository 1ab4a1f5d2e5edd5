"""The fold of a migration's events, and the world that holds them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.console import scenario
from tests.console.fake import FakeFeed, load
from umsui.console.record import Record
from umsui.console.widgets.charts import window
from umsui.console.world import World
from umsui.model import Event, MigrationRequest, Outcome


def folded(upto: float = 99.0, shift: float = 0.0) -> Record:
    record = Record()
    for event in load():
        if event.t <= upto:
            data = dict(event.data)
            if shift and event.kind == "probe":
                data["samples"] = [[t + shift, reply] for t, reply in data["samples"]]
            record.apply(replace(event, t=event.t + shift, data=data))
    return record


def test_steps_and_durations() -> None:
    record = folded()
    assert record.step("freeze").seconds == 0.011
    assert record.step("copy-ahead").note == "131 MiB"
    assert record.step("drain").seconds == 0.683
    assert {run.state for run in record.steps.values()} == {"done"}
    assert record.result is not None


def test_outage_is_where_the_client_saw_it() -> None:
    outage = folded().outage
    assert outage is not None
    begin, end, over = outage
    assert over
    assert begin == pytest.approx(1.962, abs=0.02)
    assert end - begin == pytest.approx(0.118)


def test_outage_begins_with_the_last_reply_not_with_the_word_freeze() -> None:
    """The source may answer for a while after the freeze was ordered."""
    record = Record()
    record.apply(Event(1.0, "m", "step", {"step": "freeze", "state": "started"}))
    samples = [[0.9 + i / 100, 0.001] for i in range(14)] + [[1.2 + i / 100, 0.002] for i in range(9)]
    record.apply(Event(1.3, "m", "probe", {"samples": samples, "down": 0.172, "downtime": 0.172}))
    outage = record.outage
    assert outage is not None
    assert outage[0] == pytest.approx(1.031)
    assert outage[1] == pytest.approx(1.203)


def test_outage_grows_while_it_lasts() -> None:
    outage = folded(2.03).outage
    assert outage is not None
    assert not outage[2]
    assert outage[1] - outage[0] == pytest.approx(0.027, abs=0.01)


def test_time_may_be_unix_time() -> None:
    """Whichever zero the coordinator's events have, the picture is the same."""
    relative, absolute = folded(), folded(shift=scenario.START)
    assert absolute.last == pytest.approx(relative.last, abs=1e-4)
    assert absolute.frozen_at == pytest.approx(relative.frozen_at, abs=1e-4)
    assert absolute.samples[50][0] == pytest.approx(relative.samples[50][0], abs=1e-4)


def test_bytes_still_to_come_count() -> None:
    record = Record(expected={"memory": 64 * 2**20})
    for event in load():
        if event.t <= 1.9:
            record.apply(event)
    assert record.fraction == pytest.approx(131 / 195, abs=0.001)


def test_window_is_held_on_the_outage() -> None:
    left, span = window(folded())
    assert span == pytest.approx(0.5, abs=0.2)
    assert left < 1.963 < left + span
    assert window(folded(1.0)) == (0.0, 4.0)


def test_unknown_kinds_are_left_alone() -> None:
    record = Record()
    record.apply(Event(1.0, "m", "something-new", {"a": 1}))
    assert record.last == 1.0


def test_age_alone_is_no_news() -> None:
    world = World()
    cluster = scenario.clusters()[0]
    assert world.apply(cluster, 1.0)
    assert not world.apply(replace(cluster, age=3.0), 2.0)
    assert world.apply(replace(cluster, protected=True), 3.0)
    assert world.age(world.clusters[cluster.name], 5.0) == pytest.approx(2.4)


def test_records_are_let_go_at_the_end() -> None:
    """Memory does not grow with what has been moved."""
    world = World()
    feed = FakeFeed()
    for cluster in feed.clusters.values():
        world.apply(cluster, 0)
    migration = feed.start(MigrationRequest("azure-lab/memhog", "gcp-lab"))
    world.apply(migration, 0)
    for event in load():
        world.apply(event, 0)
    assert world.records == {}
    world.apply(replace(migration, outcome=Outcome.COMMITTED), 0)
    assert not world.apply(load()[0], 0)
    assert world.records == {}
