from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from backends.providers import rest
from backends.providers.rest import Answer, Lost, Rest, bounded, retry_after
from umsui.errors import CommandFailed, Throttled, TimedOut, UmsuiError, Unreachable


class Cloud:
    """Answers what it is told to, one after the other."""

    def __init__(self, *answers: Answer | UmsuiError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, method: str, url: str, body: bytes | None = None) -> Answer:
        self.asked.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, UmsuiError):
            raise answer
        return answer


def ok(body: str, **headers: str) -> Answer:
    return Answer(200, headers, body.encode())


def calls(cloud: Cloud) -> Rest:
    return Rest(cloud, lambda answer: CommandFailed(str(answer.status)))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(rest.time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize("trouble", [Lost("reset"), Answer(503, {}, b""), ok('{"half')])
def test_what_may_pass_is_tried_three_times(trouble: Answer | UmsuiError, impatient: list[float]) -> None:
    assert calls(Cloud(trouble, trouble, ok("{}"))).call("GET", "https://a/")[0] == {}
    assert len(impatient) == 2
    with pytest.raises(UmsuiError):
        calls(Cloud(trouble, trouble, trouble)).call("GET", "https://a/")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429])
def test_what_will_not_pass_is_tried_once(status: int) -> None:
    cloud = Cloud(Answer(status, {}, b""))
    with pytest.raises(CommandFailed, match=str(status)):
        calls(cloud).call("GET", "https://a/")


def test_silence_is_not_asked_again() -> None:
    cloud = Cloud(TimedOut("nothing"))
    with pytest.raises(TimedOut):
        calls(cloud).call("GET", "https://a/")
    assert len(cloud.asked) == 1


def test_a_busy_cloud_that_names_its_time_is_left_alone_for_it(impatient: list[float]) -> None:
    with pytest.raises(Throttled) as raised:
        calls(Cloud(Answer(503, {"retry-after": "60"}, b""))).call("GET", "https://a/")
    assert 50 < raised.value.until - time.time() <= 60
    assert calls(Cloud(Answer(503, {"retry-after": "2"}, b""), ok("1"))).call("GET", "https://a/")[0] == 1
    assert impatient == [2.0]


def test_retry_after() -> None:
    def asked(text: str) -> float | None:
        return retry_after(Answer(429, {"retry-after": text}, b""))

    assert asked("7") == 7
    assert asked(" 1.5 ") == 1.5
    assert asked("-3") == 0
    assert asked("soon") is asked("") is None
    assert asked(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert asked(formatdate(time.time() - 30, usegmt=True)) == 0


def following(page: dict[str, str]) -> str:
    return page.get("next", "")


def test_pages() -> None:
    cloud = Cloud(ok('{"n": 1, "next": "https://a:443/2"}'), ok('{"n": 2}'))
    assert [page["n"] for page in calls(cloud).pages("https://a/1", following)] == [1, 2]
    assert cloud.asked == ["https://a/1", "https://a:443/2"]


def test_a_list_that_leads_elsewhere_does_not_get_our_token() -> None:
    cloud = Cloud(ok('{"next": "https://evil/2"}'))
    with pytest.raises(Unreachable, match="another host: evil"):
        list(calls(cloud).pages("https://a/1", following))
    assert cloud.asked == ["https://a/1"]


def test_a_list_without_end_is_left() -> None:
    cloud = Cloud(ok('{"next": "https://a/2"}'), ok('{"next": "https://a/1"}'))
    with pytest.raises(Unreachable, match="leads back"):
        list(calls(cloud).pages("https://a/1", following))


def test_bounded() -> None:
    assert bounded(lambda: 1, 5, "counting") == 1
    with pytest.raises(TimedOut, match="counting took more than"):
        bounded(threading_wait, 0.05, "counting")
    with pytest.raises(KeyError):
        bounded(lambda: {}["x"], 5, "looking")


def threading_wait() -> None:
    import threading

    threading.Event().wait(1)
