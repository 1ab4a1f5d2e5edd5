from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from umsui.cli import follow as following
from umsui.cli import output, progress, session
from umsui.errors import UmsuiError, Unreachable
from umsui.model import ClusterState, Outcome
from umsui.traces import frozen_seconds, spans

from .conftest import Umsui
from .fake import BLOCKER, MIGRATION, Fake, bad_input, events, failed, plan

MOVE = ("migrate", "memhog", "--to", "gcp-lab")

DOCUMENT = {
    "id", "service", "source", "destination", "approach", "strategy", "reason", "outcome", "downtime",
    "downtime_source", "overhead", "predicted", "bytes", "processes", "endpoint", "error",
}  # fmt: skip


def test_result_document(umsui: Umsui) -> None:
    answer = umsui(*MOVE, "--json")
    assert answer.code == 0
    found = answer.json
    assert set(found) == DOCUMENT
    assert found["outcome"] == "committed"
    assert found["source"] == {"cluster": "azure-lab", "node": "azure-1"}
    assert list(found["overhead"]) == ["creation", "checkpoint", "transfer", "restoration", "total"]
    assert found["predicted"] == {"downtime": [0.1, 0.2, 0.3], "total": [0.9, 1.1, 1.9]}
    assert list(found["bytes"]) == ["memory", "rootfs", "volumes", "image", "wire"]
    assert found["error"] is None


@pytest.mark.parametrize("state", [ClusterState.CONNECTING, ClusterState.UNREACHABLE])
def test_a_service_that_nobody_has_seen_yet_is_looked_for(umsui: Umsui, fake: Fake, state: ClusterState) -> None:
    """Its cluster is live by another node that was quicker to answer."""
    azure, *others = fake.clusters
    quick, slow = replace(azure.nodes[0], name="azure-2"), replace(azure.nodes[0], state=state)
    fake.clusters = [replace(azure, nodes=(quick, slow), services=()), *others]
    answer = umsui(*MOVE, "--json")
    assert answer.code == 0, answer.err
    assert fake.asked.count("refresh") == 1


def test_progress_goes_to_stderr(umsui: Umsui) -> None:
    answer = umsui(*MOVE)
    assert answer.code == 0
    assert "✓ freeze" in answer.err
    assert "answers again after 210 ms" in answer.err
    assert "warning: a remark" in answer.err
    assert "✓ committed" in answer.out
    assert "downtime   210 ms seen by a client, predicted 0.20 s (0.10 - 0.30 s)" in answer.out
    assert "10.77.0.12:8000" in answer.out


ENDS = [
    (failed(Outcome.ROLLED_BACK), 1),
    (failed(Outcome.REFUSED), 3),
    (failed(Outcome.REFUSED, "unreachable", "verify"), 4),
    (failed(Outcome.REFUSED, "host-key", "verify"), 4),
    (failed(Outcome.REFUSED, "unknown-service", "verify"), 2),
    (failed(Outcome.UNKNOWN), 5),
    (failed(Outcome.CANCELLED), 130),
]


@pytest.mark.parametrize(("ended", "code"), ENDS, ids=[f"{m.outcome}-{m.error and m.error.code}" for m, _ in ENDS])
def test_exit_codes(umsui: Umsui, fake: Fake, ended: Any, code: int) -> None:
    fake.ended = ended
    answer = umsui(*MOVE, "--json")
    assert answer.code == code
    assert answer.json["outcome"] == ended.outcome.value
    assert answer.json["error"] == {
        "step": ended.error.step, "code": ended.error.code, "message": "the link broke", "fix": "mend the link",
    }  # fmt: skip
    assert "error: the link broke" in answer.err
    assert umsui("watch", ended.id).code == code


def test_detach(umsui: Umsui) -> None:
    answer = umsui(*MOVE, "--detach")
    assert (answer.code, answer.out) == (0, f"{MIGRATION.id}\n")
    found = umsui(*MOVE, "--detach", "--json").json
    assert found["id"] == MIGRATION.id
    assert found["outcome"] is None


def test_refused_at_once(umsui: Umsui, fake: Fake) -> None:
    fake.raises = bad_input()
    answer = umsui("migrate", "memhog", "--to", "gpc-lab", "--json")
    assert answer.code == 2
    assert answer.json["error"]["code"] == "unknown-cluster"
    unknown = umsui("migrate", "azure-lab/memhoq", "--to", "gcp-lab")
    assert unknown.code == 2
    assert "did you mean `azure-lab/memhog`?" in unknown.err


def test_protected(umsui: Umsui, fake: Fake) -> None:
    fake.clusters[0] = replace(fake.clusters[0], protected=True)
    answer = umsui(*MOVE, "--yes")
    assert answer.code == 2
    assert "--confirm memhog" in answer.err
    assert umsui(*MOVE, "--confirm", "memhog").code == 0
    assert fake.asked[-1][2] == "memhog"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A terminal, and what is typed at it."""
    lines: list[str] = []
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt="": lines.pop(0))
    return lines


def test_asks_on_a_terminal(umsui: Umsui, fake: Fake, typed: list[str]) -> None:
    typed[:] = ["y"]
    answer = umsui(*MOVE)
    assert answer.code == 0
    assert "preflight" in answer.err
    assert [each[0] for each in fake.asked] == ["plan", "migrate"]
    typed[:] = ["n"]
    fake.asked.clear()
    assert umsui(*MOVE).code == 130
    assert [each[0] for each in fake.asked] == ["plan"]
    fake.asked.clear()
    assert umsui(*MOVE, "--yes").code == 0
    assert [each[0] for each in fake.asked] == ["migrate"]


def test_a_blocked_plan_is_not_asked_about(umsui: Umsui, fake: Fake, typed: list[str]) -> None:
    fake.planned = plan(findings=(BLOCKER,))
    answer = umsui(*MOVE)
    assert answer.code == 3
    assert "fix: stop it" in answer.err
    assert [each[0] for each in fake.asked] == ["plan"]


def test_protected_on_a_terminal(umsui: Umsui, fake: Fake, typed: list[str]) -> None:
    fake.clusters[0] = replace(fake.clusters[0], protected=True)
    typed[:] = ["y", "memhog"]
    assert umsui(*MOVE).code == 0
    assert fake.asked[-1][2] == "memhog"


def test_interrupt_cancels(umsui: Umsui, fake: Fake) -> None:
    fake.ended, fake.interrupt_at = failed(Outcome.CANCELLED), [3]
    answer = umsui(*MOVE, "--json")
    assert answer.code == 130
    assert ("cancel", MIGRATION.id) in fake.asked
    assert answer.json["outcome"] == "cancelled"
    assert answer.err.count("✓ verify") == 1  # told once, though the stream began again


def test_interrupt_after_commit_is_too_late(umsui: Umsui, fake: Fake) -> None:
    fake.interrupt_at = [11]
    original = fake.cancel

    def late(migration_id: str) -> Any:
        original(migration_id)
        raise UmsuiError("it has committed", code="too-late")

    fake.cancel = late  # type: ignore[method-assign]
    answer = umsui(*MOVE, "--json")
    assert answer.code == 0
    assert "cannot be cancelled: it has committed" in answer.err


def test_second_interrupt_leaves_it(umsui: Umsui, fake: Fake) -> None:
    fake.interrupt_at = [3, 4]
    answer = umsui(*MOVE, "--json")
    assert answer.code == 130
    assert f"umsui watch {MIGRATION.id}" in answer.err
    assert answer.out == ""


def test_interrupting_watch_changes_nothing(umsui: Umsui, fake: Fake) -> None:
    fake.interrupt_at = [3]
    assert umsui("watch", "last").code == 130
    assert not [each for each in fake.asked if each[0] == "cancel"]


def test_a_lost_coordinator_is_started_again(umsui: Umsui, fake: Fake) -> None:
    fake.lose_at = [2, 5, 9]
    answer = umsui(*MOVE, "--json")
    assert answer.code == 0
    assert "starting it again" in answer.err
    assert answer.err.count("✓ verify") == 1


def test_a_coordinator_that_stays_away(umsui: Umsui, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE", 0.05)

    def gone(migration_id: str) -> Any:
        raise Unreachable("gone")

    fake.events = gone  # type: ignore[method-assign]
    answer = umsui(*MOVE, "--json")
    assert answer.code == 4
    assert "umsui watch" in answer.json["error"]["fix"]


def test_watch_json(umsui: Umsui) -> None:
    answer = umsui("watch", "last", "--json")
    assert answer.code == 0
    lines = [json.loads(each) for each in answer.out.splitlines()]
    assert all({"t", "migration", "kind"} <= set(each) for each in lines)
    assert lines[-1]["kind"] == "outcome"
    assert set(lines[-1]["result"]) == DOCUMENT


def test_migrations(umsui: Umsui, fake: Fake) -> None:
    answer = umsui("migrations")
    assert answer.code == 0
    assert "↶ rolled-back" in answer.out
    found = umsui("migrations", "--json").json
    assert [each["id"] for each in found] == [MIGRATION.id, "20261123-bbbb"]
    assert set(found[0]) == DOCUMENT | {"started", "finished", "phase", "step", "cancellable"}
    assert umsui("migrations", "20261123", "--json").json["outcome"] == "rolled-back"
    assert "because    the only feasible one" in umsui("migrations", "last").out
    fake.known = []
    assert "nothing has been moved" in umsui("migrations").err


@pytest.mark.parametrize(("text", "says"), [("nope", "no migration nope"), ("2026", "ambiguous"), ("", "no migration")])
def test_unknown_id(umsui: Umsui, text: str, says: str) -> None:
    for command in ("migrations", "watch", "cancel"):
        answer = umsui(command, text)
        assert answer.code == 2
        assert says in answer.err


def test_cancel(umsui: Umsui, fake: Fake) -> None:
    assert umsui("cancel", "last").code == 0
    assert fake.asked == [("cancel", MIGRATION.id)]
    fake.raises = UmsuiError("it has committed", "migrate it back", code="too-late")
    assert umsui("cancel", "last").code == 1


def test_trace(umsui: Umsui) -> None:
    answer = umsui("migrations", "last", "--trace")
    lines = {line.split()[1]: line for line in answer.out.splitlines() if line.startswith(("pre", "mig", "post"))}
    assert "❄ frozen" in lines["checkpoint"]
    assert "510.0" in lines["checkpoint"]
    assert "❄" not in lines["verify"]
    assert "frozen for 220.0 ms" in answer.out
    found = umsui("migrations", "last", "--trace", "--json").json
    assert found["frozen"] == pytest.approx(0.22)
    assert set(found["steps"][0]) == {"step", "phase", "start", "seconds", "state", "frozen", "note"}


def test_trace_of_a_crashed_one() -> None:
    cut = [each for each in events(MIGRATION) if each.data.get("step") != "commit"]
    found = spans([*cut[:7], *cut[5:]])
    assert [span.step for span in found].count("checkpoint") >= 1
    assert frozen_seconds(found) > 0
    assert spans([]) == []
    assert frozen_seconds([]) == 0


def test_moving_display(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.reporter() as shown:
        assert isinstance(shown, progress.Moving)
        for event in events(MIGRATION):
            shown.event(event)
    assert "✓ commit" in capsys.readouterr().err


def test_settled_needs_no_refresh(fake: Fake) -> None:
    assert session.settled(fake) == fake.clusters
    assert fake.asked == []
