"""The board of a cluster, against a real API server: what is there, what changes, what we may not see."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from backends.orchestrators import kubernetes_access, kubernetes_api
from backends.orchestrators.kubernetes_api import Api, Conflict, Gone
from backends.orchestrators.kubernetes_board import Follower
from tests.kubernetes.control_plane import ControlPlane, pod, until

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def api(plane: ControlPlane) -> Api:
    found = plane.api()
    for each in found.get(PODS)["items"]:
        found.delete(f"{PODS}/{each['metadata']['name']}", {"gracePeriodSeconds": 0})
    return found


def other_namespace(api: Api) -> None:
    try:
        api.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    except Conflict:
        return


def test_shows_what_is_there_and_each_change(plane: ControlPlane, api: Api, follow: Any) -> None:
    api.create(PODS, pod("one"))
    board = follow(plane.kubeconfig())
    until(lambda: board.names == {"one"})
    api.create(PODS, pod("two"))
    until(lambda: board.names == {"one", "two"})
    api.patch(f"{PODS}/two", {"metadata": {"labels": {"tier": "front"}}})
    until(lambda: any(each.labels.get("tier") == "front" for each in board.cluster.services))
    api.delete(f"{PODS}/one", {"gracePeriodSeconds": 0})
    until(lambda: board.names == {"two"})
    assert board.state() == "live"


def test_reads_long_lists_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        api.create(PODS, pod(f"many-{number}"))
    pages = list(api.pages(PODS, 3))
    assert [len(page["items"]) for page in pages] == [3, 3, 1]


def test_pods_of_other_namespaces_are_named_with_theirs(plane: ControlPlane, api: Api, follow: Any) -> None:
    other_namespace(api)
    api.create(PODS, pod("web"))
    api.create("/api/v1/namespaces/shop/pods", pod("web"))
    board = follow(plane.kubeconfig())
    until(lambda: board.names == {"web", "shop/web"})
    inside = follow(plane.kubeconfig(namespace="shop", name="shop"))
    until(lambda: inside.names == {"web", "default/web"})
    api.delete("/api/v1/namespaces/shop/pods/web", {"gracePeriodSeconds": 0})


def test_whoever_may_see_one_namespace_sees_that_one(plane: ControlPlane, api: Api, follow: Any) -> None:
    other_namespace(api)
    plane.allow("reader", ["get", "list", "watch"], ["pods"], "shop")
    api.create("/api/v1/namespaces/shop/pods", pod("mine", nodeName="n1"))
    api.create(PODS, pod("hidden"))
    board = follow(plane.kubeconfig("reader", namespace="shop", name="reader"))
    until(lambda: board.names == {"mine"})
    state, error, fix, _ = board.cluster.condition()
    assert state.value == "live"
    assert "nodes is forbidden" in error
    assert "`list pods` in the whole cluster" in fix
    assert [node.name for node in board.cluster.nodes()] == ["n1"]
    named = follow(plane.kubeconfig("reader", name="named"), ("shop",))
    until(lambda: named.names == {"shop/mine"})
    api.delete("/api/v1/namespaces/shop/pods/mine", {"gracePeriodSeconds": 0})


def test_whoever_may_see_nothing_is_told_which_right_is_missing(plane: ControlPlane, follow: Any) -> None:
    board = follow(plane.kubeconfig("nobody", name="nobody"))
    board.until("forbidden")
    _, error, fix, _ = board.cluster.condition()
    assert "cannot list" in error
    assert "`list pods` in namespace default" in fix


def test_expired_credentials_are_told_and_a_new_login_is_found(plane: ControlPlane, api: Api, follow: Any) -> None:
    api.create(PODS, pod("one"))
    path = plane.kubeconfig("no-longer-good", name="login")
    board = follow(path)
    board.until("expired")
    assert str(path) in board.cluster.condition()[2]
    path.write_text(plane.kubeconfig().read_text())
    board.until("live")
    assert board.names == {"one"}


def test_a_login_program_that_fails_or_hangs_is_told_and_delays_no_other(
    plane: ControlPlane, api: Api, follow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_access, "LOGIN", 2.0)
    api.create(PODS, pod("one"))
    program = tmp_path / "kubelogin"

    def says(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "args": ["get-token"]}}
    says("echo 'AADSTS700082: The refresh token has expired' >&2; exit 1")
    board = follow(plane.kubeconfig(user, name="plugin"))
    board.until("expired")
    _, error, fix, _ = board.cluster.condition()
    assert "The refresh token has expired" in error
    assert fix == "az login"
    says("sleep 60")
    until(lambda: "did not answer within 2 s" in board.cluster.condition()[1], 30)
    other = follow(plane.kubeconfig())
    other.until("live")
    answer = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "admin"}}'
    says(f"cat <<'X'\n{answer}\nX")
    board.until("live")


def test_an_api_server_that_dies_is_noticed_and_found_again(plane: ControlPlane, api: Api, follow: Any) -> None:
    api.create(PODS, pod("before"))
    board = follow(plane.kubeconfig())
    until(lambda: board.names == {"before"})
    plane.kill()
    board.until("unreachable")
    assert board.names == {"before"}  # what was known is still shown, as old
    plane.start()
    plane.api().create(PODS, pod("after"))
    until(lambda: board.state() == "live" and board.names == {"before", "after"}, 30)


def test_a_watch_goes_on_where_it_was_and_a_version_that_is_gone_is_said(plane: ControlPlane, api: Api) -> None:
    follower = Follower(api, PODS, dict, lambda: None)
    threading.Thread(target=follower.run, daemon=True).start()
    assert follower.listed.wait(20)
    api.create(PODS, pod("meanwhile"))
    until(lambda: any(each["metadata"]["name"] == "meanwhile" for each in follower.objects.values()))
    follower.stop()
    with pytest.raises(Gone):
        follower._watch("1")


def test_a_server_that_does_not_answer_takes_no_longer_than_its_time(tmp_path: Path, plane: ControlPlane) -> None:
    kubeconfig = tmp_path / "nowhere"
    # A documentation address: packets to it get lost.
    kubeconfig.write_text(plane.kubeconfig().read_text().replace("127.0.0.1", "192.0.2.1"))
    began = time.monotonic()
    with pytest.raises(kubernetes_api.Unreachable):
        Api(kubeconfig).get("/version")
    assert time.monotonic() - began < 15
